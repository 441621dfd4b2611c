// Copying between a box and the host: what goes where, as cp(1) has it.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "engine/files_impl.h"
#include "files/pack.h"
#include "files/unpack.h"

namespace caisson {

using files::Answer;
using files::Op;
using files::Request;

namespace {

/// The name of what is copied, on its way. It takes the destination's there.
constexpr const char* kOnTheWay = "root";

/// The directory something goes into, and its name there; an empty name: what is in the source goes
/// right into it.
struct Destination {
  std::string directory, name;
  bool replaces = false;  ///< a file is there
};

std::string without_slashes(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path;
}

/// Whether a path means what is in a directory rather than the directory.
bool means_contents(const std::string& path) {
  return path.ends_with("/.") || path == "." || without_slashes(path) == "/";
}

std::string name_of(std::string path) {
  path = without_slashes(std::move(path));
  return path.substr(path.rfind('/') + 1);
}

std::string directory_of(std::string path) {
  path = without_slashes(std::move(path));
  const std::size_t slash = path.rfind('/');
  if (slash == path.npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

enum class There { kNothing, kFile, kDirectory };

Result<Destination> destination(const std::string& from, bool from_directory, const std::string& to,
                                There there) {
  switch (there) {
    case There::kDirectory:
      if (!means_contents(from)) return Destination{to, name_of(from)};
      return Destination{to, {}};
    case There::kFile:
      if (from_directory || to.ends_with('/'))
        return make_error(Code::kFailedPrecondition, "path_in_the_way",
                          format("copy to '{}': it is no directory", to));
      return Destination{directory_of(to), name_of(to), true};
    case There::kNothing:
      break;
  }
  if (to.ends_with('/') && !from_directory)
    return make_error(Code::kNotFound, "path_not_found",
                      format("copy to '{}': there is no such directory", to));
  const std::string name = name_of(to);
  if (name.empty() || name == "." || name == "..")
    return make_error(Code::kNotFound, "path_not_found",
                      format("copy to '{}': there is no such directory", to));
  return Destination{directory_of(to), name};
}

Copied copied_of(const files::Packed& packed) {
  return {packed.files, packed.bytes, packed.skipped};
}

/// A directory of the host, opened as who calls sees it.
Result<Fd> open_host(const std::string& path) {
  Result<Fd> fd = open_fd(path, O_RDONLY | O_DIRECTORY);
  if (!fd && fd.error().sys_errno == ENOENT) {
    Error error = fd.error();
    error.reason = "path_not_found";
    return error;
  }
  return fd;
}

}  // namespace

Result<Copied> Files::copy_in(const std::string& from, std::string_view to,
                              const CopyOptions& options) {
  const bool contents = means_contents(from);
  const Fd parent = TRY(open_host(contents ? from : directory_of(from)));
  const std::string name = contents ? "." : name_of(from);
  struct stat source{};
  const bool follow = options.follow || from.ends_with('/');
  if (::fstatat(parent.get(), name.c_str(), &source, follow ? 0 : AT_SYMLINK_NOFOLLOW) < 0) {
    Error error = sys_error("copy", from);
    if (error.sys_errno == ENOENT) error.reason = "path_not_found";
    return error;
  }
  There there = There::kNothing;
  const Result<FileInfo> target = stat(to);
  if (target)
    there = target->kind == FileKind::kDirectory ? There::kDirectory : There::kFile;
  else if (target.error().reason != "path_not_found")
    return target.error();
  const Destination goes = TRY(destination(from, S_ISDIR(source.st_mode), std::string(to), there));
  Request request{.op = Op::kUnpack, .path = goes.directory, .name = kOnTheWay, .as = goes.name};
  request.follow = goes.replaces;
  request.keep_owners = options.keep_owners;
  const Fd entry = TRY(open_at(parent.get(), name, O_PATH | (follow ? 0 : O_NOFOLLOW)));
  files::Packed packed;
  TRY(impl_->told("in", to, impl_->send(request, [&](const files::Sink& sink) -> Result<> {
    files::TarWriter tar(sink);
    packed = TRY(files::pack(entry, {kOnTheWay, options.keep_owners}, tar));
    return tar.finish();
  })));
  return copied_of(packed);
}

Result<Copied> Files::copy_out(std::string_view from, const std::string& to,
                               const CopyOptions& options) {
  const std::string path(from);
  const bool follow = options.follow || path.ends_with('/');
  const FileInfo source = TRY(stat(path, follow));
  struct stat st{};
  There there = There::kNothing;
  std::string target = to;
  if (::stat(to.c_str(), &st) == 0)
    there = S_ISDIR(st.st_mode) ? There::kDirectory : There::kFile;
  else if (errno != ENOENT)
    return sys_error("copy to", to);
  if (there == There::kFile) {
    // The file itself is replaced, not a link that leads to it.
    const std::unique_ptr<char, void (*)(void*)> real(::realpath(to.c_str(), nullptr), ::free);
    if (real && !to.ends_with('/')) target = real.get();
  }
  const Destination goes =
      TRY(destination(path, source.kind == FileKind::kDirectory, target, there));
  const Fd directory = TRY(open_host(goes.directory));
  Request request{.op = Op::kPack, .path = path, .name = kOnTheWay, .follow = follow};
  files::Unpacked unpacked;
  const Result<Answer> answer = impl_->receive(request, [&](const files::Source& data) -> Result<> {
    files::TarReader tar(data);
    files::UnpackOptions how;
    how.only = kOnTheWay;
    how.as = goes.name;
    how.keep_owners = options.keep_owners;
    unpacked = TRY(files::unpack(tar, directory.get(), how));
    return {};
  });
  TRY(impl_->told("out", from, answer));
  return Copied{unpacked.files, unpacked.bytes, unpacked.skipped + answer->copied.skipped};
}

Result<Copied> Files::pack(std::string_view path, int fd, const CopyOptions& options) {
  const std::string from(path);
  Request request{
      .op = Op::kPack, .path = from, .name = means_contents(from) ? "." : name_of(from)};
  request.follow = options.follow;
  request.keep_owners = options.keep_owners;
  const Result<Answer> answer =
      impl_->ask(request, [fd](std::string_view bytes) { return write_all(fd, bytes, "archive"); });
  TRY(impl_->told("out", path, answer));
  return answer->copied;
}

Result<Copied> Files::unpack(int fd, std::string_view path, const CopyOptions& options) {
  Request request{.op = Op::kUnpack, .path = std::string(path)};
  request.keep_owners = options.keep_owners;
  const Result<Answer> answer = impl_->send(
      request, [fd](const files::Sink& sink) { return files::pass(fd, "archive", sink); });
  TRY(impl_->told("in", path, answer));
  return answer->copied;
}

}  // namespace caisson
