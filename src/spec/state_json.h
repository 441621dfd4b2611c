// The JSON texts of a box's record, for modules that do not handle JSON values themselves.
// Fields that this version does not know are ignored. The writing side for BoxSpec, ExitInfo and
// Usage is the public to_json.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "caisson/box.h"
#include "caisson/runtime.h"
#include "spec/rootfs.h"

namespace caisson::spec {

std::string to_json(const ExecSpec& spec);
std::string to_json(const std::vector<StageTiming>& stages);
std::string to_json(const std::vector<std::string>& texts);

std::string to_json(const Rootfs& rootfs);

Result<BoxSpec> box_spec_from_state(std::string_view text);
Result<Rootfs> rootfs_from_state(std::string_view text);
Result<ExecSpec> exec_spec_from_json(std::string_view text);  // a request: refuses unknown fields
Result<ExitInfo> exit_info_from_json(std::string_view text);
Result<Usage> usage_from_json(std::string_view text);
Result<std::vector<StageTiming>> stages_from_json(std::string_view text);
Result<std::vector<std::string>> texts_from_json(std::string_view text);

Result<Capabilities> capabilities_from_json(std::string_view text);

/// "2024-01-31T12:00:00.123456789Z" (RFC 3339) of nanoseconds since the Unix epoch.
std::string rfc3339(std::int64_t ns);

}  // namespace caisson::spec
