// Files: the files of a box, running or not, from outside.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "caisson/exec.h"
#include "caisson/result.h"

namespace caisson {

enum class FileKind : char {
  kFile = 'f',
  kDirectory = 'd',
  kSymlink = 'l',
  kFifo = 'p',
  kSocket = 's',
  kCharDevice = 'c',
  kBlockDevice = 'b',
};

struct FileInfo {
  std::string name;  ///< the last part of the path
  FileKind kind = FileKind::kFile;
  std::uint32_t mode = 0;          ///< permissions, at most 07777
  std::uint32_t uid = 0, gid = 0;  ///< as the box sees them
  std::uint64_t size = 0;          ///< bytes
  std::int64_t mtime_ns = 0;       ///< since the Unix epoch
  std::string link;                ///< where a symbolic link leads
  friend bool operator==(const FileInfo&, const FileInfo&) = default;
};

struct WriteOptions {
  /// Absent: as the file that is replaced has it, else 0644.
  std::optional<std::uint32_t> mode;
  /// As the box sees them. Absent: as the file that is replaced has it, else the box's root.
  std::optional<std::uint32_t> uid, gid;
  bool parents = false;  ///< make directories that are missing
};

struct CopyOptions {
  bool follow = false;       ///< if the source is a symbolic link, what it leads to
  bool keep_owners = false;  ///< numeric owners, set-id bits and attributes; else the box's root,
                             ///< or outside who calls
};

struct Copied {
  std::uint64_t files = 0;    ///< of any kind, directories too
  std::uint64_t bytes = 0;    ///< of content
  std::uint64_t skipped = 0;  ///< sockets and devices, which are not copied
};

enum class FileEventKind { kCreated, kChanged, kRemoved, kOverflow };

/// A file was made or moved in, written or given other attributes, removed or moved away.
struct FileEvent {
  FileEventKind kind = FileEventKind::kChanged;
  std::string path;  ///< absolute, in the box; empty with kOverflow: some events were lost
  bool is_directory = false;
  friend bool operator==(const FileEvent&, const FileEvent&) = default;
};

/// Move-only, not thread-safe.
class FileWatch final {
 public:
  class Impl;
  explicit FileWatch(std::unique_ptr<Impl> impl);
  FileWatch(FileWatch&&) noexcept;
  FileWatch& operator=(FileWatch&&) noexcept;
  ~FileWatch();

  /// A descriptor that polls readable when `next` may have something. Owned by the watch.
  int fd() const;
  /// The next event; absent when the box has ended. kDeadlineExceeded when none comes in time.
  Result<std::optional<FileEvent>> next(Deadline deadline = {});

 private:
  std::unique_ptr<Impl> impl_;
};

/// The files of one box, as its processes see them: with its mounts, ids and links. What is done
/// here is done by a process inside the box with the rights of its root, within its limits: no path
/// or link can lead out. In a box that does not run, memory file systems (/tmp of `host:` boxes,
/// `--tmpfs`, /dev) are empty, and writing to them is refused, `path_not_kept`; the box cannot be
/// started as long as the object lives. Thread-safe: calls wait for each other. Paths are absolute.
///
/// Errors of all: `path_not_found`, `path_invalid`, `system_call_failed` with the errno,
/// `disk_full`, `box_paused`, `files_ended` (the box or its helper ended meanwhile).
class Files final {
 public:
  class Impl;
  explicit Files(std::shared_ptr<Impl> impl);

  /// `follow`: what a symbolic link at the end leads to.
  Result<FileInfo> stat(std::string_view path, bool follow = true);
  /// By name; without "." and "..".
  Result<std::vector<FileInfo>> list(std::string_view path);

  /// The content of a regular file from `offset` on; longer than `max` is an error,
  /// `file_too_large`.
  Result<std::string> read(std::string_view path, std::uint64_t offset = 0,
                           std::uint64_t max = 64u << 20);
  /// The same to a descriptor, of any length. Returns how many bytes were written.
  Result<std::uint64_t> read_to(std::string_view path, int fd);
  /// Puts a regular file in place at once: readers see the old content or all of the new. Symbolic
  /// links are followed.
  Result<> write(std::string_view path, std::string_view content, const WriteOptions& options = {});
  /// The same with everything that can be read from a descriptor.
  Result<std::uint64_t> write_from(std::string_view path, int fd, const WriteOptions& options = {});
  /// Makes a directory of the box's root; with `parents` the missing ones above it, and it is no
  /// error if it is there.
  Result<> mkdir(std::string_view path, bool parents = false, std::uint32_t mode = 0755);
  /// A file, link or empty directory; with `recursive` a directory with all in it. What is mounted
  /// below it stays and is an error.
  Result<> remove(std::string_view path, bool recursive = false);
  /// Tells changes of a directory's entries or of a file from now on, with `recursive` of all
  /// directories below it too (at most 4,096, `watch_limit`). Only in a box that runs,
  /// `box_not_running`. The watch is a connection of its own.
  Result<FileWatch> watch(std::string_view path, bool recursive = false);

  /// Copies a file or tree of the host, as `cp -r` does: into `to` if that is a directory, else
  /// with this name. A source that ends with "/." copies what is in it. Links are copied as links.
  Result<Copied> copy_in(const std::string& from, std::string_view to,
                         const CopyOptions& options = {});
  /// The other way. Nothing is written outside of the destination, whatever the box does: a
  /// symbolic link of the box's is made but never followed, and set-id bits are dropped.
  Result<Copied> copy_out(std::string_view from, const std::string& to,
                          const CopyOptions& options = {});
  /// A tar archive of a file or tree, whose first member has the last part of the path as its name.
  Result<Copied> pack(std::string_view path, int fd, const CopyOptions& options = {});
  /// Unpacks a tar archive (ustar, pax, GNU; not compressed) into a directory.
  Result<Copied> unpack(int fd, std::string_view path, const CopyOptions& options = {});

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace caisson
