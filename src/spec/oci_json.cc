#include "spec/oci_json.h"

#include "spec/json.h"
#include "spec/text.h"

namespace caisson::spec {

using nlohmann::json;

Error DocumentFault::error(std::string_view cause) const {
  return make_error(Code::kInvalidArgument, reason_, format("parse {}: {}", what_, cause));
}

void DocumentFault::note(std::string_view path, std::string_view cause) {
  if (!fault_) fault_ = error(path.empty() ? std::string(cause) : format("{}: {}", path, cause));
}

Result<> DocumentFault::result() const {
  if (fault_) return *fault_;
  return {};
}

DocumentReader::DocumentReader(const json* value, DocumentFault& fault, std::string path)
    : value_(value), fault_(&fault), path_(std::move(path)) {
  if (value_ == nullptr || value_->is_object()) return;
  fault_->note(path_, "expected an object");
  value_ = nullptr;
}

const json* DocumentReader::find(const char* name) const {
  if (value_ == nullptr) return nullptr;
  const auto at = value_->find(name);
  return at == value_->end() || at->is_null() ? nullptr : &*at;
}

std::string DocumentReader::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : format("{}.{}", path_, name);
}

void DocumentReader::fault(const char* name, std::string_view cause) {
  fault_->note(path_of(name), cause);
}

std::string DocumentReader::checked(const json& value, std::string_view name) {
  if (!value.is_string()) {
    fault_->note(path_of(name), "expected a string");
    return {};
  }
  const auto& text = value.get_ref<const std::string&>();
  if (text.find('\0') != std::string::npos) fault_->note(path_of(name), "it holds a NUL byte");
  return text;
}

std::string DocumentReader::text(const char* name) {
  const json* value = find(name);
  return value == nullptr ? std::string() : checked(*value, name);
}

std::uint64_t DocumentReader::size(const char* name) {
  constexpr std::uint64_t kLargest = 1ull << 42;  // 4 TiB: sums of some hundred do not overflow
  const json* value = find(name);
  if (value == nullptr) return 0;
  if (!value->is_number_unsigned() || value->get<std::uint64_t>() > kLargest) {
    fault(name, "expected a size from 0 to 4 TiB");
    return 0;
  }
  return value->get<std::uint64_t>();
}

bool DocumentReader::flag(const char* name) {
  const json* value = find(name);
  if (value == nullptr) return false;
  if (!value->is_boolean()) fault(name, "expected true or false");
  return value->is_boolean() && value->get<bool>();
}

std::vector<std::string> DocumentReader::texts(const char* name) {
  const json* value = find(name);
  std::vector<std::string> result;
  if (value == nullptr) return result;
  if (value->is_string()) return {checked(*value, name)};
  if (!value->is_array()) fault(name, "expected a list of strings");
  if (value->is_array())
    for (const json& element : *value) result.push_back(checked(element, name));
  return result;
}

std::vector<std::string> DocumentReader::keys(const char* name) {
  const json* value = find(name);
  std::vector<std::string> result;
  if (value == nullptr) return result;
  if (!value->is_object()) {
    fault(name, "expected an object");
    return result;
  }
  for (const auto& item : value->items()) {
    if (item.key().find('\0') != std::string::npos) fault(name, "a name holds a NUL byte");
    result.push_back(item.key());
  }
  return result;
}

std::map<std::string, std::string> DocumentReader::map(const char* name) {
  std::map<std::string, std::string> result;
  for (std::string& key : keys(name)) {
    std::string text = checked((*find(name))[key], name);
    result.emplace(std::move(key), std::move(text));
  }
  return result;
}

DocumentReader DocumentReader::child(const char* name) {
  return {find(name), *fault_, path_of(name)};
}

std::vector<DocumentReader> DocumentReader::children(const char* name) {
  const json* value = find(name);
  std::vector<DocumentReader> result;
  if (value == nullptr) return result;
  if (!value->is_array()) {
    fault(name, "expected a list");
    return result;
  }
  result.reserve(value->size());
  for (std::size_t i = 0; i < value->size(); ++i)
    result.emplace_back(&(*value)[i], *fault_, format("{}[{}]", path_of(name), i));
  return result;
}

Result<json> parse_document(std::string_view text, const DocumentFault& fault) {
  Result<json> document = parse_json(text, kMostOciValues);
  if (!document) return fault.error(document.error().message);
  if (!document->is_object()) return fault.error("it is not a JSON object");
  return document;
}

}  // namespace caisson::spec
