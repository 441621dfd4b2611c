#include "init/users.h"

#include <algorithm>
#include <charconv>
#include <optional>

namespace caisson::init {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    const auto at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == text.npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  // The highest number means "leave it as it is" to setresuid(2): as an id it would be a trap.
  constexpr std::uint32_t kUnchanged = UINT32_MAX;
  if (ec != std::errc() || end != text.data() + text.size() || value == kUnchanged)
    return std::nullopt;
  return value;
}

/// The first line whose name is `key`, or, when that is a number, whose id (third field) is: an
/// image cannot give the id that a caller asked for to somebody else by a name of digits.
std::vector<std::string_view> find_line(std::string_view file, std::string_view key) {
  if (key.empty()) return {};
  const std::optional<std::uint32_t> id = number(key);
  for (std::string_view line : split(file, '\n')) {
    auto fields = split(line, ':');
    if (fields.size() < 4) continue;
    if (id ? number(fields[2]) == id : fields[0] == key) return fields;
  }
  return {};
}

Error unknown(std::string_view what, std::string_view name, std::string_view file) {
  return make_error(Code::kNotFound, "user_unknown",
                    format("look up {} '{}': no such entry in the box's {}", what, name, file),
                    "use a number, or a name that the image defines");
}

Result<std::uint32_t> resolve_group(std::string_view name, std::string_view file) {
  const auto line = find_line(file, name);
  if (!line.empty())
    if (auto id = number(line[2])) return *id;
  if (auto id = number(name)) return *id;
  return unknown("group", name, "/etc/group");
}

void add_memberships(User& user, std::string_view name, std::string_view file) {
  for (std::string_view line : split(file, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() < 4) continue;
    const auto members = split(fields[3], ',');
    const auto id = number(fields[2]);
    if (id && std::ranges::find(members, name) != members.end()) user.groups.push_back(*id);
  }
}

}  // namespace

Result<User> resolve_user(std::string_view spec, const std::vector<std::string>& groups,
                          std::string_view passwd, std::string_view group) {
  const auto colon = spec.find(':');
  const std::string_view name = spec.empty() ? "0" : spec.substr(0, colon);
  User user;
  const auto line = find_line(passwd, name);
  if (!line.empty()) {
    user.uid = number(line[2]).value_or(0);
    user.gid = number(line[3]).value_or(0);
    if (!number(line[2]) || !number(line[3])) return unknown("user", name, "/etc/passwd");
    if (line.size() > 5 && !line[5].empty() && line[5].front() == '/') user.home = line[5];
    if (colon == spec.npos) add_memberships(user, line[0], group);
  } else if (auto id = number(name)) {
    user.uid = *id;
    if (*id == 0) user.home = "/root";
  } else {
    return unknown("user", name, "/etc/passwd");
  }
  if (colon != spec.npos) user.gid = TRY(resolve_group(spec.substr(colon + 1), group));
  for (const std::string& g : groups) user.groups.push_back(TRY(resolve_group(g, group)));
  std::ranges::sort(user.groups);
  user.groups.erase(std::ranges::unique(user.groups).begin(), user.groups.end());
  return user;
}

Result<User> resolve_user(std::string_view spec, const std::vector<std::string>& groups,
                          const sys::Dir& root) {
  constexpr std::size_t kMaxFile = 4u << 20;
  return resolve_user(spec, groups, root.read("/etc/passwd", kMaxFile).value_or(""),
                      root.read("/etc/group", kMaxFile).value_or(""));
}

}  // namespace caisson::init
