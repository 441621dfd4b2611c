#include "cli/options.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "caisson/spec.h"

namespace caisson::cli {
namespace {

// Calls `use` with each of "-e,--env" until it returns true.
template <class F>
bool any_name(std::string_view names, const F& use) {
  while (!names.empty()) {
    const std::size_t comma = names.find(',');
    if (use(names.substr(0, comma))) return true;
    names = comma == std::string_view::npos ? std::string_view() : names.substr(comma + 1);
  }
  return false;
}

std::optional<std::size_t> find_option(const std::vector<const OptionText*>& table,
                                       std::string_view name) {
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (any_name(table[i]->names, [&](std::string_view n) { return n == name; })) return i;
  }
  return std::nullopt;
}

class Reader {
 public:
  using Set = std::function<Result<>(std::size_t, std::string_view)>;
  Reader(const std::vector<const OptionText*>& table, Order order, Args args, const Set& set)
      : table_(table), order_(order), args_(args), set_(set) {}

  Result<Parsed> run() {
    while (next_ < args_.size() && !parsed_.help) {
      const std::string_view word = args_[next_++];
      if (word == "--") return take_rest(), std::move(parsed_);
      if (word.size() < 2 || word[0] != '-') {
        parsed_.arguments.emplace_back(word);
        if (order_ == Order::kOptionsFirst) return take_rest(), std::move(parsed_);
        continue;
      }
      auto read = word[1] == '-' ? read_long(word) : read_short(word);
      if (!read) return read.error();
    }
    return std::move(parsed_);
  }

 private:
  void take_rest() {
    while (next_ < args_.size()) parsed_.arguments.emplace_back(args_[next_++]);
  }

  std::optional<std::size_t> find(std::string_view name) const { return find_option(table_, name); }

  Result<> read_long(std::string_view word) {
    const std::size_t equals = word.find('=');
    const std::string_view name = word.substr(0, equals);
    if (name == "--help") return parsed_.help = true, Result<>();
    const auto index = find(name);
    if (!index) return unknown(name);
    const bool has_value = equals != std::string_view::npos;
    if (table_[*index]->value.empty()) {
      if (has_value) return fault(name, "option_value_unexpected", "it takes no value");
      return set(*index, name, {});
    }
    if (has_value) return set(*index, name, word.substr(equals + 1));
    return set_from_next(*index, name);
  }

  // "-it", "-eA=b" and "-e A=b".
  Result<> read_short(std::string_view word) {
    for (std::size_t i = 1; i < word.size(); ++i) {
      const std::string name = {'-', word[i]};
      if (name == "-h") return parsed_.help = true, Result<>();
      const auto index = find(name);
      if (!index) return unknown(i == 1 ? word : std::string_view(name));
      if (!table_[*index]->value.empty()) {
        std::string_view value = word.substr(i + 1);
        if (value.empty()) return set_from_next(*index, name);
        if (value[0] == '=') value.remove_prefix(1);
        return set(*index, name, value);
      }
      if (auto done = set(*index, name, {}); !done) return done;
    }
    return {};
  }

  Result<> set_from_next(std::size_t index, std::string_view name) {
    if (next_ == args_.size()) {
      return fault(name, "option_value_missing",
                   "its value " + std::string(table_[index]->value) + " is missing");
    }
    return set(index, name, args_[next_++]);
  }

  Result<> set(std::size_t index, std::string_view name, std::string_view value) {
    auto done = set_(index, value);
    if (done) return {};
    Error error = std::move(done.error());
    error.message = "option '" + std::string(name) + "': " + error.message;
    return error;
  }

  Result<> unknown(std::string_view name) const {
    std::vector<std::string> known = {"--help"};
    for (const OptionText* option : table_) {
      any_name(option->names, [&](std::string_view n) { return known.emplace_back(n), false; });
    }
    const std::string near = did_you_mean(name, known);
    return cli_error(Code::kInvalidArgument, "option_unknown",
                     "read option '" + std::string(name) + "': no such option",
                     near.empty() ? "--help lists the options" : "did you mean '" + near + "'?");
  }

  static Result<> fault(std::string_view name, std::string_view reason, std::string cause) {
    return cli_error(Code::kInvalidArgument, reason,
                     "read option '" + std::string(name) + "': " + std::move(cause));
  }

  const std::vector<const OptionText*>& table_;
  Order order_;
  Args args_;
  const Set& set_;
  std::size_t next_ = 0;
  Parsed parsed_;
};

}  // namespace

Result<Parsed> read_options(const std::vector<const OptionText*>& table, Order order, Args args,
                            const std::function<Result<>(std::size_t, std::string_view)>& set) {
  return Reader(table, order, args, set).run();
}

bool asks_for_json(const std::vector<const OptionText*>& table, Order order, Args args) {
  bool may_be_value = false;
  for (std::size_t i = 0; i < args.size(); ++i) {
    const std::string_view word = args[i];
    if (word == "--") return false;
    if (word == "--json") return true;
    if (word.size() < 2 || word[0] != '-') {
      if (order == Order::kOptionsFirst && !may_be_value) return false;
      may_be_value = false;
      continue;
    }
    const auto index = find_option(table, word);
    may_be_value = !index && word.find('=') == std::string_view::npos;
    if (index && !table[*index]->value.empty()) ++i;
  }
  return false;
}

std::string help_text(const CommandText& text, const std::vector<const OptionText*>& table) {
  std::string out = "Usage: caisson " + std::string(text.name);
  if (!text.usage.empty()) out.append(1, ' ').append(text.usage);
  out += "\n\n" + std::string(text.about) + "\n";
  std::vector<std::string> heads;
  std::size_t width = std::string_view("-h, --help").size();
  for (const OptionText* option : table) {
    std::string head;
    any_name(option->names, [&](std::string_view name) {
      head += head.empty() ? (name[1] == '-' ? "    " : "") : ", ";
      return head += name, false;
    });
    if (!option->value.empty()) head.append(1, ' ').append(option->value);
    width = std::max(width, head.size());
    heads.push_back(std::move(head));
  }
  out += "\nOptions:\n";
  for (std::size_t i = 0; i < heads.size(); ++i) {
    out += "  " + heads[i] + std::string(width + 2 - heads[i].size(), ' ');
    out += std::string(table[i]->help) + "\n";
  }
  out += "  -h, --help" + std::string(width - 8, ' ') + "print this text\n";
  return out + "\nExample:\n" + std::string(text.example);
}

void drop_separator(std::vector<std::string>& arguments) {
  if (arguments.size() > 1 && arguments[1] == "--") arguments.erase(arguments.begin() + 1);
}

std::string working_directory() {
  char* cwd = ::getcwd(nullptr, 0);
  std::string path = cwd != nullptr ? cwd : "/";
  std::free(cwd);
  return path;
}

Error usage_error(std::string_view command, std::string_view reason, std::string cause,
                  std::string hint) {
  if (hint.empty()) hint = "caisson " + std::string(command) + " --help shows the usage";
  return cli_error(Code::kInvalidArgument, reason,
                   "parse arguments of '" + std::string(command) + "': " + std::move(cause),
                   std::move(hint));
}

Result<std::uint64_t> parse_count(std::string_view text) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc() && stop == end) return number;
  return cli_error(Code::kInvalidArgument, "option_value_invalid",
                   "parse '" + std::string(text) + "': not a number without sign");
}

}  // namespace caisson::cli
