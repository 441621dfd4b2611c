#include "files/replacement.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <vector>

#include "files/unpack.h"

namespace caisson::files {

Error write_error(std::string_view action, const std::string& path) {
  Error error = sys_error(action, path);
  if (error.sys_errno == ENOSPC || error.sys_errno == EDQUOT || error.sys_errno == EFBIG) {
    error.reason = "disk_full";
    error.code = Code::kResourceExhausted;
  }
  return error;
}

Result<std::string> temporary_name() {
  unsigned long long number = 0;
  if (::getrandom(&number, sizeof number, 0) != sizeof number)
    return sys_error("get random bytes", "");
  return format(".caisson-{:016x}", number);
}

Result<> take_place(int parent, const std::string& temporary, const std::string& name) {
  if (::renameat(parent, temporary.c_str(), parent, name.c_str()) == 0) {
    // Nothing happens to two names of one file.
    ::unlinkat(parent, temporary.c_str(), 0);
    return {};
  }
  const int err = errno;
  ::unlinkat(parent, temporary.c_str(), 0);
  if (err == EISDIR || err == ENOTEMPTY || err == EEXIST)
    return make_error(Code::kFailedPrecondition, "path_in_the_way",
                      format("write '{}': a directory is there", name));
  errno = err;
  return write_error("write", name);
}

Result<Replacement> Replacement::create(int parent, const std::string& name) {
  std::string temporary = TRY(temporary_name());
  Fd file(::openat(parent, temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                   0600));
  if (!file) return write_error("write", name);
  return Replacement(parent, name, std::move(temporary), std::move(file));
}

Replacement::Replacement(Replacement&& other) noexcept
    : parent_(other.parent_),
      name_(std::move(other.name_)),
      temporary_(std::exchange(other.temporary_, {})),
      file_(std::move(other.file_)) {}

Replacement::~Replacement() {
  if (!temporary_.empty()) ::unlinkat(parent_, temporary_.c_str(), 0);
}

Result<> Replacement::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(file_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return write_error("write", name_);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<> Replacement::commit() {
  if (::renameat(parent_, temporary_.c_str(), parent_, name_.c_str()) == 0) {
    temporary_.clear();
    return {};
  }
  if (errno == EBUSY) return overwrite();
  return take_place(parent_, std::exchange(temporary_, {}), name_);
}

Result<> Replacement::overwrite() {
  const Fd target(
      ::openat(parent_, name_.c_str(), O_WRONLY | O_TRUNC | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!target) return write_error("write", name_);
  if (::lseek(file_.get(), 0, SEEK_SET) < 0) return sys_error("read again", name_);
  std::vector<char> buffer(256 << 10);
  for (;;) {
    const ssize_t n = ::read(file_.get(), buffer.data(), buffer.size());
    if (n < 0) return sys_error("read again", name_);
    if (n == 0) return {};
    if (Result<> written =
            write_all(target.get(), {buffer.data(), static_cast<std::size_t>(n)}, name_);
        !written)
      return written;
  }
}

}  // namespace caisson::files
