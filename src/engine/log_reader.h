// Reading a box's output log (docs/formats/log.md).
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "caisson/exec.h"

namespace caisson::engine {

/// The records of `data`/logs/output.log; none when there is no log.
Result<std::vector<Output>> read_log(const std::string& data);
std::vector<Output> parse_log(std::string_view bytes);

}  // namespace caisson::engine
