#include "sys/socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>

namespace caisson::sys {
namespace {

constexpr std::size_t kMaxFds = 8;

Result<sockaddr_un> address_at(int dir, const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = format("/proc/self/fd/{}/{}", dir, name);
  if (path.size() >= sizeof address.sun_path) return errno_error(ENAMETOOLONG, "address", name);
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

}  // namespace

Result<SocketPair> make_socket_pair(int type) {
  int fds[2];
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) < 0)
    return sys_error("create socket pair", "");
  return SocketPair{Fd(fds[0]), Fd(fds[1])};
}

Result<Fd> listen_at(int dir, const std::string& name) {
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return sys_error("create socket", name);
  const sockaddr_un address = TRY(address_at(dir, name));
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0)
    return sys_error("bind socket", name);
  if (::listen(socket.get(), 128) < 0) return sys_error("listen on socket", name);
  return socket;
}

Result<Fd> connect_at(int dir, const std::string& name) {
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return sys_error("create socket", name);
  const sockaddr_un address = TRY(address_at(dir, name));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0)
    return sys_error("connect to socket", name);
  return socket;
}

ssize_t send_with_fds(int socket, std::string_view data, const std::vector<int>& fds) noexcept {
  iovec vector{const_cast<char*>(data.data()), data.size()};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)] = {};
  if (!fds.empty()) {
    if (fds.size() > kMaxFds) return -E2BIG;
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(header), fds.data(), sizeof(int) * fds.size());
  }
  for (;;) {
    const ssize_t n = ::sendmsg(socket, &message, MSG_NOSIGNAL);
    if (n >= 0) return n;
    if (errno != EINTR) return -errno;
  }
}

Received receive_with_fds(int socket, char* buffer, std::size_t size) {
  iovec vector{buffer, size};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxFds)];
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  Received received;
  do {
    received.bytes = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (received.bytes < 0 && errno == EINTR);
  if (received.bytes < 0) {
    received.bytes = -errno;
    return received;
  }
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      received.fds.emplace_back(fd);
    }
  }
  return received;
}

namespace {

/// How many pid namespaces the process is in: a number in each is what its status shows
/// (proc_pid_status(5), NSpid). 0 when it cannot be told.
std::size_t pid_namespaces(const std::string& process) {
  const std::string status = read_file(format("/proc/{}/status", process)).value_or("");
  const auto at = status.find("\nNSpid:");
  if (at == std::string::npos) return 0;
  const std::string_view line =
      std::string_view(status).substr(at + 1, status.find('\n', at + 1) - at - 1);
  return static_cast<std::size_t>(std::ranges::count(line, '\t'));
}

}  // namespace

Result<bool> trusts_peer(int socket, bool boxes_have_our_id) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
    return sys_error("read peer of socket", "");
  if (peer.uid != ::geteuid() && peer.uid != 0) return false;
  if (!boxes_have_our_id) return true;
  const std::size_t ours = pid_namespaces("self");
  return ours != 0 && pid_namespaces(std::to_string(peer.pid)) == ours;
}

}  // namespace caisson::sys
