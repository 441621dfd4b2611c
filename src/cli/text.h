// Text for people: escaping, sizes, times and tables. Pure functions.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace caisson::cli {

/// `bytes` on one line that no terminal acts on: control characters (C0, DEL, C1), line and
/// direction controls of Unicode, and bytes that are not UTF-8 become \xNN.
std::string escape(std::string_view bytes);

/// The same JSON document, in whose strings those characters stand as \uNNNN.
std::string harmless_json(std::string_view json);

/// Escapes as escape() does, for text that comes in pieces cut anywhere: lines stay lines, and tabs
/// tabs.
class TerminalText {
 public:
  std::string add(std::string_view bytes);
  /// What was held back because its rest never came.
  std::string end();

 private:
  std::string rest_;
};

bool is_utf8(std::string_view bytes);

/// RFC 4648 with padding.
std::string base64(std::string_view bytes);

/// "3 minutes ago". A time in the future (a clock was set back) counts as now.
std::string relative_time(std::int64_t now_ns, std::int64_t then_ns);

/// "2026-11-28T10:25:43.766Z" (RFC 3339) of nanoseconds since the Unix epoch.
std::string time_text(std::int64_t ns);

/// "12.3 MiB".
std::string human_size(std::uint64_t bytes);

/// "1.25s", "310ms".
std::string human_duration(std::int64_t nanoseconds);

/// "1 layer", "2 layers".
std::string counted(std::size_t count, std::string_view noun);

/// Characters of UTF-8 text.
std::size_t columns_of(std::string_view text);

/// The first `width` characters of `text`, the last one "…" when something was cut.
std::string shorten(const std::string& text, std::size_t width);

/// The first 16 characters of an id: ten of time, six of chance. Enough to find a box by.
std::string short_id(const std::string& id);

/// Left-aligned columns, three blanks apart. Cells are escaped by the table.
class Table {
 public:
  explicit Table(std::vector<std::string> header) { add(std::move(header)); }
  void add(std::vector<std::string> row);
  /// A row that stands out: red, when standard output is a terminal.
  void add_alarming(std::vector<std::string> row);
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::set<std::size_t> alarming_;
};

}  // namespace caisson::cli
