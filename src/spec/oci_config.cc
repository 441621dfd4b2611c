// Configurations: what an image runs, and of which layers its root is.
#include <algorithm>

#include "base/sha256.h"
#include "spec/json.h"
#include "spec/oci.h"
#include "spec/oci_json.h"
#include "spec/path.h"
#include "spec/text.h"

namespace caisson::spec {
namespace {

using nlohmann::json;

/// Absolute, in its one spelling. Docker takes relative ones from the root.
std::string inside(const std::string& path) {
  return path.empty() ? path : resolve_textually("/", path);
}

/// Entries without a name or a '=' set nothing.
std::vector<std::string> variables(std::vector<std::string> env) {
  std::erase_if(env, [](const std::string& entry) {
    const std::size_t equals = entry.find('=');
    return equals == std::string::npos || equals == 0;
  });
  return env;
}

ImageConfig read_config(DocumentReader in) {
  ImageConfig config;
  config.entrypoint = in.texts("Entrypoint");
  config.command = in.texts("Cmd");
  config.env = variables(in.texts("Env"));
  config.workdir = inside(in.text("WorkingDir"));
  config.user = in.text("User");
  config.stop_signal = in.text("StopSignal");
  for (const std::string& volume : in.keys("Volumes"))
    if (const std::string path = inside(volume); !path.empty() && path != "/")
      config.volumes.push_back(path);
  std::ranges::sort(config.volumes);
  const auto twice = std::ranges::unique(config.volumes);
  config.volumes.erase(twice.begin(), twice.end());
  config.exposed_ports = in.keys("ExposedPorts");
  config.labels = in.map("Labels");
  return config;
}

std::vector<ImageHistory> read_history(DocumentReader in) {
  std::vector<ImageHistory> history;
  for (DocumentReader& entry : in.children("history")) {
    ImageHistory line;
    line.created = entry.text("created");
    line.created_by = entry.text("created_by");
    line.author = entry.text("author");
    line.comment = entry.text("comment");
    line.empty_layer = entry.flag("empty_layer");
    history.push_back(std::move(line));
  }
  return history;
}

std::vector<std::string> read_diff_ids(DocumentReader in) {
  if (in.text("type") != "layers") in.fault("type", "expected 'layers'");
  std::vector<std::string> diff_ids = in.texts("diff_ids");
  if (diff_ids.empty()) in.fault("diff_ids", "it has no layers");
  if (diff_ids.size() > kMostLayers)
    in.fault("diff_ids", format("more than {} layers", kMostLayers));
  for (const std::string& diff_id : diff_ids)
    if (!is_digest(diff_id))
      in.fault("diff_ids", format("{} is not a sha256 digest", quote(diff_id)));
  return diff_ids;
}

}  // namespace

Result<ConfigDoc> parse_config(std::string_view text) {
  DocumentFault fault("config_invalid", "image configuration");
  const json document = TRY(parse_document(text, fault));
  DocumentReader in(&document, fault, {});
  ConfigDoc config;
  const std::string os = in.text("os"), architecture = in.text("architecture");
  if (architecture.empty()) in.fault("architecture", "it is missing");
  config.platform = normal_platform(os.empty() ? "linux" : os, architecture, in.text("variant"));
  config.created = in.text("created");
  config.config = read_config(in.child("config"));
  config.history = read_history(in);
  config.diff_ids = read_diff_ids(in.child("rootfs"));
  TRY(fault.result());
  return config;
}

Result<std::string> make_config(const CommittedImage& image) {
  json document = json::object();
  if (!image.base.empty()) {
    TRY(parse_config(image.base));  // it is what it should be
    document = TRY(parse_json(image.base, kMostOciValues));
  } else {
    document["os"] = image.platform.os;
    document["architecture"] = image.platform.architecture;
    if (!image.platform.variant.empty()) document["variant"] = image.platform.variant;
    document["rootfs"] = {{"type", "layers"}, {"diff_ids", json::array()}};
  }
  json& config = document["config"];
  if (!config.is_object()) config = json::object();
  const auto put_texts = [&](const char* name, const std::vector<std::string>& texts) {
    if (texts.empty())
      config.erase(name);
    else
      config[name] = texts;
  };
  const auto put_text = [&](const char* name, const std::string& text) {
    if (text.empty())
      config.erase(name);
    else
      config[name] = text;
  };
  put_texts("Entrypoint", image.config.entrypoint);
  put_texts("Cmd", image.config.command);
  put_texts("Env", image.config.env);
  put_text("WorkingDir", image.config.workdir);
  put_text("User", image.config.user);
  put_text("StopSignal", image.config.stop_signal);
  if (image.config.labels.empty())
    config.erase("Labels");
  else
    config["Labels"] = image.config.labels;
  document["created"] = image.created;
  document["rootfs"]["diff_ids"].push_back(image.diff_id);
  json& history = document["history"];
  if (!history.is_array()) history = json::array();
  history.push_back({{"created", image.created}, {"created_by", "caisson commit"}});
  if (!image.comment.empty()) history.back()["comment"] = image.comment;
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::vector<std::string> chain_ids(const std::vector<std::string>& diff_ids) {
  std::vector<std::string> chain;
  for (const std::string& diff_id : diff_ids)
    chain.push_back(chain.empty()
                        ? diff_id
                        : format("sha256:{}", sha256_hex(format("{} {}", chain.back(), diff_id))));
  return chain;
}

}  // namespace caisson::spec
