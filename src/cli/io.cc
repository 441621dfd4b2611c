#include "cli/io.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "cli/report.h"

namespace caisson::cli {
void reserve_standard_descriptors() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) ::open("/dev/null", O_RDWR);  // takes the lowest free number
  }
}

Error cli_error(Code code, std::string_view reason, std::string message, std::string hint) {
  return Error{code, 0, std::string(reason), std::move(message), std::move(hint)};
}

Error cli_sys_error(std::string_view action, std::string_view object, std::string_view reason) {
  const int err = errno;
  const char* text = ::strerrordesc_np(err);
  std::string message = std::string(action) + " '" + std::string(object) +
                        "': " + (text != nullptr ? text : "unknown error");
  return Error{code_of_errno(err), err, std::string(reason), std::move(message), {}};
}

Result<std::size_t> write_some(int fd, std::string_view bytes) {
  const ssize_t n = ::write(fd, bytes.data(), bytes.size());
  if (n >= 0) return static_cast<std::size_t>(n);
  if (errno == EINTR) return 0;
  if (errno != EAGAIN) return cli_sys_error("write to", fd == STDERR_FILENO ? "stderr" : "stdout");
  pollfd wait{fd, POLLOUT, 0};
  ::poll(&wait, 1, -1);
  return 0;
}

Result<> write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    auto written = write_some(fd, bytes);
    if (!written) return std::move(written.error());
    bytes.remove_prefix(*written);
  }
  return {};
}

int print(std::string_view text) {
  auto written = write_all(STDOUT_FILENO, text);
  if (written) return 0;
  if (written.error().sys_errno == EPIPE) return kStatusOutputClosed;
  return fail(written.error());
}

Result<std::string> read_descriptor(int fd, const std::string& name, std::string_view reason) {
  constexpr std::size_t kMaxBytes = 16u << 20;
  std::string content;
  std::array<char, 16384> block;
  ssize_t n = 0;
  while (content.size() <= kMaxBytes && (n = ::read(fd, block.data(), block.size())) > 0) {
    content.append(block.data(), static_cast<std::size_t>(n));
  }
  if (n < 0) return cli_sys_error("read", name, reason);
  if (content.size() > kMaxBytes) {
    return cli_error(Code::kInvalidArgument, "file_too_large",
                     "read '" + name + "': larger than 16 MiB");
  }
  return content;
}

Result<std::string> read_file(const std::string& path, std::string_view reason) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return cli_sys_error("open", path, reason);
  auto content = read_descriptor(fd, path, reason);
  ::close(fd);
  return content;
}

}  // namespace caisson::cli
