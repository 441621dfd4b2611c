#include "fetch/registry/http_text.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "spec/json.h"

namespace caisson::fetch {
namespace {

std::optional<std::uint64_t> take_number(std::string_view& text) {
  std::uint64_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

bool take(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  text.remove_prefix(word.size());
  return true;
}

}  // namespace

std::optional<ContentRange> parse_content_range(std::string_view text) {
  if (!take(text, "bytes ")) return std::nullopt;
  const auto first = take_number(text);
  if (!first || !take(text, "-")) return std::nullopt;
  const auto last = take_number(text);
  if (!last || !take(text, "/")) return std::nullopt;
  const auto total = take_number(text);
  if (!total || !text.empty() || *first > *last || *last >= *total) return std::nullopt;
  return ContentRange{*first, *last, *total};
}

std::optional<std::uint64_t> parse_length(std::string_view text) {
  const auto value = take_number(text);
  return text.empty() ? value : std::nullopt;
}

std::optional<std::int64_t> parse_retry_after(std::string_view text, std::int64_t now) {
  if (const auto seconds = parse_length(text))
    return static_cast<std::int64_t>(std::min<std::uint64_t>(*seconds, 1u << 30));
  const time_t at = ::curl_getdate(std::string(text).c_str(), nullptr);
  if (at < 0) return std::nullopt;
  return std::max<std::int64_t>(at - now, 0);
}

std::int64_t back_off_ms(int attempt, std::uint32_t random) {
  const std::int64_t base = std::int64_t{500} << std::clamp(attempt - 2, 0, 5);
  return base * 3 / 4 + base / 2 * static_cast<std::int64_t>(random % 1000) / 1000;
}

std::string shown(std::string_view text) {
  constexpr std::size_t kMost = 200;
  std::string out;
  for (char c : text.substr(0, kMost)) out += c >= ' ' && c <= '~' ? c : '?';
  return text.size() > kMost ? out + "..." : out;
}

std::string error_message(std::string_view body) {
  const auto parsed = spec::parse_json(body, 1000);
  if (!parsed || !parsed->is_object()) return {};
  const auto errors = parsed->find("errors");
  if (errors == parsed->end() || !errors->is_array() || errors->empty()) return {};
  const auto& first = errors->front();
  if (!first.is_object()) return {};
  for (const char* name : {"message", "code"}) {
    const auto found = first.find(name);
    if (found != first.end() && found->is_string() && !found->get_ref<const std::string&>().empty())
      return shown(found->get_ref<const std::string&>());
  }
  return {};
}

}  // namespace caisson::fetch
