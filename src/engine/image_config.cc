#include "engine/image_config.h"

#include <algorithm>

namespace caisson::engine {
namespace {

/// Docker's, for images that say nothing.
constexpr const char* kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::map<std::string, std::string> variables(const std::vector<std::string>& texts) {
  std::map<std::string, std::string> env;
  for (const std::string& text : texts) {
    const auto equals = text.find('=');
    // A name without a value would be the caller's own variable in docker build; here it is none.
    if (equals == 0 || equals == std::string::npos) continue;
    env[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return env;
}

void add_command(BoxSpec& spec, const ImageConfig& config) {
  std::vector<std::string> words = spec.entrypoint.value_or(config.entrypoint);
  const std::vector<std::string>& rest =
      spec.command.empty() && !spec.entrypoint ? config.command : spec.command;
  words.insert(words.end(), rest.begin(), rest.end());
  spec.command = std::move(words);
  spec.entrypoint.reset();
}

}  // namespace

BoxSpec with_entrypoint(BoxSpec spec) {
  if (spec.entrypoint) add_command(spec, {});
  return spec;
}

Result<BoxSpec> with_image(BoxSpec spec, const ImageConfig& config) {
  add_command(spec, config);
  if (spec.command.empty() || spec.command.front().empty())
    return make_error(Code::kInvalidArgument, "command_missing",
                      format("create box from '{}': the image has no command", spec.source),
                      "give one after the image");
  spec.env.merge(variables(config.env));  // what is there already stays
  spec.env.try_emplace("PATH", kPath);
  for (const auto& [key, value] : config.labels)
    if (!key.empty()) spec.labels.try_emplace(key, value);
  if (spec.workdir.empty() && !config.workdir.empty())
    spec.workdir = config.workdir.front() == '/' ? config.workdir : "/" + config.workdir;
  if (spec.user.empty()) spec.user = config.user;
  if (spec.stop_signal.empty()) spec.stop_signal = config.stop_signal;
  // What an image says is checked like what a person says.
  if (Result<> valid = validate(spec); !valid)
    return with_context(std::move(valid).error(), format("use configuration of '{}'", spec.source));
  return spec;
}

std::vector<std::string> plain_volumes(const std::vector<std::string>& volumes) {
  std::vector<std::string> plain;
  for (const std::string& volume : volumes) {
    std::string path;
    bool climbs = false;
    for (std::size_t i = 0; i < volume.size();) {
      const std::size_t end = std::min(volume.find('/', i), volume.size());
      const std::string part = volume.substr(i, end - i);
      climbs = climbs || part == "..";
      if (!part.empty() && part != ".") path += "/" + part;
      i = end + 1;
    }
    const bool usable =
        volume.starts_with('/') && !path.empty() && !climbs && path.find('\0') == std::string::npos;
    if (usable && std::ranges::find(plain, path) == plain.end()) plain.push_back(std::move(path));
  }
  return plain;
}

}  // namespace caisson::engine
