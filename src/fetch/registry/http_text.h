// What headers of HTTP say, read strictly. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace caisson::fetch {

/// "bytes 5-9/10" (RFC 9110, section 14.4).
struct ContentRange {
  std::uint64_t first = 0, last = 0, total = 0;
  friend bool operator==(const ContentRange&, const ContentRange&) = default;
};
std::optional<ContentRange> parse_content_range(std::string_view text);

std::optional<std::uint64_t> parse_length(std::string_view text);

/// Seconds to wait: a number, or an HTTP date counted from `now` (seconds since the epoch).
std::optional<std::int64_t> parse_retry_after(std::string_view text, std::int64_t now);

/// Before which try (from 2 on) how long to wait, in milliseconds: half a second, doubled each
/// time, a quarter more or less by `random` so that many clients do not come back together.
std::int64_t back_off_ms(int attempt, std::uint32_t random);

/// `text` without what a terminal would act on, at most 200 bytes.
std::string shown(std::string_view text);

/// What a registry says of an error (distribution-spec, "Error Codes"): the first message, or
/// empty.
std::string error_message(std::string_view body);

}  // namespace caisson::fetch
