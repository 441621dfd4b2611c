// overlayfs and its lists of lower directories.
#include <fcntl.h>

#include "sys/mount.h"

extern "C" int mount(const char*, const char*, const char*, unsigned long, const void*) noexcept;
extern "C" int umount2(const char*, int) noexcept;

namespace caisson::sys {
namespace {

constexpr std::size_t kLongestOption = 255;  // of fsconfig(2), FSCONFIG_SET_STRING
constexpr std::size_t kOptionPage = 4095;    // of mount(2)
constexpr unsigned long kMsNodev = 4, kMsNosuid = 2;
constexpr int kMntDetach = 2;

std::string joined(const std::vector<std::string>& paths) {
  std::string text;
  for (const std::string& path : paths) text += (text.empty() ? "" : ":") + path;
  return text;
}

FsOptions with_lowers(const std::vector<std::string>& lowers, const FsOptions& options) {
  FsOptions all;
  if (const std::string one = joined(lowers); one.size() <= kLongestOption) {
    all.emplace_back("lowerdir", one);
  } else {
    for (const std::string& lower : lowers) all.emplace_back("lowerdir+", lower);
  }
  all.insert(all.end(), options.begin(), options.end());
  return all;
}

/// What mount(2) put on the place: a path through its descriptor leads below the mount, so the
/// place is entered once more by name.
Result<Fd> taken_off(int place) {
  char name[4096];
  const ssize_t n = ::readlink(format("/proc/self/fd/{}", place).c_str(), name, sizeof name - 1);
  if (n < 0) return sys_error("find place of", "overlay");
  const std::string path(name, static_cast<std::size_t>(n));
  Result<Fd> top = open_fd(path, O_PATH | O_DIRECTORY);
  Result<Fd> copy = top ? clone_mount(top->get(), "overlay", Below::kExclude) : std::move(top);
  if (::umount2(path.c_str(), kMntDetach) < 0) return sys_error("take off", "overlay");
  return copy;
}

}  // namespace

Result<Fd> make_overlay_by_page(const std::vector<std::string>& lowers, const FsOptions& options,
                                MountFlags flags, int place) {
  std::vector<Fd> held;
  std::vector<std::string> names;  // as short as they can be
  for (const std::string& lower : lowers) {
    held.push_back(TRY(open_fd(lower, O_PATH | O_DIRECTORY)));
    names.push_back(format("/proc/self/fd/{}", held.back().get()));
  }
  std::string text = "lowerdir=" + joined(names);
  for (const auto& [key, value] : options) text += "," + (value.empty() ? key : key + "=" + value);
  if (text.size() > kOptionPage)
    return make_error(Code::kResourceExhausted, "too_many_layers",
                      format("mount overlay of {} layers: this kernel takes fewer", lowers.size()),
                      "Linux 6.7 and later take 500; --rootfs merged needs no overlay");
  const unsigned long bits = (flags.nodev ? kMsNodev : 0) | (flags.nosuid ? kMsNosuid : 0);
  const std::string target = format("/proc/self/fd/{}", place);
  if (::mount("overlay", target.c_str(), "overlay", bits, text.c_str()) < 0)
    return sys_error("mount file system", "overlay");
  return taken_off(place);
}

Result<Fd> make_overlay(const std::vector<std::string>& lowers, const FsOptions& options,
                        MountFlags flags, int place) {
  const FsOptions all = with_lowers(lowers, options);
  Result<Fd> made = make_mount("overlay", all, flags);
  const bool unknown =
      !made && made.error().sys_errno == EINVAL && all.front().first == "lowerdir+";
  return unknown ? make_overlay_by_page(lowers, options, flags, place) : std::move(made);
}

}  // namespace caisson::sys
