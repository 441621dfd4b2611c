#include "process/attributes.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "sys/socket.h"

namespace caisson::process {
namespace {

/// A call that waits for its answer, and the memory of who made it.
class Call final {
 public:
  Call(int listener, const seccomp_notif& request)
      : listener_(listener),
        request_(request),
        process_(format("/proc/{}", request.pid)),
        memory_(open_fd(process_ + "/mem", O_RDONLY).value_or(Fd())) {}

  bool readable() const { return static_cast<bool>(memory_); }
  int number() const { return request_.data.nr; }
  std::uint64_t argument(unsigned i) const { return request_.data.args[i]; }
  int integer(unsigned i) const { return static_cast<int>(argument(i)); }

  bool read(std::uint64_t address, void* into, std::size_t size) const {
    return ::pread(memory_.get(), into, size, static_cast<off_t>(address)) ==
           static_cast<ssize_t>(size);
  }
  /// A string of at most `most` bytes; what is behind it may be unmapped.
  bool read_text(std::uint64_t address, std::size_t most, std::string& text) const {
    text.clear();
    constexpr std::size_t kPage = 4096;
    while (text.size() < most) {
      char buffer[kPage];
      const std::size_t want =
          std::min(kPage - (address + text.size()) % kPage, most - text.size());
      const ssize_t n =
          ::pread(memory_.get(), buffer, want, static_cast<off_t>(address + text.size()));
      if (n <= 0) return false;
      const auto got = static_cast<std::size_t>(n);
      const auto* end = static_cast<const char*>(std::memchr(buffer, 0, got));
      text.append(buffer, end == nullptr ? got : static_cast<std::size_t>(end - buffer));
      if (end != nullptr) return true;
    }
    return false;
  }

  /// The file that a directory descriptor and a path name, as the caller would find it; -errno.
  int open_file(int directory, std::uint64_t path, bool follow, Fd& file) const {
    std::string text;
    if (!read_text(path, PATH_MAX, text)) return -EFAULT;
    const std::string base =
        directory == AT_FDCWD ? process_ + "/cwd" : format("{}/fd/{}", process_, directory);
    const Fd at(::open(base.c_str(), O_PATH | O_CLOEXEC));
    if (!at && !text.starts_with('/')) return -errno;
    open_how how{};
    how.flags = static_cast<std::uint64_t>(O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
    how.resolve = RESOLVE_NO_MAGICLINKS;
    file = Fd(static_cast<int>(::syscall(SYS_openat2, at.get(), text.c_str(), &how, sizeof how)));
    return file ? still_there() : -errno;
  }
  int open_descriptor(int fd, Fd& file) const {
    file = Fd(::open(format("{}/fd/{}", process_, fd).c_str(), O_PATH | O_CLOEXEC));
    return file ? still_there() : -EBADF;
  }

 private:
  /// The process may have died, and another have its number.
  int still_there() const {
    return ::ioctl(listener_, SECCOMP_IOCTL_NOTIF_ID_VALID, &request_.id) == 0 ? 0 : -ESRCH;
  }

  int listener_;
  const seccomp_notif& request_;
  std::string process_;
  Fd memory_;
};

int result_of(int done) { return done == 0 ? 0 : -errno; }

/// The file, and what follows it among the arguments.
struct Subject {
  Fd file;
  unsigned next = 0;
};

int find(const Call& call, Subject& subject) {
  const auto by_path = [&](int directory, unsigned path, bool follow) {
    subject.next = path + 1;
    return call.open_file(directory, call.argument(path), follow, subject.file);
  };
  const auto by_descriptor = [&] {
    subject.next = 1;
    return call.open_descriptor(call.integer(0), subject.file);
  };
  /// With an empty path and AT_EMPTY_PATH, or without a path, the descriptor itself is meant.
  const auto at = [&](int flags) {
    std::string text;
    const bool none =
        call.argument(1) == 0 || ((flags & AT_EMPTY_PATH) != 0 &&
                                  call.read_text(call.argument(1), PATH_MAX, text) && text.empty());
    if (!none) return by_path(call.integer(0), 1, (flags & AT_SYMLINK_NOFOLLOW) == 0);
    const int found = by_descriptor();
    subject.next = 2;
    return found;
  };
  switch (call.number()) {
    case SYS_chmod:
    case SYS_chown:
    case SYS_utime:
    case SYS_utimes:
    case SYS_setxattr:
    case SYS_removexattr:
      return by_path(AT_FDCWD, 0, true);
    case SYS_lchown:
    case SYS_lsetxattr:
    case SYS_lremovexattr:
      return by_path(AT_FDCWD, 0, false);
    case SYS_fchmod:
    case SYS_fchown:
    case SYS_fsetxattr:
    case SYS_fremovexattr:
      return by_descriptor();
    case SYS_fchmodat:
    case SYS_futimesat:
      return at(0);
    case SYS_utimensat:
    case 452:  // fchmodat2
      return at(call.integer(3));
    case SYS_fchownat:
      return at(call.integer(4));
    default:
      return -ENOSYS;
  }
}

/// Not even its own files become programs that give its ids to others.
int set_mode(mode_t mode, const char* file) {
  struct stat info{};
  if ((mode & (S_ISUID | S_ISGID)) != 0 && ::stat(file, &info) == 0 && S_ISREG(info.st_mode))
    return -EPERM;
  return result_of(::chmod(file, mode));
}

int set_times(const Call& call, std::uint64_t address, const char* file) {
  std::array<timespec, 2> times{};
  if (address == 0) return result_of(::utimensat(AT_FDCWD, file, nullptr, 0));
  if (call.number() == SYS_utimensat) {
    if (!call.read(address, times.data(), sizeof times)) return -EFAULT;
  } else if (call.number() == SYS_utime) {
    utimbuf old{};
    if (!call.read(address, &old, sizeof old)) return -EFAULT;
    times[0].tv_sec = old.actime;
    times[1].tv_sec = old.modtime;
  } else {
    std::array<timeval, 2> old{};
    if (!call.read(address, old.data(), sizeof old)) return -EFAULT;
    for (std::size_t i = 0; i < 2; ++i) times[i] = {old[i].tv_sec, old[i].tv_usec * 1000};
  }
  return result_of(::utimensat(AT_FDCWD, file, times.data(), 0));
}

int set_attribute(const Call& call, unsigned next, const char* file) {
  constexpr std::size_t kLongestName = 256, kMost = 65536;  // XATTR_NAME_MAX, XATTR_SIZE_MAX
  std::string name;
  if (!call.read_text(call.argument(next), kLongestName, name)) return -ERANGE;
  if (call.number() == SYS_removexattr || call.number() == SYS_lremovexattr ||
      call.number() == SYS_fremovexattr)
    return result_of(::removexattr(file, name.c_str()));
  const std::uint64_t size = call.argument(next + 2);
  if (size > kMost) return -E2BIG;
  std::string value(size, '\0');
  if (size > 0 && !call.read(call.argument(next + 1), value.data(), size)) return -EFAULT;
  return result_of(::setxattr(file, name.c_str(), value.data(), size, call.integer(next + 3)));
}

/// By the descriptor that was looked at: nothing can have taken its place since.
int perform(const Call& call, const Subject& subject) {
  const std::string path = format("/proc/self/fd/{}", subject.file.get());
  const char* file = path.c_str();
  switch (call.number()) {
    case SYS_chmod:
    case SYS_fchmod:
    case SYS_fchmodat:
    case 452:
      return set_mode(static_cast<mode_t>(call.argument(subject.next)), file);
    case SYS_chown:
    case SYS_lchown:
    case SYS_fchown:
    case SYS_fchownat:
      return result_of(
          ::fchownat(subject.file.get(), "", static_cast<uid_t>(call.argument(subject.next)),
                     static_cast<gid_t>(call.argument(subject.next + 1)), AT_EMPTY_PATH));
    case SYS_utime:
    case SYS_utimes:
    case SYS_futimesat:
    case SYS_utimensat:
      return set_times(call, call.argument(subject.next), file);
    default:
      return set_attribute(call, subject.next, file);
  }
}

}  // namespace

Result<> Attributes::allow(int fd) {
  char text[PATH_MAX];
  const ssize_t n = ::readlink(format("/proc/self/fd/{}", fd).c_str(), text, sizeof text);
  if (n <= 0 || n == static_cast<ssize_t>(sizeof text)) return sys_error("find allowed path", "");
  writable_.emplace_back(text, static_cast<std::size_t>(n));
  return {};
}

Result<> Attributes::open() {
  sys::SocketPair pair = TRY(sys::make_socket_pair(SOCK_SEQPACKET));
  ours_ = std::move(pair.ours);
  theirs_ = std::move(pair.theirs);
  epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = ours_.get();
  if (!epoll_ || ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, ours_.get(), &event) < 0)
    return sys_error("watch calls", "");
  return {};
}

/// Where the file is now. What has no name is a process's own.
bool Attributes::may_write(int fd) const {
  char text[PATH_MAX];
  const ssize_t n = ::readlink(format("/proc/self/fd/{}", fd).c_str(), text, sizeof text);
  if (n <= 0 || n == static_cast<ssize_t>(sizeof text)) return false;
  const std::string path(text, static_cast<std::size_t>(n));
  return path.starts_with("/memfd:") || !path.starts_with('/') ||
         std::ranges::any_of(writable_, [&](const std::string& allowed) {
           return path == allowed || path.starts_with(allowed == "/" ? allowed : allowed + "/");
         });
}

void Attributes::take_listener() {
  char byte = 0;
  sys::Received got = sys::receive_with_fds(ours_.get(), &byte, 1);
  for (Fd& fd : got.fds) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd.get();
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event) == 0)
      listeners_[event.data.fd] = std::move(fd);
  }
}

/// False when the last process with this filter is gone.
bool Attributes::answer_one(int listener) {
  // Room for what later kernels may add: they write structures of their own size.
  union {
    seccomp_notif request;
    char room[1024];
  } received{};
  const seccomp_notif& request = received.request;
  if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &received) < 0)
    return errno == EINTR || errno == ENOENT;
  seccomp_notif_resp response{};
  response.id = request.id;
  const Call call(listener, request);
  Subject subject;
  // A process that lets nobody look into it (PR_SET_DUMPABLE, prctl(2)) cannot be helped.
  int result = call.readable() ? find(call, subject) : -EPERM;
  if (result == 0) result = may_write(subject.file.get()) ? perform(call, subject) : -EACCES;
  response.error = result;
  ::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
  return true;
}

void Attributes::answer() {
  std::array<epoll_event, 16> events{};
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    const int fd = event.data.fd;
    if (fd == ours_.get())
      take_listener();
    else if ((event.events & EPOLLIN) == 0 || !answer_one(fd))
      listeners_.erase(fd);
  }
}

}  // namespace caisson::process
