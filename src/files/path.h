// Paths in a box, found by descriptor.
#pragma once

#include <sys/stat.h>

#include <map>
#include <string>
#include <vector>

#include "base/fd.h"
#include "caisson/files.h"
#include "sys/dir.h"

namespace caisson::files {

/// Opens for reading what was found with O_PATH: it is known not to become another thing.
Result<Fd> reopen(int found, const std::string& path, int flags);

Result<std::string> read_link(int link, const std::string& path);

/// Extended attributes that belong to a file wherever it is: user.* without what overlayfs keeps
/// for itself, and file capabilities.
std::map<std::string, std::string> read_xattrs(int fd);

/// By name, without "." and "..".
Result<std::vector<std::string>> names_in(int directory, const std::string& path);

/// What `entry`, found with O_PATH, is.
Result<FileInfo> info_of(int entry, std::string name);

/// Errors for who works with a path: `path_not_found` for ENOENT.
Error path_error(std::string_view action, const std::string& path);

/// Where the last part of a path is.
struct Place {
  Fd parent;
  std::string name;
};

/// Finds things below a root directory: paths are resolved by the kernel as if it were "/", without
/// /proc's magic links (openat2(2)).
class Root final {
 public:
  /// `path` of the root, as the process sees it.
  static Result<Root> open(const std::string& path);

  /// Opens what `path` leads to.
  Result<Fd> open_at(const std::string& path, int flags) const;
  /// The directory that the last part of `path` is in; with `follow` that of what it leads to, if
  /// it is a symbolic link. `path_invalid` for a path that has no last part.
  Result<Place> place(std::string path, bool follow) const;
  /// The same, making directories that are missing; each goes through `made`.
  template <class Made>
  Result<Place> make_place(const std::string& path, Made made) const {
    for (std::size_t at = path.find('/', 1); at != path.npos; at = path.find('/', at + 1)) {
      const std::string above = path.substr(0, at);
      if (above.empty() || above.ends_with('/')) continue;
      Result<Fd> there = open_at(above, kDirectory);
      if (there) continue;
      if (there.error().sys_errno != ENOENT) return there.error();
      TRY(made(above));
    }
    return place(path, true);
  }

 private:
  static const int kDirectory;
  explicit Root(sys::Dir dir) : dir_(std::move(dir)) {}
  sys::Dir dir_;
};

}  // namespace caisson::files
