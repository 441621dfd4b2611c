// Specs, endings and figures as JSON values, and back.
//
// Durations are integers in nanoseconds with names ending in `_ns`, sizes integers in bytes with
// names ending in `_bytes`, and an absent optional has no field. Reading also takes what people
// write: "1m30s", "64m", an octal "1777" for a mode, "./src:/src:ro" for a mount. Argument vectors,
// environments and paths are bytes on Linux while JSON is text, so:
//   - a string that is not UTF-8 is the object {"base64": "..."};
//   - a key of a map (env, labels) that is not UTF-8, or that starts with "base64:", is
//     "base64:" followed by its base 64.
// Every value thereby survives the way there and back, and dumping never fails or substitutes.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "caisson/box.h"
#include "caisson/exit_info.h"
#include "caisson/limits.h"
#include "caisson/spec.h"

namespace caisson::spec {

/// Requests refuse a field that they do not know (reason `field_unknown`); state that a later
/// version may have written ignores it.
enum class UnknownFields { kRefuse, kIgnore };

nlohmann::json encode(const BoxSpec& spec);
nlohmann::json encode(const ExecSpec& spec);
nlohmann::json encode(const Limits& limits);
nlohmann::json encode(const ExitInfo& info);
nlohmann::json encode(const Usage& usage);
nlohmann::json encode(const std::vector<StageTiming>& stages);
nlohmann::json encode(const std::vector<std::string>& texts);
nlohmann::json encode(const BoxInfo& info);

Result<BoxSpec> decode_box_spec(const nlohmann::json& value,
                                UnknownFields unknown = UnknownFields::kRefuse);
Result<ExecSpec> decode_exec_spec(const nlohmann::json& value);
Result<ExitInfo> decode_exit_info(const nlohmann::json& value);
Result<Usage> decode_usage(const nlohmann::json& value);
Result<std::vector<StageTiming>> decode_stages(const nlohmann::json& value);
Result<std::vector<std::string>> decode_texts(const nlohmann::json& value);

/// Parses JSON text in linear time. Repeated keys, nesting deeper than 64 and more values than
/// `most_values` are errors (`json_invalid`), and no exception leaves. `text_members`: as
/// JsonBuilder's.
Result<nlohmann::json> parse_json(std::string_view text, std::size_t most_values = SIZE_MAX,
                                  std::span<const std::string_view> text_members = {});

}  // namespace caisson::spec
