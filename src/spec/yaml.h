// YAML 1.2, core schema, as JSON values.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string_view>

#include "base/error.h"

namespace caisson::spec {

/// One document of at most 1 MiB. Refused, besides what is malformed: repeated keys, anchors,
/// aliases, merge keys and tags (so nothing can grow), nesting deeper than 64, decimal numbers
/// that begin with a 0 (octal in YAML 1.1). `text_members`: as JsonBuilder's. The error is
/// `yaml_invalid`: "line 3, column 5: CAUSE".
Result<nlohmann::json> parse_yaml(std::string_view text,
                                  std::span<const std::string_view> text_members = {});

}  // namespace caisson::spec
