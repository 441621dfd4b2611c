#include "engine/fetch.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/subprocess.h"
#include "engine/channel.h"
#include "sys/socket.h"

namespace caisson::engine {
namespace {

Error died(const std::string& how) {
  return make_error(Code::kInternal, "fetch_died", format("fetch image: caisson-fetch {}", how));
}

Result<> await(int fd, const Deadline& deadline, std::string_view action) {
  for (;;) {
    pollfd polled{fd, POLLIN, 0};
    const int n = ::poll(&polled, 1, poll_timeout(deadline));
    if (n > 0) return {};
    if (n == 0) return deadline_passed(action);
    if (errno != EINTR) return sys_error("wait for caisson-fetch", "");
  }
}

Result<> send_request(int socket, const image::FetchRequest& request, const std::vector<int>& fds) {
  const std::string text = image::encode(request);
  if (text.size() > image::kMaxMessage)
    return make_error(Code::kInvalidArgument, "fetch_request_too_large",
                      format("fetch image: the request has {} bytes, {} are allowed", text.size(),
                             image::kMaxMessage),
                      "shorten the certificates and mirrors of the registry's configuration");
  const ssize_t n = sys::send_with_fds(socket, text, fds);
  if (n < 0 && n != -EPIPE && n != -ECONNRESET)
    return errno_error(static_cast<int>(-n), "send to caisson-fetch", "");
  return {};  // one that has died tells why by its end
}

}  // namespace

Result<FetchProcess> FetchProcess::start(const Runtime::Impl& runtime,
                                         const image::FetchRequest& request,
                                         const std::vector<int>& fds, int lock) {
  const std::string path = TRY(find_fetch(runtime.options));
  sys::SocketPair pair = TRY(sys::make_socket_pair(SOCK_SEQPACKET));
  const Fd null = TRY(open_fd("/dev/null", O_RDWR));
  // Descriptors are moved above those that the program is to have.
  const Fd theirs(::fcntl(pair.theirs.get(), F_DUPFD_CLOEXEC, 10));
  const Fd held(::fcntl(lock >= 0 ? lock : null.get(), F_DUPFD_CLOEXEC, 10));
  if (!theirs || !held) return sys_error("duplicate descriptor", "");
  SpawnOptions options;
  // Nor the caller's terminal, which can be read and commanded through its standard error.
  options.fds = {
      {null.get(), 0}, {null.get(), 1}, {null.get(), 2}, {theirs.get(), 3}, {held.get(), 4}};
  options.new_session = true;  // a terminal's signals are the caller's
  const int pid = TRY(spawn({path}, options));
  Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) {
    Error error = sys_error("watch program", path);
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return error;
  }
  pair.theirs.reset();
  FetchProcess process(std::move(pair.ours), std::move(pidfd));
  TRY(send_request(process.socket(), request, fds));
  return process;
}

FetchProcess::~FetchProcess() {
  if (!pidfd_) return;
  ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  siginfo_t info{};
  while (::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED) < 0 && errno == EINTR) {
  }
}

Result<std::optional<image::FetchMessage>> FetchProcess::receive(const Deadline& deadline) {
  TRY(await(socket_.get(), deadline, "fetch image"));
  std::string buffer(image::kMaxMessage, '\0');
  const sys::Received received = sys::receive_with_fds(socket_.get(), buffer.data(), buffer.size());
  if (received.bytes == 0 || received.bytes == -ECONNRESET)
    return std::optional<image::FetchMessage>();
  if (received.bytes < 0)
    return errno_error(static_cast<int>(-received.bytes), "receive from caisson-fetch", "");
  buffer.resize(static_cast<std::size_t>(received.bytes));
  return std::optional(TRY(image::decode_fetch_message(buffer)));
}

Result<> FetchProcess::finish(const Deadline& deadline) {
  if (!pidfd_) return {};
  TRY(await(pidfd_.get(), deadline, "wait for caisson-fetch"));
  siginfo_t info{};
  int result = 0;
  do {
    result = ::waitid(P_PIDFD, static_cast<id_t>(pidfd_.get()), &info, WEXITED);
  } while (result < 0 && errno == EINTR);
  const int err = errno;
  pidfd_.reset();
  // A program that ignores SIGCHLD has no children to ask about; what was said must do.
  if (result < 0) return err == ECHILD ? Result<>() : errno_error(err, "wait for program", "");
  if (info.si_code == CLD_EXITED && info.si_status == 0) return {};
  if (info.si_code == CLD_EXITED) return died(format("ended with status {}", info.si_status));
  return died(format("was ended by signal {}", info.si_status));
}

}  // namespace caisson::engine
