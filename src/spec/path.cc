#include "spec/path.h"

#include <algorithm>
#include <vector>

#include "spec/text.h"

namespace caisson::spec {
namespace {

std::vector<std::string_view> components(std::string_view path) {
  std::vector<std::string_view> parts = split(path, '/');
  std::erase_if(parts, [](std::string_view part) { return part.empty() || part == "."; });
  return parts;
}

std::string assemble(const std::vector<std::string_view>& parts, bool absolute) {
  std::string result;
  for (std::string_view part : parts) {
    if (absolute || !result.empty()) result += '/';
    result += part;
  }
  if (result.empty()) result += absolute ? '/' : '.';
  return result;
}

}  // namespace

bool is_absolute(std::string_view path) { return path.starts_with('/'); }

bool has_parent_component(std::string_view path) {
  return std::ranges::count(split(path, '/'), "..") > 0;
}

bool is_canonical(std::string_view path) {
  return is_absolute(path) && !has_parent_component(path) && tidy_path(path) == path;
}

bool is_within(std::string_view path, std::string_view directory) {
  if (directory == "/") return true;
  return path == directory ||
         (path.starts_with(directory) && path.substr(directory.size()).starts_with('/'));
}

std::string tidy_path(std::string_view path) {
  return assemble(components(path), is_absolute(path));
}

std::string resolve_textually(std::string_view base, std::string_view relative) {
  std::vector<std::string_view> parts = components(base);
  for (std::string_view part : components(relative)) {
    if (part != "..") {
      parts.push_back(part);
    } else if (!parts.empty()) {
      parts.pop_back();
    }
  }
  return assemble(parts, true);
}

}  // namespace caisson::spec
