// Sizes, durations, output limits and the words of enumerations.
#include <limits>

#include "caisson/spec.h"
#include "spec/names.h"
#include "spec/number.h"
#include "spec/text.h"

namespace caisson {
namespace {

using spec::invalid;
using spec::quote;

/// The power of 1024 that a suffix stands for, in bits; absent when it is not one.
std::optional<unsigned> shift_of(std::string_view suffix) {
  constexpr std::string_view kLetters = "bkmgt";
  if (suffix.empty()) return 0;
  const std::size_t power = kLetters.find(suffix.front());
  if (power == std::string_view::npos) return std::nullopt;
  const std::string_view rest = suffix.substr(1);
  const bool known = rest.empty() || (power > 0 && (rest == "b" || rest == "ib"));
  if (!known) return std::nullopt;
  return static_cast<unsigned>(power) * 10;
}

/// Nanoseconds in a unit, or 0 when it is not one.
std::uint64_t unit_ns(std::string_view unit) {
  if (unit == "h") return 3'600'000'000'000;
  if (unit == "m") return 60'000'000'000;
  if (unit == "s") return 1'000'000'000;
  if (unit == "ms") return 1'000'000;
  if (unit == "us") return 1'000;
  if (unit == "ns") return 1;
  return 0;
}

std::string_view take_unit(std::string_view& text) {
  std::size_t length = 0;
  while (length < text.size() && !spec::is_digit(text[length]) && text[length] != '.') ++length;
  const std::string_view unit = text.substr(0, length);
  text.remove_prefix(length);
  return unit;
}

Error bad_duration(std::string_view text, std::string_view cause) {
  return invalid("duration_invalid", format("parse duration {}: {}", quote(text), cause),
                 "write it like 1.5s, 250ms or 1m30s");
}

/// `text` as one of E's names; `reason` and `what` name the option in the error.
template <class E>
Result<E> parse_name(std::string_view text, std::string_view reason, std::string_view what) {
  if (const std::optional<E> value = spec::find_named<E>(text)) return *value;
  return invalid(reason, format("parse {} {}: no such {}", what, quote(text), what),
                 spec::suggest(text, spec::all_names<E>(), "values"));
}

Error not_in_this_version(std::string_view reason, std::string_view what, std::string_view word,
                          std::string hint) {
  return make_error(Code::kUnimplemented, reason,
                    format("parse {} '{}': {} '{}' is not in this version", what, word, what, word),
                    std::move(hint));
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
  constexpr std::string_view kHint = "write it like 64m, 1.5g or 4096 (suffixes b k m g t)";
  const auto fault = [&](std::string_view cause) {
    return invalid("size_invalid", format("parse size {}: {}", quote(text), cause),
                   std::string(kHint));
  };
  std::string_view rest = text;
  const std::optional<spec::Decimal> number = spec::take_decimal(rest);
  if (!number) return fault("not a number");
  const std::optional<unsigned> shift = shift_of(spec::lower(rest));
  if (!shift) return fault(format("unknown suffix {}", quote(rest)));
  if (*shift == 0 && number->fraction != 0) return fault("not a whole number of bytes");
  const auto bytes =
      spec::scaled(*number, 1ull << *shift, std::numeric_limits<std::uint64_t>::max());
  if (!bytes) return fault("too large");
  return *bytes;
}

Result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  constexpr std::uint64_t kMax = std::numeric_limits<std::int64_t>::max();
  std::string_view rest = text;
  std::uint64_t total = 0;
  do {
    const bool first = rest.size() == text.size();
    const std::optional<spec::Decimal> number = spec::take_decimal(rest);
    if (!number) return bad_duration(text, "not a number");
    const std::string_view unit = take_unit(rest);
    if (unit.empty() && !(first && rest.empty())) return bad_duration(text, "a unit is missing");
    const std::uint64_t scale = unit.empty() ? unit_ns("s") : unit_ns(unit);
    if (scale == 0) return bad_duration(text, format("unknown unit {}", quote(unit)));
    const std::optional<std::uint64_t> part = spec::scaled(*number, scale, kMax - total);
    if (!part) return bad_duration(text, "too long");
    total += *part;
  } while (!rest.empty());
  return std::chrono::nanoseconds(static_cast<std::int64_t>(total));
}

Result<OutputLimit> parse_output_limit(std::string_view text) {
  const auto fault = [&](std::string_view cause) {
    return invalid("output_limit_invalid", format("parse output limit {}: {}", quote(text), cause),
                   "write it like 10m, 10m:kill, 10m:rotate or 10m:stop-collecting");
  };
  const std::size_t colon = text.find(':');
  const Result<std::uint64_t> size = parse_size(text.substr(0, colon));
  if (!size) return fault(size.error().message);
  OutputLimit limit{.max_bytes = *size};
  if (colon == std::string_view::npos) return limit;
  const std::string_view word = text.substr(colon + 1);
  const auto action = spec::find_named<OutputAction>(word);
  if (!action) return fault(format("unknown action {}", quote(word)));
  limit.action = *action;
  return limit;
}

Result<Isolation> parse_isolation(std::string_view text) {
  if (text == "confidential")
    return not_in_this_version("isolation_unknown", "isolation", text, "use microvm");
  return parse_name<Isolation>(text, "isolation_unknown", "isolation");
}

Result<Profile> parse_profile(std::string_view text) {
  return parse_name<Profile>(text, "profile_unknown", "profile");
}

Result<Network> parse_network(std::string_view text) {
  for (std::string_view later : {"filtered", "public"})
    if (text == later)
      return not_in_this_version("network_unknown", "network", later, "use none or host");
  return parse_name<Network>(text, "network_unknown", "network");
}

Result<PullPolicy> parse_pull_policy(std::string_view text) {
  return parse_name<PullPolicy>(text, "pull_policy_unknown", "pull policy");
}

Result<RootfsStrategy> parse_rootfs_strategy(std::string_view text) {
  return parse_name<RootfsStrategy>(text, "rootfs_unknown", "rootfs strategy");
}

Result<RestartPolicy> parse_restart_policy(std::string_view text) {
  const std::size_t colon = text.find(':');
  RestartPolicy policy;
  policy.mode = TRY(
      parse_name<RestartMode>(text.substr(0, colon), "restart_policy_unknown", "restart policy"));
  if (colon == std::string_view::npos) return policy;
  const std::optional<std::uint64_t> retries = spec::to_unsigned(text.substr(colon + 1));
  if (policy.mode != RestartMode::kOnFailure || !retries || *retries > INT32_MAX)
    return make_error(Code::kInvalidArgument, "restart_policy_unknown",
                      format("parse restart policy {}: not one", quote(text)),
                      "no, always, on-failure or on-failure:N");
  policy.max_retries = static_cast<unsigned>(*retries);
  return policy;
}

Result<IdleAction> parse_idle_action(std::string_view text) {
  return parse_name<IdleAction>(text, "idle_action_unknown", "idle action");
}

}  // namespace caisson
