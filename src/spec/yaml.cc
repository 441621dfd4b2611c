#include "spec/yaml.h"

#include <yaml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>

#include "caisson/spec.h"
#include "spec/json.h"
#include "spec/json_builder.h"
#include "spec/text.h"

namespace caisson {
namespace spec {
namespace {

using nlohmann::json;

constexpr std::size_t kMostBytes = 1u << 20;

/// Members whose numbers and booleans are the text that was written.
constexpr std::array<std::string_view, 7> kTextMembers = {
    "command", "entrypoint", "env", "labels", "user", "groups", "stop_signal"};

Error fault(std::size_t line, std::size_t column, std::string_view cause, std::string hint = {}) {
  return invalid("yaml_invalid", format("line {}, column {}: {}", line, column, cause),
                 std::move(hint));
}

Error fault(const yaml_mark_t& mark, std::string_view cause, std::string hint = {}) {
  return fault(mark.line + 1, mark.column + 1, cause, std::move(hint));
}

/// At a byte of the text, for what is found before there are any marks.
Error fault_at(std::string_view text, std::size_t offset, std::string_view cause) {
  const std::string_view before = text.substr(0, std::min(offset, text.size()));
  const std::size_t line_start = before.rfind('\n') + 1;  // npos + 1 is 0
  return fault(1 + static_cast<std::size_t>(std::ranges::count(before, '\n')),
               before.size() - line_start + 1, cause);
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::ranges::count(words, text) != 0;
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, is_digit);
}

/// [-+]?( \.[0-9]+ | [0-9]+( \.[0-9]* )? )( [eE][-+]?[0-9]+ )? of YAML 1.2, section 10.3.2.
bool is_float(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  const std::size_t e = text.find_first_of("eE");
  if (e != std::string_view::npos) {
    std::string_view exponent = text.substr(e + 1);
    if (exponent.starts_with('-') || exponent.starts_with('+')) exponent.remove_prefix(1);
    if (!all_digits(exponent)) return false;
    text = text.substr(0, e);
  }
  const std::size_t dot = text.find('.');
  if (dot == std::string_view::npos) return all_digits(text);
  const std::string_view whole = text.substr(0, dot), fraction = text.substr(dot + 1);
  if (whole.empty()) return all_digits(fraction);
  return all_digits(whole) && (fraction.empty() || all_digits(fraction));
}

/// Feeds the events of libyaml to a JsonBuilder.
class Reader {
 public:
  Reader(std::string_view text, std::span<const std::string_view> text_members)
      : text_(text), builder_(SIZE_MAX, text_members) {
    ready_ = yaml_parser_initialize(&parser_) != 0;
    if (!ready_) return;
    yaml_parser_set_encoding(&parser_, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  ~Reader() {
    if (ready_) yaml_parser_delete(&parser_);
  }

  Result<json> read() {
    bool done = !ready_;
    while (!done) {
      yaml_event_t event;
      if (yaml_parser_parse(&parser_, &event) == 0) return parser_fault();
      done = event.type == YAML_STREAM_END_EVENT;
      Result<> taken = take(event);
      yaml_event_delete(&event);
      if (!taken) return std::move(taken).error();
    }
    if (documents_ == 0) return fault(1, 1, "there is no document");
    return builder_.take();
  }

 private:
  Error parser_fault() const {
    const char* problem = parser_.problem != nullptr ? parser_.problem : "out of memory";
    if (parser_.error == YAML_READER_ERROR) return fault_at(text_, parser_.problem_offset, problem);
    const char* context = parser_.context != nullptr ? parser_.context : "";
    const bool colon = std::string_view(problem).starts_with("mapping values are not allowed");
    return fault(
        parser_.problem_mark, format("{}{}{}", context, *context ? ": " : "", problem),
        colon ? "a text with a ':' before a blank or at its end is quoted: \"host:\"" : "");
  }

  Result<> take(const yaml_event_t& event) {
    const yaml_mark_t& mark = event.start_mark;
    switch (event.type) {
      case YAML_DOCUMENT_START_EVENT:
        if (++documents_ > 1) return fault(mark, "a second document begins", "one box a file");
        return {};
      case YAML_ALIAS_EVENT:
        return fault(mark, "aliases are not supported", "write the value out");
      case YAML_SCALAR_EVENT:
        TRY(check_plain_node(mark, event.data.scalar.anchor, event.data.scalar.tag));
        return take_scalar(event);
      case YAML_SEQUENCE_START_EVENT:
        TRY(check_plain_node(mark, event.data.sequence_start.anchor,
                             event.data.sequence_start.tag));
        return build(mark, !builder_.wants_key() && builder_.start_array(0));
      case YAML_MAPPING_START_EVENT:
        TRY(check_plain_node(mark, event.data.mapping_start.anchor, event.data.mapping_start.tag));
        return build(mark, !builder_.wants_key() && builder_.start_object(0));
      case YAML_SEQUENCE_END_EVENT:
        return build(mark, builder_.end_array());
      case YAML_MAPPING_END_EVENT:
        return build(mark, builder_.end_object());
      default:
        return {};
    }
  }

  static Result<> check_plain_node(const yaml_mark_t& mark, const yaml_char_t* anchor,
                                   const yaml_char_t* tag) {
    if (anchor != nullptr) return fault(mark, "anchors are not supported", "write the value out");
    if (tag != nullptr)
      return fault(mark, "tags are not supported", "a text in quotes is text, whatever it holds");
    return {};
  }

  Result<> build(const yaml_mark_t& mark, bool built) const {
    if (built) return {};
    return fault(mark, builder_.fault().empty() ? "a key is not a text" : builder_.fault());
  }

  Result<> take_scalar(const yaml_event_t& event) {
    const auto& scalar = event.data.scalar;
    std::string text(reinterpret_cast<const char*>(scalar.value), scalar.length);
    const bool plain = scalar.style == YAML_PLAIN_SCALAR_STYLE;
    const yaml_mark_t& mark = event.start_mark;
    if (builder_.wants_key()) {
      if (plain && text == "<<")
        return fault(mark, "merge keys are not supported", "write the values out");
      return build(mark, builder_.key(text));
    }
    if (!plain) return build(mark, builder_.string(text));
    return take_plain(mark, text);
  }

  /// The core schema's resolution: what it does not know is text.
  Result<> take_plain(const yaml_mark_t& mark, std::string& text) {
    if (is_one_of(text, {"", "~", "null", "Null", "NULL"})) return build(mark, builder_.null());
    if (builder_.wants_text()) return build(mark, builder_.string(text));
    if (is_one_of(text, {"true", "True", "TRUE"})) return build(mark, builder_.boolean(true));
    if (is_one_of(text, {"false", "False", "FALSE"})) return build(mark, builder_.boolean(false));
    if (text.starts_with("0o")) return take_unsigned(mark, text, 8);
    if (text.starts_with("0x")) return take_unsigned(mark, text, 16);
    const std::string_view digits =
        std::string_view(text).substr(text.starts_with('-') || text.starts_with('+') ? 1 : 0);
    if (all_digits(digits)) return take_integer(mark, text, digits);
    return take_float(mark, text, digits);
  }

  Result<> take_unsigned(const yaml_mark_t& mark, std::string& text, int base) {
    std::uint64_t number = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + 2, end, number, base);
    if (error == std::errc::invalid_argument || stop != end)
      return build(mark, builder_.string(text));
    if (error != std::errc()) return fault(mark, "a number is too large");
    return build(mark, builder_.number_unsigned(number));
  }

  Result<> take_integer(const yaml_mark_t& mark, std::string_view text, std::string_view digits) {
    if (digits.size() > 1 && digits.front() == '0')
      return fault(mark, format("the number {} begins with a 0", quote(text)),
                   "write 0o755 for an octal number, or quote it");
    const std::optional<std::uint64_t> number = to_unsigned(digits);
    constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
    const bool negative = text.front() == '-';
    if (!number || (negative && *number > kMost)) return fault(mark, "a number is too large");
    if (!negative) return build(mark, builder_.number_unsigned(*number));
    return build(mark, builder_.number_integer(-static_cast<std::int64_t>(*number)));
  }

  Result<> take_float(const yaml_mark_t& mark, std::string& text, std::string_view unsigned_text) {
    const double sign = text.front() == '-' ? -1 : 1;
    if (is_one_of(unsigned_text, {".inf", ".Inf", ".INF"}))
      return build(mark,
                   builder_.number_float(sign * std::numeric_limits<double>::infinity(), text));
    if (is_one_of(text, {".nan", ".NaN", ".NAN"}))
      return build(mark, builder_.number_float(std::numeric_limits<double>::quiet_NaN(), text));
    if (!is_float(text)) return build(mark, builder_.string(text));
    double number = 0;
    const char* end = unsigned_text.data() + unsigned_text.size();
    const auto [stop, error] = std::from_chars(unsigned_text.data(), end, number);
    if (error != std::errc() || stop != end) return fault(mark, "a number is out of range");
    return build(mark, builder_.number_float(sign * number, text));
  }

  std::string_view text_;
  JsonBuilder builder_;
  yaml_parser_t parser_;
  bool ready_ = false;
  unsigned documents_ = 0;
};

}  // namespace

Result<json> parse_yaml(std::string_view text, std::span<const std::string_view> text_members) {
  if (text.size() > kMostBytes)
    return invalid("yaml_invalid", format("{} bytes are too many", text.size()), "at most 1 MiB");
  // libyaml reads YAML 1.1, of which JSON is no part: it refuses pairs of surrogates, and keys of
  // more than 1,024 bytes.
  if (Result<json> value = parse_json(text, SIZE_MAX, text_members)) return value;
  // libyaml compares each %TAG with all before it.
  const std::size_t tag = text.starts_with("%TAG") ? 0 : text.find("\n%TAG");
  if (tag != std::string_view::npos)
    return fault_at(text, tag + (text[tag] == '\n' ? 1 : 0), "tags are not supported");
  const std::size_t nul = text.find('\0');
  if (nul != std::string_view::npos) return fault_at(text, nul, "a NUL byte");
  return Reader(text, text_members).read();
}

}  // namespace spec

Result<BoxSpec> box_spec_from_yaml(std::string_view yaml) {
  return spec::decode_box_spec(TRY(spec::parse_yaml(yaml, spec::kTextMembers)));
}

}  // namespace caisson
