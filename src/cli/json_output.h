// The JSON objects that `--json` prints (docs/formats/json.md). Each is one line without a line
// end, harmless to a terminal.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "caisson/box.h"
#include "caisson/error.h"
#include "caisson/exit_info.h"
#include "caisson/image.h"

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

/// {"image":{…}}: the last line of a pull.
std::string pulled_object(const ImageInfo& info);

/// What image inspect shows.
std::string image_object(const ImageInfo& info);

/// What happened in a pull.
std::string event_object(const PullEvent& event);

/// {"created","created_by","size","author","comment","empty_layer"}
std::string history_object(const ImageHistory& line, std::uint64_t size);

/// {"untagged":[…],"deleted":[…]}
std::string removed_object(const RemovedImages& removed);

/// {"deleted":[…],"freed_bytes"}
std::string prune_object(const PruneReport& report);

/// {"deleted":[…]}
std::string deleted_object(const std::vector<std::string>& names);

/// {"images","blobs","layers","problems":[{"object","text"}]}
std::string fsck_object(const FsckReport& report);

/// A JSON list of strings; absent when `json` is none.
std::optional<std::vector<std::string>> strings_from_json(std::string_view json);

/// What inspect shows of a box.
std::string info_object(const BoxInfo& info);

/// `json` indented by two blanks; text that is not JSON is returned as it is.
std::string pretty(const std::string& json);

}  // namespace caisson::cli
