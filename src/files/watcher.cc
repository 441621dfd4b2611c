#include "files/watcher.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <map>

namespace caisson::files {
namespace {

constexpr std::size_t kMostWatches = 4096;
constexpr std::uint32_t kMask = IN_CREATE | IN_MOVED_TO | IN_MODIFY | IN_ATTRIB | IN_DELETE |
                                IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF | IN_EXCL_UNLINK;

class Watcher final {
 public:
  Watcher(Stream& stream, const Root& root, bool deep)
      : stream_(stream), root_(root), deep_(deep) {}

  Result<> run(const std::string& path) {
    inotify_ = Fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!inotify_) return sys_error("watch", path);
    TRY(add(path == "/" ? "" : path, true, false));
    TRY(stream_.send_document(""));
    pollfd polled[2] = {{inotify_.get(), POLLIN, 0}, {stream_.fd(), POLLIN, 0}};
    for (;;) {
      if (::poll(polled, 2, -1) < 0 && errno != EINTR) return sys_error("watch", path);
      if (polled[0].revents != 0) TRY(pass_on());
      if (polled[1].revents != 0) {  // a client that says more is done with it
        return make_error(Code::kCancelled, "client_gone", "watch files: client is gone");
      }
    }
  }

 private:
  /// `path` without a slash at its end: "" is the root.
  /// `late`: it is new, and what is in it already may have come before the watch.
  Result<> add(const std::string& path, bool must_be, bool late) {
    Result<Fd> found =
        root_.open_at(path.empty() ? "/" : path, O_PATH | (must_be ? 0 : O_NOFOLLOW));
    if (!found) return must_be ? Result<>(found.error()) : Result<>();
    // By descriptor, so that what is watched is what was found.
    const int id = ::inotify_add_watch(inotify_.get(),
                                       format("/proc/self/fd/{}", found->get()).c_str(), kMask);
    if (id < 0) return path_error("watch", path);
    if (must_be) top_ = id;
    paths_[id] = path;
    if (paths_.size() > kMostWatches)
      return make_error(Code::kResourceExhausted, "watch_limit",
                        format("watch '{}': it has more than {} directories", path, kMostWatches));
    if (!deep_) return {};
    const Result<Fd> directory = root_.open_at(path.empty() ? "/" : path, O_RDONLY | O_DIRECTORY);
    if (!directory) return {};
    return below(*directory, path, late);
  }

  Result<> below(const Fd& directory, const std::string& path, bool late) {
    for (const std::string& name : TRY(names_in(directory.get(), path))) {
      struct stat st{};
      if (::fstatat(directory.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) < 0) continue;
      const std::string child = format("{}/{}", path, name);
      if (late) TRY(send({FileEventKind::kCreated, child, S_ISDIR(st.st_mode)}));
      if (S_ISDIR(st.st_mode)) TRY(add(child, false, late));
    }
    return {};
  }

  Result<> pass_on() {
    alignas(inotify_event) std::array<char, 65536> buffer;
    for (;;) {
      const ssize_t n = ::read(inotify_.get(), buffer.data(), buffer.size());
      if (n <= 0) return {};
      for (ssize_t at = 0; at < n;) {
        const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
        at += static_cast<ssize_t>(sizeof *event + event->len);
        TRY(tell(*event));
      }
    }
  }

  Result<> tell(const inotify_event& event) {
    if ((event.mask & IN_Q_OVERFLOW) != 0) return send({FileEventKind::kOverflow, "", false});
    const auto found = paths_.find(event.wd);
    if (found == paths_.end()) return {};
    if ((event.mask & IN_IGNORED) != 0) {
      paths_.erase(found);
      return {};
    }
    FileEvent told;
    told.path = found->second;
    const bool about_itself = event.len == 0;
    if (!about_itself) told.path += format("/{}", static_cast<const char*>(event.name));
    if (told.path.empty()) told.path = "/";
    told.is_directory = (event.mask & IN_ISDIR) != 0;
    // Of a directory below, the one above tells too.
    if (about_itself && told.is_directory && deep_ && event.wd != top_) return {};
    if ((event.mask & (IN_CREATE | IN_MOVED_TO)) != 0) {
      told.kind = FileEventKind::kCreated;
    } else if ((event.mask & (IN_DELETE | IN_MOVED_FROM | IN_DELETE_SELF | IN_MOVE_SELF)) != 0) {
      told.kind = FileEventKind::kRemoved;
      if (about_itself && event.wd != top_) return {};
    }
    TRY(send(told));
    if (told.kind == FileEventKind::kCreated && told.is_directory && deep_)
      return add(told.path, false, true);
    return {};
  }

  Result<> send(const FileEvent& event) { return stream_.send_document(encode_event(event)); }

  Stream& stream_;
  const Root& root_;
  bool deep_;
  Fd inotify_;
  int top_ = -1;  ///< of what was asked for
  std::map<int, std::string> paths_;
};

}  // namespace

Result<> watch(Stream& stream, const Root& root, const Request& request) {
  std::string path = request.path;
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return Watcher(stream, root, request.deep).run(path);
}

}  // namespace caisson::files
