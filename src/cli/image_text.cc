#include "cli/image_text.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>
#include <set>

namespace caisson::cli {
namespace {

constexpr std::array<std::string_view, 4> kPaths = {
    "dir:", "oci:", "oci-archive:", "docker-archive:"};

// distribution's rule for what stands before the first '/'.
bool is_domain(std::string_view part) {
  return part == "localhost" || part.find_first_of(".:[") != std::string_view::npos;
}

std::string_view without_digest(std::string_view name) { return name.substr(0, name.find('@')); }

std::size_t tag_colon(std::string_view name) {
  const std::size_t colon = name.rfind(':');
  const std::size_t slash = name.rfind('/');
  const bool is_port = slash != std::string_view::npos && colon < slash;
  return is_port ? std::string_view::npos : colon;
}

bool glob_matches(const std::string& glob, std::string_view text) {
  return ::fnmatch(glob.c_str(), std::string(text).c_str(), FNM_PATHNAME) == 0;
}

}  // namespace

bool is_image(std::string_view source) { return source != "host:" && !source.starts_with("dir:"); }

bool is_registry_image(std::string_view source) {
  return is_image(source) && std::none_of(kPaths.begin(), kPaths.end(), [&](std::string_view kind) {
           return source.starts_with(kind);
         });
}

std::string absolute_source(std::string source, const std::string& directory) {
  for (std::string_view kind : kPaths) {
    if (!source.starts_with(kind)) continue;
    const bool relative = source.size() > kind.size() && source[kind.size()] != '/';
    if (relative) source.insert(kind.size(), directory + "/");
    break;
  }
  return source;
}

std::string familiar_name(std::string_view name) {
  constexpr std::string_view kScheme = "docker://";
  constexpr std::string_view kHub = "docker.io/";
  constexpr std::string_view kOfficial = "library/";
  if (name.starts_with(kScheme)) name.remove_prefix(kScheme.size());
  if (!name.starts_with(kHub)) return std::string(name);
  std::string_view rest = name.substr(kHub.size());
  if (rest.starts_with(kOfficial)) {
    const std::string_view short_name = rest.substr(kOfficial.size());
    if (short_name.find('/') == std::string_view::npos) return std::string(short_name);
  }
  // What would be read as another registry, or as library/NAME, keeps its own.
  const std::size_t slash = rest.find('/');
  const bool safe = slash != std::string_view::npos && !is_domain(rest.substr(0, slash));
  return std::string(safe ? rest : name);
}

std::pair<std::string, std::string> name_and_tag(std::string_view name) {
  const std::string familiar = familiar_name(name);
  const std::string_view plain = without_digest(familiar);
  const std::size_t colon = tag_colon(plain);
  std::string repository(plain.substr(0, colon));
  if (plain.size() < familiar.size()) {
    return {repository, "sha256:" + short_digest(familiar.substr(plain.size() + 1))};
  }
  if (colon == std::string_view::npos) return {repository, ""};
  return {repository, std::string(plain.substr(colon + 1))};
}

std::string short_digest(std::string_view digest) {
  constexpr std::size_t kShown = 12;
  const std::size_t colon = digest.find(':');
  return std::string(
      digest.substr(colon == std::string_view::npos ? 0 : colon + 1).substr(0, kShown));
}

std::optional<std::int64_t> parse_time(std::string_view text) {
  std::tm time{};
  int offset_hours = 0;
  int offset_minutes = 0;
  int read = 0;
  const std::string whole(text.substr(0, 64));
  if (std::sscanf(whole.c_str(), "%4d-%2d-%2d%*1[Tt ]%2d:%2d:%2d%n", &time.tm_year, &time.tm_mon,
                  &time.tm_mday, &time.tm_hour, &time.tm_min, &time.tm_sec, &read) != 6) {
    return std::nullopt;
  }
  std::string_view rest = std::string_view(whole).substr(static_cast<std::size_t>(read));
  if (rest.starts_with('.')) {
    const std::size_t end = rest.find_first_not_of("0123456789", 1);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end);
  }
  const bool utc = rest == "Z" || rest == "z";
  if (!utc && (rest.size() != 6 || (rest[0] != '+' && rest[0] != '-') ||
               std::sscanf(rest.data() + 1, "%2d:%2d", &offset_hours, &offset_minutes) != 2)) {
    return std::nullopt;
  }
  time.tm_year -= 1900;
  time.tm_mon -= 1;
  std::int64_t seconds = ::timegm(&time);
  const int offset = (offset_hours * 60 + offset_minutes) * 60;
  seconds += rest[0] == '-' ? offset : -offset;
  constexpr std::int64_t kLargest = 9'000'000'000;  // beyond it nanoseconds overflow
  if (seconds < -kLargest || seconds > kLargest) return std::nullopt;
  return seconds * 1'000'000'000;
}

bool name_matches(std::string_view name, const std::string& glob) {
  const std::string familiar = familiar_name(name);
  for (std::string_view text : {std::string_view(familiar), name}) {
    const std::string_view plain = without_digest(text);
    if (glob_matches(glob, text) || glob_matches(glob, plain.substr(0, tag_colon(plain)))) {
      return true;
    }
  }
  return false;
}

std::uint64_t total_on_disk(const std::vector<ImageInfo>& images) {
  constexpr std::uint64_t kBlock = 4096;
  std::set<std::string_view> blobs;
  std::set<std::string_view> trees;
  std::uint64_t total = 0;
  for (const ImageInfo& image : images) {
    std::uint64_t again = 0;
    for (const ImageLayer& layer : image.layers) {
      if (!blobs.insert(layer.digest).second) again += (layer.size + kBlock - 1) / kBlock * kBlock;
      if (!trees.insert(layer.chain_id).second) again += layer.disk_bytes;
    }
    total += image.disk_bytes - std::min(again, image.disk_bytes);
  }
  return total;
}

}  // namespace caisson::cli
