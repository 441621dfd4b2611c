#include <algorithm>

#include "caisson/spec.h"
#include "spec/checks.h"
#include "spec/image_ref.h"
#include "spec/path.h"
#include "spec/text.h"

namespace caisson {
namespace spec {

Result<> check_no_nul(std::string_view what, std::string_view text) {
  if (text.find('\0') == std::string_view::npos) return {};
  return invalid("nul_byte", format("validate {} {}: holds a NUL byte", what, quote(text)));
}

}  // namespace spec

namespace {

using spec::check_no_nul;
using spec::invalid;
using spec::is_alnum;
using spec::quote;

constexpr std::uint64_t kHighestId = 65'535;  // a box has 65,536 ids
constexpr std::size_t kLongestName = 128;
constexpr std::size_t kLongestUserName = 32;  // useradd(8)
constexpr std::size_t kLongestHostname = 64;  // __NEW_UTS_LEN
constexpr std::size_t kLongestLabel = 63;     // RFC 1035 section 2.3.4

Result<spec::ImageSource> check_source(std::string_view text) {
  TRY(check_no_nul("source", text));
  Result<spec::ImageSource> source = spec::parse_source(text);
  if (!source) return with_context(std::move(source).error(), "validate source");
  if (!source->path.empty() && !spec::is_absolute(source->path))
    return invalid("source_unknown",
                   format("validate source {}: the path is not absolute", quote(text)),
                   "write the whole path, from / on");
  return source;
}

bool is_image(const spec::ImageSource& source) {
  return source.type != spec::SourceType::kHost && source.type != spec::SourceType::kDirectory;
}

Result<> check_words(const std::vector<std::string>& command) {
  if (command.empty() || command.front().empty())
    return invalid("command_missing",
                   command.empty() ? "validate command: no command is given"
                                   : "validate command: the program's name is empty",
                   "give the program and its arguments after the source");
  for (const std::string& word : command) TRY(check_no_nul("command", word));
  return {};
}

/// What an image says is not known yet: with one, only the words themselves are looked at.
Result<> check_command(const BoxSpec& spec, bool image) {
  for (const std::string& word : spec.command) TRY(check_no_nul("command", word));
  if (spec.entrypoint && !spec.entrypoint->empty()) return check_words(*spec.entrypoint);
  return image ? Result<>() : check_words(spec.command);
}

Result<> check_image_options(const BoxSpec& spec, bool image) {
  if (!spec.platform.empty()) {
    const Result<spec::Platform> platform = spec::parse_platform(spec.platform);
    if (!platform) return with_context(platform.error(), "validate platform");
    if (!image)
      return invalid("platform_invalid",
                     format("validate platform {}: the source {} is no image", quote(spec.platform),
                            quote(spec.source)),
                     "only images have a platform");
  }
  if (spec.rootfs != RootfsStrategy::kDisk) return {};
  return make_error(Code::kUnimplemented, "rootfs_unsupported",
                    "validate rootfs strategy 'disk': the isolation 'container' has no use for it",
                    "use overlay or merged");
}

Result<> check_env(const std::map<std::string, std::string>& env) {
  for (const auto& [name, value] : env) {
    TRY(check_no_nul("environment variable", name));
    TRY(check_no_nul("value of environment variable", value));
    if (name.empty() || name.find('=') != std::string::npos)
      return invalid("env_invalid",
                     format("validate environment variable {}: {}", quote(name),
                            name.empty() ? "the name is empty" : "the name holds a '='"));
  }
  return {};
}

Result<> check_workdir(std::string_view workdir) {
  TRY(check_no_nul("working directory", workdir));
  if (workdir.empty() || (spec::is_absolute(workdir) && !spec::has_parent_component(workdir)))
    return {};
  return invalid(
      "workdir_invalid",
      format("validate working directory {}: not an absolute path without '..'", quote(workdir)));
}

/// One id or name. What starts with a digit is a number throughout.
bool is_id_or_name(std::string_view part) {
  if (part.empty()) return false;
  if (spec::is_digit(part.front())) {
    const std::optional<std::uint64_t> id = spec::to_unsigned(part);
    return id && *id <= kHighestId;
  }
  // Samba's machine accounts end in '$'.
  if (part.ends_with('$')) part.remove_suffix(1);
  return !part.empty() && part.size() <= kLongestUserName && part.front() != '-' &&
         std::ranges::all_of(
             part, [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; });
}

Result<> check_user(std::string_view user) {
  if (user.empty()) return {};
  const std::size_t colon = user.find(':');
  const bool group_fits = colon == std::string_view::npos || is_id_or_name(user.substr(colon + 1));
  if (is_id_or_name(user.substr(0, colon)) && group_fits) return {};
  return invalid("user_invalid", format("validate user {}: not a valid user", quote(user)),
                 "write UID[:GID] with numbers from 0 to 65535, or NAME[:GROUP]");
}

Result<> check_groups(const std::vector<std::string>& groups) {
  for (const std::string& group : groups)
    if (!is_id_or_name(group))
      return invalid("user_invalid", format("validate group {}: not a valid group", quote(group)),
                     "write a number from 0 to 65535 or a name");
  return {};
}

bool is_hostname_label(std::string_view label) {
  return !label.empty() && label.size() <= kLongestLabel && label.front() != '-' &&
         label.back() != '-' &&
         std::ranges::all_of(label, [](char c) { return is_alnum(c) || c == '-'; });
}

Result<> check_hostname(std::string_view hostname) {
  if (hostname.empty()) return {};
  if (hostname.size() <= kLongestHostname &&
      std::ranges::all_of(spec::split(hostname, '.'), is_hostname_label))
    return {};
  return invalid("hostname_invalid",
                 format("validate hostname {}: not a host name of RFC 1123", quote(hostname)),
                 "letters, digits and '-' in parts joined by '.', at most 64 characters");
}

Result<> check_labels(const std::map<std::string, std::string>& labels) {
  for (const auto& [key, value] : labels) {
    if (key.empty()) return invalid("label_invalid", "validate label '': the key is empty");
    TRY(check_no_nul("label", key));
    TRY(check_no_nul("value of label", value));
  }
  return {};
}

Result<> check_security(const SecurityOptions& security) {
  TRY(check_no_nul("seccomp policy", security.seccomp_policy));
  const bool custom = security.seccomp == SeccompMode::kCustom;
  if (custom == !security.seccomp_policy.empty()) return {};
  return invalid("seccomp_policy_invalid",
                 custom ? "validate seccomp policy: the policy is empty"
                        : "validate seccomp policy: a policy is given but its use is not chosen");
}

Result<> check_allow_missing(const std::set<std::string>& names) {
  for (const std::string& name : names)
    if (std::ranges::count(spec::kLimitNames, name) == 0)
      return invalid(
          "limit_invalid",
          format("validate limit that may be missing {}: no such limit", quote(name)),
          spec::suggest(name, {spec::kLimitNames.begin(), spec::kLimitNames.end()}, "limits"));
  return {};
}

Result<> check_health(const HealthCheck& health) {
  TRY(check_words(health.command));
  for (const std::chrono::nanoseconds time : {health.interval, health.timeout})
    TRY(spec::check_limits(Limits{.wall_time = time}));
  if (health.start_period.count() < 0 || health.retries == 0)
    return invalid("limit_invalid", "validate health check: a negative time, or no retries");
  return {};
}

/// All of it is read for who attaches; a box's processes write it to the disk of the home.
Result<> check_replay(std::uint64_t bytes) {
  constexpr std::uint64_t kMost = 1u << 30;
  if (bytes <= kMost) return {};
  return invalid("limit_invalid", format("validate replay: {} bytes are too many", bytes),
                 "at most 1g");
}

}  // namespace

Result<> spec::check_name(std::string_view name) {
  if (name.empty()) return {};
  const bool fits = name.size() <= kLongestName && is_alnum(name.front()) &&
                    std::ranges::all_of(name, [](char c) {
                      return is_alnum(c) || c == '_' || c == '.' || c == '-';
                    });
  if (fits) return {};
  return invalid("name_invalid", format("validate name {}: not a valid name", quote(name)),
                 "a letter or digit, then up to 127 letters, digits, '_', '.' or '-'");
}

Result<> validate(const BoxSpec& spec) {
  TRY(spec::check_name(spec.name));
  const bool image = is_image(TRY(check_source(spec.source)));
  TRY(check_image_options(spec, image));
  TRY(check_command(spec, image));
  TRY(check_env(spec.env));
  TRY(check_workdir(spec.workdir));
  TRY(check_user(spec.user));
  TRY(check_groups(spec.groups));
  TRY(check_hostname(spec.hostname));
  TRY(spec::check_mounts(spec.mounts));
  TRY(spec::check_limits(spec.limits));
  TRY(check_security(spec.security));
  TRY(spec::check_isolation(spec));
  TRY(check_labels(spec.labels));
  if (!spec.stop_signal.empty()) TRY(parse_signal(spec.stop_signal));
  if (spec.idle_timeout) TRY(spec::check_limits(Limits{.wall_time = spec.idle_timeout}));
  if (spec.max_lifetime) TRY(spec::check_limits(Limits{.wall_time = spec.max_lifetime}));
  if (spec.health) TRY(check_health(*spec.health));
  if (spec.auto_remove && spec.restart.mode != RestartMode::kNo)
    return invalid("options_conflict",
                   "validate restart policy: a box that is removed when it ends is not restarted");
  if ((spec.tty || spec.open_stdin) && spec.restart.mode != RestartMode::kNo)
    return invalid("options_conflict",
                   "validate restart policy: a terminal or input cannot be handed to the next run",
                   "leave out -i and -t");
  TRY(check_replay(spec.replay_bytes));
  TRY(check_allow_missing(spec.allow_missing));
  return {};
}

Result<> validate(const ExecSpec& spec) {
  TRY(check_words(spec.command));
  TRY(check_env(spec.env));
  TRY(check_workdir(spec.workdir));
  TRY(check_user(spec.user));
  TRY(spec::check_limits(Limits{.wall_time = spec.wall_time, .output = spec.output}));
  if (!spec.replay_bytes) return {};
  TRY(check_replay(*spec.replay_bytes));
  if (spec.tty)
    return invalid("options_conflict", "validate replay: a terminal's output is not kept");
  return {};
}

}  // namespace caisson
