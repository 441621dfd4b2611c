// docs/formats/box.schema.json names exactly the members that the reader knows.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "caisson/spec.h"

namespace caisson {
namespace {

using nlohmann::json;

json schema() {
  static const json kSchema =
      json::parse(std::ifstream(std::string(CAISSON_SOURCE_DIR) + "/docs/formats/box.schema.json"));
  return kSchema;
}

/// An object of the schema, and how one of it gets into a box.
struct Place {
  const char* definition;  ///< empty: the box itself
  json least;              ///< what must be there
  json (*box)(const json& object);
};

json itself(const json& object) { return object; }

const std::vector<Place>& places() {
  static const std::vector<Place> kPlaces = {
      {"", json::object(), itself},
      {"mountObject",
       {{"type", "tmpfs"}, {"target", "/t"}},
       [](const json& object) { return json{{"mounts", json::array({object})}}; }},
      {"access", json::object(), [](const json& object) { return json{{"access", object}}; }},
      {"machine", json::object(), [](const json& object) { return json{{"machine", object}}; }},
      {"limits", json::object(), [](const json& object) { return json{{"limits", object}}; }},
      {"output", json::object(),
       [](const json& object) { return json{{"limits", {{"output", object}}}}; }},
      {"security", json::object(), [](const json& object) { return json{{"security", object}}; }},
      {"restart", json::object(), [](const json& object) { return json{{"restart", object}}; }},
      {"health", {{"command", json::array({"true"})}}, [](const json& object) {
         return json{{"health", object}};
       }}};
  return kPlaces;
}

Error refusal(const Place& place, const std::string& name, const json& value) {
  json object = place.least;
  object[name] = value;
  const auto spec = box_spec_from_json(place.box(object).dump());
  EXPECT_FALSE(spec) << place.definition << " " << name;
  return spec ? Error{} : spec.error();
}

std::set<std::string> properties(const Place& place) {
  const json all = schema();
  const json& object = *place.definition ? all["$defs"][place.definition] : all;
  EXPECT_EQ(object["additionalProperties"], false) << place.definition;
  std::set<std::string> names;
  for (const auto& [name, value] : object["properties"].items()) names.insert(name);
  return names;
}

TEST(Schema, ItsPropertiesAreTheFieldsOfTheReader) {
  const json wrong = json::array({json::array({json::array()})});  // right for no field
  for (const Place& place : places()) {
    for (const std::string& name : properties(place)) {
      EXPECT_EQ(refusal(place, name, wrong).reason, "field_invalid") << place.definition << name;
      EXPECT_EQ(refusal(place, name + "x", 1).reason, "field_unknown") << place.definition << name;
    }
  }
}

TEST(Schema, HasEveryFieldOfTheReader) {
  for (const Place& place : places()) {
    // A word that is near to none: the hint lists the fields.
    const std::string hint = refusal(place, "0123456789", 1).hint;
    const std::string head = "known fields: ";
    ASSERT_TRUE(hint.starts_with(head)) << hint;
    std::set<std::string> fields;
    std::string rest = hint.substr(head.size());
    for (std::size_t end = 0; end != std::string::npos;) {
      end = rest.find(", ");
      fields.insert(rest.substr(0, end));
      if (end != std::string::npos) rest = rest.substr(end + 2);
    }
    EXPECT_EQ(fields, properties(place)) << place.definition;
  }
}

TEST(Schema, DefinesNoOtherObjects) {
  std::set<std::string> objects;
  const json all = schema();
  for (const auto& [name, definition] : all["$defs"].items())
    if (definition.contains("properties")) objects.insert(name);
  std::set<std::string> tested;
  for (const Place& place : places())
    if (*place.definition) tested.insert(place.definition);
  EXPECT_EQ(objects, tested);
}

}  // namespace
}  // namespace caisson
