// Unix sockets: connecting by directory, and passing descriptors (unix(7), SCM_RIGHTS).
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"

namespace caisson::sys {

struct SocketPair {
  Fd ours, theirs;
};
/// CLOEXEC; `type` is SOCK_STREAM or SOCK_SEQPACKET.
Result<SocketPair> make_socket_pair(int type);

/// A listening or connected SOCK_STREAM at `name` in the directory `dir`. Going through the
/// directory's descriptor keeps the address short (sun_path holds 108 bytes).
Result<Fd> listen_at(int dir, const std::string& name);
Result<Fd> connect_at(int dir, const std::string& name);

/// Sends as much of `data` as fits, with `fds` attached to its first byte. Returns the number of
/// bytes sent; -EAGAIN and other negative errno values on failure.
ssize_t send_with_fds(int socket, std::string_view data, const std::vector<int>& fds) noexcept;

struct Received {
  ssize_t bytes = 0;  ///< 0: end of stream; negative: -errno
  std::vector<Fd> fds;
};
/// Receives into `buffer`; every descriptor that came along is returned, CLOEXEC.
Received receive_with_fds(int socket, char* buffer, std::size_t size);

/// Whether the process at the other end is ours or root's, by its user id. Where boxes have our own
/// id it must also be in no pid namespace more or less than we are: a box may have got hold of
/// the socket's path.
Result<bool> trusts_peer(int socket, bool boxes_have_our_id);

}  // namespace caisson::sys
