// The part of the default policy that depends on a call's arguments.
#include <linux/netlink.h>
#include <linux/personality.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>

#include "init/seccomp_default.h"

namespace caisson::init {
namespace {

using sys::SeccompBits;
using sys::SeccompCall;

constexpr SeccompDecision kAllow{SeccompAction::kAllow, 0};
constexpr SeccompDecision fail(int error) {
  return {SeccompAction::kErrno, static_cast<std::uint16_t>(error)};
}
constexpr SeccompBits is(unsigned argument, std::uint32_t value) {
  return {argument, 0xffffffff, value};
}

/// Threads and processes are wanted, namespaces are not. CLONE_NEWTIME is not in the mask: in
/// clone its bit belongs to the exit signal; only unshare and clone3 can ask for it.
SeccompCall clone_call() {
  constexpr std::uint32_t kNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                        CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
  return {"clone", {{{{0, kNamespaces, 0}}, kAllow}}, fail(EPERM)};
}

/// Streams and datagrams of the protocols that everybody uses. The others load kernel modules on
/// demand (SCTP, DCCP, L2TP, UDP-Lite); raw sockets forge packets.
void add_internet_cases(SeccompCall& socket) {
  static_assert(AF_INET == 2 && AF_INET6 == 10);  // one comparison: they differ in bit 3 only
  constexpr SeccompBits kInternet{0, ~8u, AF_INET};
  static_assert(SOCK_STREAM == 1 && SOCK_DGRAM == 2);
  // The low four bits are the type, above them are SOCK_CLOEXEC and SOCK_NONBLOCK.
  for (const SeccompBits& other_type : {SeccompBits{1, 0xf, 0}, SeccompBits{1, 0xf, SOCK_RAW},
                                        SeccompBits{1, 0xc, 4}, SeccompBits{1, 0x8, 8}})
    socket.cases.push_back({{kInternet, other_type}, fail(EPERM)});
  for (const unsigned protocol : {0u, 0u + IPPROTO_ICMP, 0u + IPPROTO_TCP, 0u + IPPROTO_UDP,
                                  0u + IPPROTO_ICMPV6, 0u + IPPROTO_MPTCP})
    socket.cases.push_back({{kInternet, is(2, protocol)}, kAllow});
  socket.cases.push_back({{kInternet}, fail(EPROTONOSUPPORT)});
}

SeccompCall socket_call() {
  SeccompCall socket{"socket", {{{is(0, AF_UNIX)}, kAllow}}, fail(EAFNOSUPPORT)};
  add_internet_cases(socket);
  // Names and addresses of interfaces (getifaddrs); no other subsystem speaks to the box.
  socket.cases.push_back({{is(0, AF_NETLINK), is(2, NETLINK_ROUTE)}, kAllow});
  socket.cases.push_back({{is(0, AF_NETLINK)}, fail(EPROTONOSUPPORT)});
  return socket;
}

SeccompCall socketpair_call() {
  return {"socketpair", {{{is(0, AF_UNIX)}, kAllow}}, fail(EAFNOSUPPORT)};
}

/// TIOCSTI types into the terminal as if the user did; TIOCLINUX pastes into a console.
SeccompCall ioctl_call() {
  return {"ioctl", {{{is(1, TIOCSTI)}, fail(EPERM)}, {{is(1, TIOCLINUX)}, fail(EPERM)}}, kAllow};
}

/// Linux with or without the 2.6 version number and the 32-bit machine name, and the query. The
/// others switch defences off; debuggers (full) need a fixed address layout.
SeccompCall personality_call(Profile profile) {
  constexpr std::uint32_t kHarmless = std::uint32_t{PER_LINUX32} | UNAME26;
  constexpr std::uint32_t kDebugger = kHarmless | ADDR_NO_RANDOMIZE;
  const std::uint32_t free = profile == Profile::kFull ? kDebugger : kHarmless;
  constexpr std::uint32_t kQuery = 0xffffffff;
  return {
      "personality", {{{{0, ~free, PER_LINUX}}, kAllow}, {{is(0, kQuery)}, kAllow}}, fail(EPERM)};
}

}  // namespace

std::vector<SeccompCall> seccomp_argument_calls(Profile profile) {
  return {clone_call(), socket_call(), socketpair_call(), ioctl_call(), personality_call(profile)};
}

}  // namespace caisson::init
