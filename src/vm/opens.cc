#include "vm/opens.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstring>

#include "sys/seccomp.h"

namespace caisson::vm {
namespace {

/// Of openat(2).
constexpr unsigned kPath = 1, kFlags = 2;

bool asks_for_memory(const seccomp_notif& request) {
  const Fd process(::open(format("/proc/{}/mem", request.pid).c_str(), O_RDONLY | O_CLOEXEC));
  char text[32] = {};
  static_assert(sizeof text > std::char_traits<char>::length(kMemoryPath));
  const auto at = static_cast<off_t>(request.data.args[kPath]);
  return ::pread(process.get(), text, sizeof text - 1, at) > 0 &&
         std::strcmp(text, kMemoryPath) == 0;
}

}  // namespace

Result<std::string> opens_filter(bool keeps_file, bool sockets) {
  sys::SeccompRules rules;
  rules.default_decision = {SeccompAction::kAllow, 0};
  rules.rules = {{"openat",
                  {SeccompAction::kNotify, 0},
                  {{kFlags, SeccompCompare::kMaskedEqual, O_ACCMODE, O_RDWR}}},
                 {"io_uring_setup", {SeccompAction::kErrno, ENOSYS}, {}}};
  if (!sockets) rules.rules.push_back({"socket", {SeccompAction::kErrno, EACCES}, {}});
  // What a guest gives back QEMU takes out of the file and out of its mapping; of a file that is
  // not to change the second is all there is to do.
  if (keeps_file)
    rules.rules.push_back(
        {"fallocate", {SeccompAction::kErrno, 0}, {{0, SeccompCompare::kEqual, kMemoryFd}}});
  return sys::compile_seccomp(rules);
}

bool answer_open(int listener, int memory) {
  pollfd polled{listener, POLLIN, 0};
  if (::poll(&polled, 1, 0) <= 0) return true;
  if ((polled.revents & POLLIN) == 0) return false;
  // Room for what later kernels may add: they write structures of their own size.
  union {
    seccomp_notif request;
    char room[1024];
  } received{};
  if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &received) < 0)
    return errno == EINTR || errno == ENOENT;
  const seccomp_notif& request = received.request;
  if (asks_for_memory(request)) {
    seccomp_notif_addfd descriptor{};
    descriptor.id = request.id;
    descriptor.flags = SECCOMP_ADDFD_FLAG_SEND | SECCOMP_ADDFD_FLAG_SETFD;
    descriptor.newfd = kMemoryFd;
    descriptor.srcfd = static_cast<unsigned>(memory);
    descriptor.newfd_flags = O_CLOEXEC;
    if (::ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &descriptor) >= 0) return true;
  }
  // Going on grants nothing: user id, Landlock and the kernel decide as ever.
  seccomp_notif_resp response{};
  response.id = request.id;
  response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  ::ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
  return true;
}

}  // namespace caisson::vm
