#include "cli/box_file.h"

#include <unistd.h>

#include <filesystem>

#include "cli/image_text.h"
#include "cli/io.h"
#include "cli/options.h"

namespace caisson::cli {
namespace {

constexpr std::string_view kUnreadable = "box_file_unreadable";

void resolve(std::vector<std::string>& paths, const std::string& directory) {
  for (std::string& path : paths) path = absolute_path(path, directory);
}

void resolve_host_paths(BoxSpec& spec, const std::string& directory) {
  spec.source = absolute_source(std::move(spec.source), directory);
  for (Mount& mount : spec.mounts)
    if (mount.type == MountType::kBind) mount.source = absolute_path(mount.source, directory);
  for (auto* paths : {&spec.access.read, &spec.access.write, &spec.access.execute})
    resolve(*paths, directory);
}

}  // namespace

std::string absolute_path(const std::string& path, const std::string& directory) {
  if (path.empty() || path.front() == '/') return path;
  std::string absolute = (std::filesystem::path(directory) / path).lexically_normal().string();
  // Of "a/.." and "." that leaves a '/', which was not written.
  if (!path.ends_with('/') && absolute.size() > 1 && absolute.ends_with('/')) absolute.pop_back();
  return absolute;
}

Result<BoxSpec> read_box_file(const std::string& path) {
  const bool standard_input = path == "-";
  auto text = standard_input ? read_descriptor(STDIN_FILENO, "standard input", kUnreadable)
                             : read_file(path, kUnreadable);
  if (!text) return std::move(text.error());
  auto spec = box_spec_from_yaml(*text);
  if (!spec) {
    Error error = std::move(spec.error());
    error.message = "read box file '" + path + "': " + error.message;
    return error;
  }
  std::string directory = working_directory();
  if (!standard_input)
    directory = std::filesystem::path(absolute_path(path, directory)).parent_path().string();
  resolve_host_paths(*spec, directory);
  return spec;
}

}  // namespace caisson::cli
