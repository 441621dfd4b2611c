#include "spec/text.h"

#include <algorithm>
#include <charconv>

#include "caisson/spec.h"

namespace caisson::spec {
namespace {

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::size_t kLongestQuote = 200;

unsigned char byte_at(std::string_view text, std::size_t i) {
  return static_cast<unsigned char>(text[i]);
}

/// The length of the UTF-8 sequence at `i`, or 0 when there is none.
std::size_t sequence_length(std::string_view text, std::size_t i) {
  const unsigned char first = byte_at(text, i);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || i + length > text.size()) return 0;
  for (std::size_t k = 1; k < length; ++k)
    if ((byte_at(text, i + k) & 0xc0) != 0x80) return 0;
  const unsigned char second = byte_at(text, i + 1);
  const bool bad = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
                   (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
  return bad ? 0 : length;
}

/// C0, DEL and C1 (U+0080..U+009F) can drive a terminal.
bool is_control(std::string_view text, std::size_t i) {
  const unsigned char c = byte_at(text, i);
  return c < 0x20 || c == 0x7f || (c == 0xc2 && byte_at(text, i + 1) < 0xa0);
}

}  // namespace

std::string quote(std::string_view text) {
  std::string result = "'";
  for (std::size_t i = 0; i < text.size();) {
    if (result.size() > kLongestQuote) return result + "...'";
    const std::size_t length = sequence_length(text, i);
    if (length == 0 || is_control(text, i)) {
      const std::size_t bytes = std::max<std::size_t>(length, 1);
      for (std::size_t k = 0; k < bytes; ++k) result += format("\\x{:02x}", byte_at(text, i + k));
      i += bytes;
    } else {
      result += text.substr(i, length);
      i += length;
    }
  }
  return result + "'";
}

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = sequence_length(text, i);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

std::string base64_encode(std::string_view bytes) {
  std::string result;
  result.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t have = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k)
      group = group << 8 | (k < have ? byte_at(bytes, i + k) : 0u);
    for (std::size_t k = 0; k < 4; ++k)
      result += k <= have ? kBase64[(group >> (18 - 6 * k)) & 63] : '=';
  }
  return result;
}

std::optional<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string_view digits = text;
  for (int i = 0; i < 2 && digits.ends_with('='); ++i) digits.remove_suffix(1);
  std::string result;
  std::uint32_t bits = 0;
  int have = 0;
  for (char c : digits) {
    const std::size_t value = kBase64.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = (bits << 6 | static_cast<std::uint32_t>(value)) & 0xffff;
    have += 6;
    if (have < 8) continue;
    have -= 8;
    result += static_cast<char>(bits >> have & 0xff);
  }
  // What is left over must be zero, so that every value has one spelling.
  if ((bits & ((1u << have) - 1)) != 0) return std::nullopt;
  return result;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_alnum(char c) { return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::optional<std::uint64_t> to_unsigned(std::string_view text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (text.empty() || stop != end || error != std::errc{}) return std::nullopt;
  return value;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::string join(const std::vector<std::string>& words, std::string_view separator) {
  std::string result;
  for (const std::string& word : words) {
    if (!result.empty()) result += separator;
    result += word;
  }
  return result;
}

Error invalid(std::string_view reason, std::string message, std::string hint,
              std::source_location where) {
  return make_error(Code::kInvalidArgument, reason, std::move(message), std::move(hint), where);
}

std::string suggest(std::string_view word, const std::vector<std::string>& candidates,
                    std::string_view fallback) {
  const std::string near = did_you_mean(word, candidates);
  if (!near.empty()) return format("did you mean '{}'?", near);
  return format("known {}: {}", fallback, join(candidates, ", "));
}

}  // namespace caisson::spec
