// From text to JSON values. The library's own way with a callback looks at all elements of an array
// after each object in it, which is quadratic; what is here is linear, stops at the first fault and
// has no recursion.
#include <nlohmann/json.hpp>

#include "spec/json.h"
#include "spec/text.h"

namespace caisson::spec {
namespace {

using nlohmann::json;

constexpr std::size_t kDeepest = 64;
constexpr int kNumberOutOfRange = 406;  // of the library's out_of_range

/// Builds the value from the parser's events; each returns false to stop the parser.
class Builder final : public nlohmann::json_sax<json> {
 public:
  explicit Builder(std::size_t most_values) : left_(most_values) {}

  bool null() override { return put(nullptr) != nullptr; }
  bool boolean(bool value) override { return put(value) != nullptr; }
  bool number_integer(json::number_integer_t value) override { return put(value) != nullptr; }
  bool number_unsigned(json::number_unsigned_t value) override { return put(value) != nullptr; }
  bool number_float(json::number_float_t value, const std::string&) override {
    return put(value) != nullptr;
  }
  bool string(std::string& value) override { return put(std::move(value)) != nullptr; }
  bool binary(json::binary_t&) override { return fail("binary data"); }
  bool start_object(std::size_t) override { return open(json::object()); }
  bool start_array(std::size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(std::string& name) override {
    const auto [at, added] = open_.back()->get_ref<json::object_t&>().emplace(name, nullptr);
    if (!added) return fail(format("key {} is given twice", quote(name)));
    member_ = &at->second;
    return true;
  }
  bool parse_error(std::size_t byte, const std::string&, const json::exception& error) override {
    if (error.id == kNumberOutOfRange) return fail("a number is too large");
    return fail(format("syntax error at byte {}", byte));
  }

  const std::string& fault() const { return fault_; }
  json take() { return std::move(root_); }

 private:
  bool fail(std::string cause) {
    fault_ = std::move(cause);
    return false;
  }
  json* put(json value) {
    if (left_ == 0) {
      fail("too many values");
      return nullptr;
    }
    --left_;
    if (open_.empty()) return &(root_ = std::move(value));
    if (open_.back()->is_object()) return &(*member_ = std::move(value));
    auto& array = open_.back()->get_ref<json::array_t&>();
    return &array.emplace_back(std::move(value));
  }
  bool open(json value) {
    if (open_.size() >= kDeepest) return fail("nested too deeply");
    json* place = put(std::move(value));
    if (place != nullptr) open_.push_back(place);
    return place != nullptr;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  json root_;
  std::vector<json*> open_;  // an array grows only while its last element is closed
  json* member_ = nullptr;
  std::size_t left_;
  std::string fault_;
};

Error json_fault(std::string_view cause) {
  return invalid("json_invalid", format("parse JSON: {}", cause));
}

}  // namespace

Result<json> parse_json(std::string_view text, std::size_t most_values) {
  Builder builder(most_values);
  try {
    if (json::sax_parse(text, &builder)) return builder.take();
  } catch (const json::exception&) {
    return json_fault("a value is out of range");
  }
  return json_fault(builder.fault().empty() ? "syntax error" : builder.fault());
}

}  // namespace caisson::spec
