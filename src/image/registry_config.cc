#include "image/registry_config.h"

#include <fcntl.h>

#include <nlohmann/json.hpp>

#include "base/fd.h"
#include "spec/json_reader.h"

namespace caisson::image {
namespace {

using nlohmann::json;
using spec::Context;
using spec::ObjectReader;
using spec::quote;

constexpr std::size_t kMostBytes = 1u << 20;
constexpr const char* kSystemFile = "/etc/caisson/registries.json";

Error bad_config(std::string message, std::string hint = {}) {
  return spec::invalid("registry_config_invalid", std::move(message), std::move(hint));
}

/// HOST[:PORT] as references have it.
bool is_domain(const std::string& text) {
  const Result<spec::ImageRef> ref = spec::parse_image_ref(text + "/x");
  return ref && ref->domain == text;
}

Result<> check_mirror(const std::string& mirror, const std::string& registry) {
  const Result<spec::ImageRef> ref = spec::parse_image_ref(mirror + "/x");
  const std::string host = mirror.substr(0, mirror.find('/'));
  if (ref && ref->domain == host) return {};
  const bool scheme = mirror.find("://") != std::string::npos;
  return bad_config(
      format("read mirror {} of {}: not HOST[:PORT][/PREFIX]", quote(mirror), quote(registry)),
      scheme ? "leave out the scheme; for http give the host \"plain_http\": true" : "");
}

Result<> check_settings(const std::string& registry, const RegistrySettings& settings) {
  for (const std::string& mirror : settings.mirrors) TRY(check_mirror(mirror, registry));
  if (!settings.ca.empty() && !settings.ca.starts_with('/'))
    return bad_config(
        format("read 'ca' {} of {}: not an absolute path", quote(settings.ca), quote(registry)));
  return {};
}

Result<std::string> config_path(const Environment& environment) {
  std::vector<std::string> paths;
  const std::string home = environment("HOME");
  if (const std::string own = environment("XDG_CONFIG_HOME"); !own.empty())
    paths.push_back(own + "/caisson/registries.json");
  else if (!home.empty())
    paths.push_back(home + "/.config/caisson/registries.json");
  paths.emplace_back(kSystemFile);
  for (const std::string& path : paths) {
    const Result<Fd> file = open_fd(path, O_RDONLY);
    if (file) return path;
    const int err = file.error().sys_errno;
    if (err != ENOENT && err != ENOTDIR) return path;  // reading it says what is wrong
  }
  return std::string();
}

}  // namespace

// The readers below are found by ObjectReader through their second argument's namespace.

static Result<> read_value(const json& value, RegistrySettings& out, const Context& context) {
  ObjectReader in(value, context);
  in.field("mirrors", out.mirrors);
  in.field("insecure", out.insecure);
  in.field("plain_http", out.plain_http);
  in.field("ca", out.ca);
  return in.finish();
}

struct Registries {
  std::map<std::string, RegistrySettings> entries;
};

static Result<> read_value(const json& value, Registries& out, const Context& context) {
  if (!value.is_object()) return spec::unexpected_value(context, "an object");
  for (const auto& item : value.items()) {
    RegistrySettings settings;
    TRY(read_value(item.value(), settings, context.field(item.key())));
    const std::string name = normal_key(item.key());
    if (!is_domain(name) || item.key().find('/') != std::string::npos)
      return bad_config(format("read registry {}: not HOST[:PORT]", quote(item.key())));
    TRY(check_settings(name, settings));
    if (!out.entries.emplace(name, std::move(settings)).second)
      return bad_config(format("read registry {}: it is given twice", quote(item.key())));
  }
  return {};
}

Result<RegistryConfig> parse_registry_config(std::string_view text) {
  const json document = TRY(spec::parse_json(text));
  const Context context{nullptr, "registries.json", {}, spec::UnknownFields::kRefuse};
  Registries registries;
  ObjectReader in(document, context);
  in.field("registries", registries);
  TRY(in.finish());
  RegistryConfig config;
  config.registries = std::move(registries.entries);
  return config;
}

Result<RegistryConfig> load_registry_config(const Environment& environment) {
  std::string path = environment("CAISSON_REGISTRIES");
  if (path.empty()) path = TRY(config_path(environment));
  if (path.empty()) return RegistryConfig();
  Result<std::string> text = read_file(path, kMostBytes);
  if (!text) return with_context(std::move(text).error(), "read registries");
  Result<RegistryConfig> config = parse_registry_config(*text);
  if (!config) return with_context(std::move(config).error(), format("read '{}'", path));
  return config;
}

Result<std::string> parse_registry(std::string_view text) {
  if (text.empty()) return std::string("docker.io");
  std::string name = normal_key(text);
  if (is_domain(name)) return name;
  return spec::invalid("reference_invalid",
                       format("parse registry {}: not HOST[:PORT]", quote(text)),
                       "write it like docker.io, registry.example:5000 or localhost");
}

}  // namespace caisson::image
