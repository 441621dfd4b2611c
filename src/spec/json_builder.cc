// The library's own way with a callback looks at all elements of an array after each object in it,
// which is quadratic; what is here is linear, stops at the first fault and has no recursion.
#include "spec/json_builder.h"

#include <algorithm>

#include "spec/text.h"

namespace caisson::spec {
namespace {

using nlohmann::json;

constexpr std::size_t kDeepest = 64;
constexpr int kNumberOutOfRange = 406;  // of the library's out_of_range

}  // namespace

bool JsonBuilder::null() { return put(nullptr) != nullptr; }

bool JsonBuilder::boolean(bool value) {
  if (wants_text()) return put(value ? "true" : "false") != nullptr;
  return put(value) != nullptr;
}

bool JsonBuilder::number_integer(number_integer_t value) {
  if (wants_text()) return put(std::to_string(value)) != nullptr;
  return put(value) != nullptr;
}

bool JsonBuilder::number_unsigned(number_unsigned_t value) {
  if (wants_text()) return put(std::to_string(value)) != nullptr;
  return put(value) != nullptr;
}

bool JsonBuilder::number_float(number_float_t value, const std::string& text) {
  if (wants_text()) return put(text) != nullptr;
  return put(value) != nullptr;
}

bool JsonBuilder::string(std::string& value) { return put(std::move(value)) != nullptr; }
bool JsonBuilder::binary(json::binary_t&) { return fail("binary data"); }
bool JsonBuilder::start_object(std::size_t) { return open(json::object()); }
bool JsonBuilder::start_array(std::size_t) { return open(json::array()); }

bool JsonBuilder::key(std::string& name) {
  const auto [at, added] = open_.back()->get_ref<json::object_t&>().emplace(name, nullptr);
  if (!added) return fail(format("key {} is given twice", quote(name)));
  member_ = &at->second;
  member_is_text_ = std::ranges::count(text_members_, name) != 0;
  return true;
}

bool JsonBuilder::parse_error(std::size_t byte, const std::string&, const json::exception& error) {
  if (error.id == kNumberOutOfRange) return fail("a number is too large");
  return fail(format("syntax error at byte {}", byte));
}

bool JsonBuilder::wants_text() const {
  return text_depth_ != 0 || (member_ != nullptr && member_is_text_);
}

bool JsonBuilder::fail(std::string cause) {
  fault_ = std::move(cause);
  return false;
}

json* JsonBuilder::put(json value) {
  if (left_ == 0) {
    fail("too many values");
    return nullptr;
  }
  --left_;
  if (open_.empty()) return &(root_ = std::move(value));
  if (open_.back()->is_array())
    return &open_.back()->get_ref<json::array_t&>().emplace_back(std::move(value));
  json* place = std::exchange(member_, nullptr);
  return &(*place = std::move(value));
}

bool JsonBuilder::open(json value) {
  if (open_.size() >= kDeepest) return fail("nested too deeply");
  const bool text = wants_text();
  json* place = put(std::move(value));
  if (place == nullptr) return false;
  open_.push_back(place);
  if (text && text_depth_ == 0) text_depth_ = open_.size();
  return true;
}

bool JsonBuilder::close() {
  open_.pop_back();
  if (open_.size() < text_depth_) text_depth_ = 0;
  return true;
}

}  // namespace caisson::spec
