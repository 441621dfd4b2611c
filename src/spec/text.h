// Small pure helpers for text that may be hostile.
#pragma once

#include <cstdint>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace caisson::spec {

/// `text` in single quotes for an error message: control characters and bytes that are not
/// UTF-8 become \xNN, and a long text is cut, so that a message stays one printable line.
std::string quote(std::string_view text);

/// Strict UTF-8 (RFC 3629): no overlong forms, no surrogates.
bool is_utf8(std::string_view text);

/// Base 64 of RFC 4648 section 4, padded; decoding is strict.
std::string base64_encode(std::string_view bytes);
std::optional<std::string> base64_decode(std::string_view text);

/// ASCII only, independent of the locale.
std::string lower(std::string_view text);
bool is_digit(char c);
bool is_alnum(char c);

/// The whole of `text` as decimal digits; absent when it is not, or is too large.
std::optional<std::uint64_t> to_unsigned(std::string_view text);

std::vector<std::string_view> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& words, std::string_view separator);

/// Code::kInvalidArgument.
Error invalid(std::string_view reason, std::string message, std::string hint = {},
              std::source_location where = std::source_location::current());

/// "did you mean 'x'?" or, when nothing is near, "known FALLBACK: a, b, c".
std::string suggest(std::string_view word, const std::vector<std::string>& candidates,
                    std::string_view fallback);

}  // namespace caisson::spec
