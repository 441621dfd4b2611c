#include "fetch/child.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <exception>

#include "image/fetch_protocol.h"
#include "sys/socket.h"

namespace caisson::fetch {
namespace {

/// The child's whole life.
[[noreturn]] void live(const std::function<int(Fd)>& body, Fd socket, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  int status = 1;
  try {
    status = body(std::move(socket));
  } catch (const std::exception&) {  // memory is exhausted: what is missing is told by our end
  }
  ::_exit(status);
}

}  // namespace

Result<Child> Child::start(std::string role, const std::function<int(Fd)>& body) {
  sys::SocketPair pair = TRY(sys::make_socket_pair(SOCK_SEQPACKET));
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return sys_error("start process", role);
  if (pid == 0) {
    pair.ours.reset();
    live(body, std::move(pair.theirs), parent);
  }
  return Child(std::move(role), std::move(pair.ours), pid);
}

Child::~Child() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

Result<std::optional<std::string>> Child::receive(std::vector<Fd>& fds) {
  std::string buffer(image::kMaxMessage, '\0');
  sys::Received got = sys::receive_with_fds(socket_.get(), buffer.data(), buffer.size());
  // Told once, ahead of what it had said, when it ended without hearing all of us.
  if (got.bytes == -ECONNRESET)
    got = sys::receive_with_fds(socket_.get(), buffer.data(), buffer.size());
  fds = std::move(got.fds);
  if (got.bytes == 0) return std::optional<std::string>();
  if (got.bytes < 0) return errno_error(static_cast<int>(-got.bytes), "hear from", role_);
  buffer.resize(static_cast<std::size_t>(got.bytes));
  return std::optional(std::move(buffer));
}

Result<> Child::send(std::string_view text) const {
  while (::send(socket_.get(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    if (errno == EAGAIN)
      return make_error(Code::kInternal, "protocol_error",
                        format("fetch image: the {} does not listen", role_));
    if (errno != EINTR) break;
  }
  return {};
}

Result<> Child::finish(int patience_ms) {
  socket_.reset();
  pollfd ended{static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)), POLLIN, 0};
  const Fd pidfd(ended.fd);
  if (pidfd && ::poll(&ended, 1, patience_ms) == 0) {
    ::kill(pid_, SIGKILL);
    return make_error(Code::kInternal, "fetch_died",
                      format("fetch image: the {} said nothing more and did not end", role_));
  }
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0)
    if (errno != EINTR) return sys_error("wait for", role_);
  pid_ = -1;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return make_error(
      Code::kInternal, "fetch_died",
      WIFSIGNALED(status)
          ? format("fetch image: the {} was ended by signal {}", role_, WTERMSIG(status))
          : format("fetch image: the {} ended with status {}", role_, WEXITSTATUS(status)),
      WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL
          ? "somebody killed it, or memory was exhausted"
          : "");
}

}  // namespace caisson::fetch
