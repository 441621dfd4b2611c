// The JSON objects that `--json` prints (docs/formats/json.md). Each is one line without a line
// end, harmless to a terminal.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "caisson/box.h"
#include "caisson/error.h"
#include "caisson/exit_info.h"

namespace caisson::cli {

/// {"error":{"code","reason","message","hint"}}
std::string error_object(const Error& error);

/// What one foreground process did.
struct RunReport {
  std::string id;
  std::string name;
  std::string out;
  std::string err;
  ExitInfo exit;
  std::vector<StageTiming> stages;
  std::vector<std::string> warnings;
};
/// {"id","name","stdout"|"stdout_base64","stderr"|"stderr_base64","exit":{…},"reason",
///  "exit_code","signal","usage":{…},"stages":[{"name","duration_ns"}],"warnings":[…]}.
/// `exit_code` and `signal` are null when there was none.
std::string run_object(const RunReport& report);

/// {"id","name"}
std::string box_object(const std::string& id, const std::string& name);

/// {"id","name","usage":{…}}
std::string stats_object(const std::string& id, const std::string& name, const Usage& usage);

/// {"version"}
std::string version_object();

/// What inspect shows of a box.
std::string info_object(const BoxInfo& info);

/// `json` indented by two blanks; text that is not JSON is returned as it is.
std::string pretty(const std::string& json);

}  // namespace caisson::cli
