#include "cli/text.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <utility>

namespace caisson::cli {
namespace {

struct Character {
  char32_t code = 0;
  std::size_t length = 0;  // 0: not UTF-8
};

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

// Overlong forms, surrogates and codes above U+10FFFF are not UTF-8 (RFC 3629).
Character next_character(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return {};
  char32_t code = lead & (0x7fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if (!is_continuation(text[i])) return {};
    code = (code << 6) | (static_cast<unsigned char>(text[i]) & 0x3fu);
  }
  const char32_t smallest = length == 4 ? 0x10000 : length == 3 ? 0x800 : 0x80;
  if (code < smallest || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return {};
  return {code, length};
}

bool acts_on_a_terminal(char32_t code) {
  if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return true;
  return code == 0x061c || code == 0x2028 || code == 0x2029 || code == 0x200e || code == 0x200f ||
         (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
}

constexpr std::string_view kDigits = "0123456789abcdef";

void append_hex(std::string& out, std::string_view bytes) {
  for (char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += "\\x";
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
}

/// Whether `bytes` may be the beginning of a character, or of "\r\n", whose rest is still to come.
bool is_begun(std::string_view bytes) {
  const auto lead = static_cast<unsigned char>(bytes[0]);
  if (lead == '\r') return bytes.size() == 1;
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  return lead >= 0xc2 && lead <= 0xf4 && bytes.size() < length &&
         std::all_of(bytes.begin() + 1, bytes.end(), is_continuation);
}

}  // namespace

namespace {

/// `text` with every character, or byte that is none, as write(out, character, bytes) puts it.
template <class Write>
std::string rewritten(std::string_view text, Write write) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const Character c = next_character(text);
    const std::size_t length = std::max<std::size_t>(c.length, 1);
    write(out, c, text.substr(0, length));
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace

std::string escape(std::string_view bytes) {
  return rewritten(bytes, [](std::string& out, const Character& c, std::string_view piece) {
    if (c.length == 0 || acts_on_a_terminal(c.code))
      append_hex(out, piece);
    else
      out += piece;
  });
}

std::string harmless_json(std::string_view json) {
  return rewritten(json, [](std::string& out, const Character& c, std::string_view piece) {
    // What is below U+0020 is blank space between values: a string has none of it.
    if (c.code < 0x20 || !acts_on_a_terminal(c.code)) {
      out += piece;
      return;
    }
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) out += kDigits[(c.code >> shift) & 15u];
  });
}

std::string TerminalText::add(std::string_view bytes) {
  const std::string all = std::exchange(rest_, {}) + std::string(bytes);
  std::string out;
  std::string_view left = all;
  while (!left.empty()) {
    if (is_begun(left)) {
      rest_ = left;
      break;
    }
    const bool line_end = left.starts_with("\r\n");
    const std::size_t length = line_end ? 2 : std::max<std::size_t>(next_character(left).length, 1);
    const std::string_view one = left.substr(0, length);
    out += line_end || one == "\n" || one == "\t" ? std::string(one) : escape(one);
    left.remove_prefix(length);
  }
  return out;
}

std::string TerminalText::end() { return escape(std::exchange(rest_, {})); }

bool is_utf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const Character c = next_character(bytes);
    if (c.length == 0) return false;
    bytes.remove_prefix(c.length);
  }
  return true;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    const std::size_t have = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < 3; ++k) {
      group = (group << 8) | (k < have ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      out += k <= have ? kAlphabet[(group >> (18 - 6 * k)) & 63u] : '=';
    }
  }
  return out;
}

std::string relative_time(std::int64_t now_ns, std::int64_t then_ns) {
  struct Unit {
    std::int64_t seconds;
    std::string_view name;
  };
  constexpr std::array<Unit, 7> kUnits = {{{31'557'600, "year"},
                                           {2'629'800, "month"},
                                           {604'800, "week"},
                                           {86'400, "day"},
                                           {3'600, "hour"},
                                           {60, "minute"},
                                           {1, "second"}}};
  const std::int64_t seconds = (now_ns - then_ns) / 1'000'000'000;
  for (const Unit& unit : kUnits) {
    const std::int64_t count = seconds / unit.seconds;
    if (count < 1) continue;
    return std::to_string(count) + " " + std::string(unit.name) + (count > 1 ? "s ago" : " ago");
  }
  return "less than a second ago";
}

std::string time_text(std::int64_t ns) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  const std::time_t seconds = ns / kSecond;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 40> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S.", &parts);
  const std::string millis = std::to_string(ns % kSecond / 1'000'000 + 1000).substr(1);
  return std::string(text.data(), size) + millis + "Z";
}

std::string human_size(std::uint64_t bytes) {
  constexpr std::array<const char*, 6> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text.data();
}

std::string human_duration(std::int64_t nanoseconds) {
  std::array<char, 48> text{};
  if (nanoseconds < 1'000'000'000) {
    std::snprintf(text.data(), text.size(), "%.0fms", static_cast<double>(nanoseconds) / 1e6);
  } else {
    std::snprintf(text.data(), text.size(), "%.2fs", static_cast<double>(nanoseconds) / 1e9);
  }
  return text.data();
}

std::string counted(std::size_t count, std::string_view noun) {
  return std::to_string(count) + " " + std::string(noun) + (count == 1 ? "" : "s");
}

std::size_t columns_of(std::string_view text) {
  return text.size() -
         static_cast<std::size_t>(std::count_if(text.begin(), text.end(), is_continuation));
}

std::string shorten(const std::string& text, std::size_t width) {
  if (columns_of(text) <= width) return text;
  std::size_t end = 0;
  for (std::size_t seen = 0; end < text.size(); ++end) {
    if (!is_continuation(text[end]) && ++seen == width) break;
  }
  return text.substr(0, end) + "…";
}

std::string short_id(const std::string& id) { return id.substr(0, 16); }

void Table::add(std::vector<std::string> row) {
  for (std::string& cell : row) cell = escape(cell);
  rows_.push_back(std::move(row));
}

void Table::add_alarming(std::vector<std::string> row) {
  if (::isatty(STDOUT_FILENO) == 1) alarming_.insert(rows_.size());
  add(std::move(row));
}

std::string Table::text() const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], columns_of(row[i]));
  }
  std::string out;
  for (std::size_t number = 0; number < rows_.size(); ++number) {
    const auto& row = rows_[number];
    const bool red = alarming_.contains(number);
    if (red) out += "\x1b[31m";
    for (std::size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out.append(widths[i] + 3 - columns_of(row[i]), ' ');
    }
    out += red ? "\x1b[0m\n" : "\n";
  }
  return out;
}

}  // namespace caisson::cli
