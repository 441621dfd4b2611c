// Images and the events of a pull as JSON (docs/formats/json.md).
#include "caisson/image.h"
#include "spec/json_reader.h"
#include "spec/state_json.h"

namespace caisson {
namespace spec {
namespace {

using nlohmann::json;
using spec::encode;  // beside the overloads below

json encode(const ImageConfig& config) {
  json object;
  object["entrypoint"] = encode(config.entrypoint);
  object["command"] = encode(config.command);
  object["env"] = encode(config.env);
  object["workdir"] = encode_text(config.workdir);
  object["user"] = encode_text(config.user);
  object["stop_signal"] = encode_text(config.stop_signal);
  object["volumes"] = encode(config.volumes);
  object["exposed_ports"] = encode(config.exposed_ports);
  object["labels"] = encode_text_map(config.labels);
  return object;
}

json encode(const ImageLayer& layer) {
  json object;
  object["digest"] = encode_text(layer.digest);
  object["diff_id"] = encode_text(layer.diff_id);
  object["chain_id"] = encode_text(layer.chain_id);
  object["media_type"] = encode_text(layer.media_type);
  object["size"] = layer.size;
  object["disk_bytes"] = layer.disk_bytes;
  return object;
}

json encode(const ImageHistory& line) {
  json object;
  object["created"] = encode_text(line.created);
  object["created_by"] = encode_text(line.created_by);
  object["author"] = encode_text(line.author);
  object["comment"] = encode_text(line.comment);
  object["empty_layer"] = line.empty_layer;
  return object;
}

template <class T>
json encode_list(const std::vector<T>& values) {
  json array = json::array();
  for (const T& value : values) array.push_back(encode(value));
  return array;
}

json encode_image(const ImageInfo& info) {
  json object;
  object["id"] = encode_text(info.id);
  object["config_digest"] = encode_text(info.config_digest);
  object["names"] = encode(info.names);
  object["os"] = encode_text(info.os);
  object["architecture"] = encode_text(info.architecture);
  object["variant"] = encode_text(info.variant);
  object["created"] = encode_text(info.created);
  object["pulled"] = rfc3339(info.pulled_ns);
  object["pulled_ns"] = info.pulled_ns;
  object["used"] = rfc3339(info.used_ns);
  object["used_ns"] = info.used_ns;
  object["config"] = encode(info.config);
  object["layers"] = encode_list(info.layers);
  object["history"] = encode_list(info.history);
  object["size"] = info.size;
  object["disk_bytes"] = info.disk_bytes;
  object["own_bytes"] = info.own_bytes;
  return object;
}

json encode_event(const PullEvent& event) {
  json object;
  object["event"] = name_of(event.kind);
  if (event.kind == PullEvent::Kind::kRetry) {
    object["text"] = encode_text(event.text);
    return object;
  }
  object["digest"] = encode_text(event.digest);
  if (event.kind == PullEvent::Kind::kResolved) {
    object["layers"] = event.layers;
    return object;
  }
  object["layer"] = event.layer;
  object["state"] = name_of(event.state);
  object["current"] = event.current;
  object["total"] = event.total;
  return object;
}

}  // namespace
}  // namespace spec

std::string to_json(const ImageInfo& info) { return spec::encode_image(info).dump(); }
std::string to_json(const PullEvent& event) { return spec::encode_event(event).dump(); }

}  // namespace caisson
