#include "cli/json_output.h"

#include <nlohmann/json.hpp>

#include "caisson/runtime.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

using Json = nlohmann::ordered_json;

// Messages may quote bytes that are not UTF-8; a replacement character beats an exception.
std::string dump(const Json& json, int indent = -1) {
  return harmless_json(json.dump(indent, ' ', false, Json::error_handler_t::replace));
}

// The library's own JSON, so that field names exist in one place.
Json parse(const std::string& text) { return Json::parse(text, nullptr, false); }

void put_bytes(Json& json, const std::string& key, const std::string& bytes) {
  if (is_utf8(bytes)) {
    json[key] = bytes;
  } else {
    json[key + "_base64"] = base64(bytes);
  }
}

template <class T>
Json nullable(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

}  // namespace

std::string error_object(const Error& error) {
  Json fields = {{"code", to_string(error.code)},
                 {"reason", error.reason},
                 {"message", error.message},
                 {"hint", error.hint}};
  Json root;
  root["error"] = std::move(fields);
  return dump(root);
}

std::string run_object(const RunReport& report) {
  Json root;
  root["id"] = report.id;
  root["name"] = report.name;
  put_bytes(root, "stdout", report.out);
  put_bytes(root, "stderr", report.err);
  root["exit"] = parse(to_json(report.exit));
  root["reason"] = to_string(report.exit.reason);
  root["exit_code"] = nullable(report.exit.exit_code);
  root["signal"] = nullable(report.exit.signal);
  root["usage"] = parse(to_json(report.exit.usage));
  root["stages"] = Json::array();
  for (const StageTiming& stage : report.stages) {
    Json item;
    item["name"] = stage.name;
    item["duration_ns"] = stage.duration.count();
    root["stages"].push_back(std::move(item));
  }
  root["warnings"] = report.warnings;
  return dump(root);
}

std::string box_object(const std::string& id, const std::string& name) {
  Json root;
  root["id"] = id;
  root["name"] = name;
  return dump(root);
}

std::string stats_object(const std::string& id, const std::string& name, const Usage& usage) {
  Json root;
  root["id"] = id;
  root["name"] = name;
  root["usage"] = parse(to_json(usage));
  return dump(root);
}

std::string version_object() {
  Json root;
  root["version"] = version();
  return dump(root);
}

std::string pulled_object(const ImageInfo& info) {
  Json root;
  root["image"] = parse(to_json(info));
  return dump(root);
}

std::string image_object(const ImageInfo& info) { return harmless_json(to_json(info)); }

std::string event_object(const PullEvent& event) { return harmless_json(to_json(event)); }

std::string history_object(const ImageHistory& line, std::uint64_t size) {
  Json root;
  root["created"] = line.created;
  root["created_by"] = line.created_by;
  root["size"] = size;
  root["author"] = line.author;
  root["comment"] = line.comment;
  root["empty_layer"] = line.empty_layer;
  return dump(root);
}

std::string removed_object(const RemovedImages& removed) {
  Json root;
  root["untagged"] = removed.untagged;
  root["deleted"] = removed.deleted;
  return dump(root);
}

std::string prune_object(const PruneReport& report) {
  Json root;
  root["deleted"] = report.deleted;
  root["freed_bytes"] = report.freed_bytes;
  return dump(root);
}

std::string deleted_object(const std::vector<std::string>& names) {
  Json root;
  root["deleted"] = names;
  return dump(root);
}

std::string fsck_object(const FsckReport& report) {
  Json root;
  root["images"] = report.images;
  root["blobs"] = report.blobs;
  root["layers"] = report.layers;
  root["problems"] = Json::array();
  for (const FsckProblem& problem : report.problems) {
    Json item;
    item["object"] = problem.object;
    item["text"] = problem.text;
    root["problems"].push_back(std::move(item));
  }
  return dump(root);
}

std::optional<std::vector<std::string>> strings_from_json(std::string_view json) {
  const Json list = Json::parse(json, nullptr, false);
  if (!list.is_array()) return std::nullopt;
  std::vector<std::string> strings;
  for (const Json& item : list) {
    if (!item.is_string()) return std::nullopt;
    strings.push_back(item.get<std::string>());
  }
  return strings;
}

std::string info_object(const BoxInfo& info) { return harmless_json(to_json(info)); }

std::string pretty(const std::string& json) {
  const Json value = parse(json);
  return value.is_discarded() ? json : dump(value, 2);
}

}  // namespace caisson::cli
