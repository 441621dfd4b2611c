// From text to JSON values.
#include <nlohmann/json.hpp>

#include "spec/json.h"
#include "spec/json_builder.h"
#include "spec/text.h"

namespace caisson::spec {
namespace {

Error json_fault(std::string_view cause) {
  return invalid("json_invalid", format("parse JSON: {}", cause));
}

}  // namespace

Result<nlohmann::json> parse_json(std::string_view text, std::size_t most_values,
                                  std::span<const std::string_view> text_members) {
  JsonBuilder builder(most_values, text_members);
  try {
    if (nlohmann::json::sax_parse(text, &builder)) return builder.take();
  } catch (const nlohmann::json::exception&) {
    return json_fault("a value is out of range");
  }
  return json_fault(builder.fault().empty() ? "syntax error" : builder.fault());
}

}  // namespace caisson::spec
