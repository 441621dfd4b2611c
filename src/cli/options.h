// Options of a command as constant tables, and the reader that walks argv over them.
//
// The tables are plain constants and the reader allocates next to nothing: `caisson run` is
// measured in single milliseconds, and a parser library that builds its objects at run time
// cost 0.3 of them.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "caisson/result.h"
#include "cli/io.h"
#include "cli/report.h"

namespace caisson::cli {

/// The arguments after the command's name.
using Args = std::span<char* const>;

struct OptionText {
  std::string_view names;  ///< "-e,--env"
  std::string_view value;  ///< what help calls its value; empty: a flag
  std::string_view help;
};

template <class T>
struct Option : OptionText {
  Result<> (*set)(T& into, std::string_view value);  ///< a flag gets an empty value
};

struct CommandText {
  std::string_view name;
  std::string_view usage;  ///< what follows the name, e.g. "[OPTIONS] BOX..."
  std::string_view about;
  std::string_view example;  ///< one or more whole lines
};

/// Where options may stand: anywhere, or only before the first argument (what follows belongs
/// to a command that runs in a box).
enum class Order { kAnywhere, kOptionsFirst };

struct Parsed {
  bool help = false;  ///< --help was met; nothing after it was read
  std::vector<std::string> arguments;
};

/// Accepts `--name value`, `--name=value`, `-n value`, `-nvalue`, `-abc` for flags, and `--` as
/// the end of the options. `set` gets the index into `table`.
Result<Parsed> read_options(const std::vector<const OptionText*>& table, Order order, Args args,
                            const std::function<Result<>(std::size_t, std::string_view)>& set);

/// Whether --json is among the options, for arguments that cannot be read: what is no option and
/// follows an unknown one may be its value.
bool asks_for_json(const std::vector<const OptionText*>& table, Order order, Args args);

/// The text of `--help`.
std::string help_text(const CommandText& text, const std::vector<const OptionText*>& table);

/// Removes a "--" that stands between SOURCE (or BOX) and the command.
void drop_separator(std::vector<std::string>& arguments);

/// "parse arguments of 'run': SOURCE is missing".
Error usage_error(std::string_view command, std::string_view reason, std::string cause,
                  std::string hint = {});

template <class T>
std::vector<const OptionText*> texts(std::span<const Option<T>> table) {
  std::vector<const OptionText*> list;
  list.reserve(table.size());
  for (const Option<T>& option : table) list.push_back(&option);
  return list;
}

/// Reads `args` into `into` and `arguments`. An exit status means the command is done: help
/// was printed, or an error was.
template <class T>
std::optional<int> parse(const CommandText& text, std::span<const Option<T>> table, Order order,
                         Args args, T& into, std::vector<std::string>& arguments) {
  const auto list = texts(table);
  auto parsed = read_options(list, order, args, [&](std::size_t i, std::string_view value) {
    return table[i].set(into, value);
  });
  if (!parsed) {
    bool json = false;
    if constexpr (requires { into.json; }) json = asks_for_json(list, order, args);
    return fail(parsed.error(), json);
  }
  if (parsed->help) return print(help_text(text, list));
  arguments = std::move(parsed->arguments);
  return std::nullopt;
}

/// The directory in which the user stands: relative paths count from it.
std::string working_directory();

/// A number without sign, as an option's value.
Result<std::uint64_t> parse_count(std::string_view text);

/// A setter for a flag that is a bool member: `set_true<&Settings::all>`.
template <auto Member, class T>
Result<> set_true(T& into, std::string_view) {
  into.*Member = true;
  return {};
}

/// A setter for a text member.
template <auto Member, class T>
Result<> set_text(T& into, std::string_view value) {
  into.*Member = std::string(value);
  return {};
}

}  // namespace caisson::cli
