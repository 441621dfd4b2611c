// Building a JSON value from a parser's events, whichever language the parser reads.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace caisson::spec {

/// Takes events in the order of the text; each returns false to stop the parser, and fault() says
/// why. Nesting deeper than 64, repeated keys and more values than `most_values` are faults.
/// Numbers and booleans anywhere in a member that `text_members` names become the text that was
/// written: people who write `PORT: 8080` mean text.
class JsonBuilder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit JsonBuilder(std::size_t most_values, std::span<const std::string_view> text_members = {})
      : left_(most_values), text_members_(text_members) {}

  bool null() override;
  bool boolean(bool value) override;
  bool number_integer(number_integer_t value) override;
  bool number_unsigned(number_unsigned_t value) override;
  bool number_float(number_float_t value, const std::string& text) override;
  bool string(std::string& value) override;
  bool binary(nlohmann::json::binary_t&) override;
  bool start_object(std::size_t) override;
  bool start_array(std::size_t) override;
  bool key(std::string& name) override;
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t byte, const std::string& token,
                   const nlohmann::json::exception& error) override;

  /// Whether the next value is to be text.
  bool wants_text() const;
  /// Whether the next event in the innermost container is a key.
  bool wants_key() const {
    return !open_.empty() && open_.back()->is_object() && member_ == nullptr;
  }
  const std::string& fault() const { return fault_; }
  nlohmann::json take() { return std::move(root_); }

 private:
  bool fail(std::string cause);
  nlohmann::json* put(nlohmann::json value);
  bool open(nlohmann::json value);
  bool close();

  nlohmann::json root_;
  std::vector<nlohmann::json*> open_;  // an array grows only while its last element is closed
  nlohmann::json* member_ = nullptr;   // the place for the value of the last key
  bool member_is_text_ = false;
  std::size_t text_depth_ = 0;  // of the outermost container whose values are text; 0: none
  std::size_t left_;
  std::span<const std::string_view> text_members_;
  std::string fault_;
};

}  // namespace caisson::spec
