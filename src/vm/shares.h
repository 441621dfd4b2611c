// What a guest sees of the host's files, and who shows it. A container of its own has the box's
// binds and, of a box without an image, the root's directories: with the same plan, so that ids are
// mapped, what is read-only stays so and protected paths are protected by the host's kernel. In it
// virtiofsd serves one tree to the guest, which the agent takes apart again.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backend/protocol.h"
#include "backend/sandbox.h"
#include "container/prepare.h"

namespace caisson::vm {

/// Whether the box needs anything of the host's files while it runs.
bool needs_shares(const backend::StartRequest& box);

/// The box as two: `server` shows the tree `kShareTree`, `guest` uses it where it is mounted in the
/// guest, with `views` to be bound there before. Pure.
struct Shared {
  BoxSpec server, guest;
  std::vector<HostView> shown;     ///< by the server beside its mounts
  Rootfs rootfs;                   ///< the guest's
  std::vector<std::string> views;  ///< absolute paths of the guest, which the tree has in `views/`
};
/// `user` is the box's user by numbers: whose the binds' files are to be.
Shared share(const backend::StartRequest& box, const std::string& user);

/// The tree's place in the server.
constexpr const char* kShareTree = "/share";

/// `spec.user` by numbers, looked up in the image where it is a name.
Result<std::string> user_by_numbers(const BoxSpec& spec, const Rootfs& rootfs);

class FileServer final {
 public:
  struct Options {
    std::string id, data, cache;
    BoxSpec spec;
    Rootfs rootfs;  ///< with virtiofsd in it
  };
  /// Starts it. What `container` says of mounts are its errors; `virtiofsd_missing`.
  static Result<std::unique_ptr<FileServer>> start(Options options,
                                                   container::Preparation preparation);

  /// Of vhost-user, for QEMU; taken once.
  Fd take_socket() { return std::move(socket_); }
  const std::vector<std::string>& warnings() const { return warnings_; }
  int event_fd() const { return sandbox_->event_fd(); }
  /// Looks at what happened; an error when it does not serve any more: `virtiofsd_failed`.
  Result<> serves();
  bool gone() const { return sandbox_->gone(); }
  void kill() { sandbox_->kill_all(); }
  Result<> cleanup() { return sandbox_->cleanup(); }

 private:
  std::unique_ptr<backend::Sandbox> sandbox_;
  Fd socket_;
  std::vector<std::string> warnings_;
  std::string data_;
  std::optional<Error> ended_;
};

}  // namespace caisson::vm
