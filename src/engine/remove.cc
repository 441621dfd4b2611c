// Deleting a box's files.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/subprocess.h"
#include "engine/box_impl.h"
#include "sys/socket.h"
#include "sys/tree.h"

namespace caisson::engine {

Result<backend::Reply> call_shim(const Runtime::Impl& runtime, const backend::Request& request,
                                 const std::vector<int>& fds) {
  const std::string shim = runtime.shim.empty() ? TRY(find_shim(runtime.options)) : runtime.shim;
  sys::SocketPair pair = TRY(sys::make_socket_pair(SOCK_STREAM));
  Fd control(::fcntl(pair.theirs.get(), F_DUPFD_CLOEXEC, 10));
  if (!control) return sys_error("duplicate descriptor", "");
  TRY(spawn_detached({shim}, {{control.get(), 3}}));
  pair.theirs.reset();
  control.reset();
  Channel channel(std::move(pair.ours));
  TRY(channel.send(request, fds));
  return channel.reply();
}

Result<> ask_shim(const Runtime::Impl& runtime, const backend::Request& request,
                  const std::vector<int>& fds) {
  TRY(call_shim(runtime, request, fds));
  return {};
}

Result<> remove_tree_of(const Runtime::Impl& runtime, const std::string& directory,
                        const std::string& name) {
  Fd parent = TRY(open_fd(directory, O_PATH | O_DIRECTORY));
  Result<> removed = sys::remove_tree(parent.get(), name);
  if (!removed && ::geteuid() != 0 &&
      (removed.error().sys_errno == EACCES || removed.error().sys_errno == EPERM))
    removed = ask_shim(runtime, backend::RemoveRequest{directory, name});
  return removed;
}

Result<> remove_files(const Runtime::Impl& runtime, const std::string& id) {
  Result<> removed;
  // Somebody may make a file in it at this moment: a client that starts it, a shim that ends.
  for (int tries = 0; tries < 10; ++tries) {
    removed = remove_tree_of(runtime, runtime.layout.home + "/boxes", id);
    if (removed || removed.error().sys_errno != ENOTEMPTY) break;
  }
  if (!removed) return with_context(removed.error(), format("remove files of box '{}'", id));
  ::unlink((runtime.layout.ended() + "/" + id).c_str());
  return {};
}

}  // namespace caisson::engine
