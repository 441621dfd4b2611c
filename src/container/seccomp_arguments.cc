// The part of the default policy that depends on a call's arguments. All of them are 32 bits wide
// in the kernel, so every comparison masks the upper half away: it cannot be used to evade one.
#include <linux/netlink.h>
#include <linux/personality.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>

#include "container/bit_pattern.h"
#include "container/seccomp_default.h"

namespace caisson::container {
namespace {

using Rules = std::vector<sys::SeccompRule>;
using Conditions = std::vector<sys::SeccompCondition>;

constexpr sys::SeccompDecision kAllow{sys::SeccompAction::kAllow, 0};
constexpr sys::SeccompDecision fail(int error) {
  return {sys::SeccompAction::kErrno, static_cast<std::uint16_t>(error)};
}

sys::SeccompCondition matches(unsigned argument, BitPattern pattern) {
  return {argument, sys::SeccompCompare::kMaskedEqual, pattern.mask, pattern.value};
}

Conditions with(Conditions conditions, unsigned argument, BitPattern pattern) {
  conditions.push_back(matches(argument, pattern));
  return conditions;
}

/// One rule for each value that `patterns` leave out.
void otherwise(Rules& rules, std::string_view name, const Conditions& conditions,
               unsigned argument, std::span<const BitPattern> patterns,
               sys::SeccompDecision decision) {
  for (const BitPattern& rest : everything_but(patterns))
    rules.push_back({std::string(name), decision, with(conditions, argument, rest)});
}

/// Threads and processes are wanted, namespaces are not. CLONE_NEWTIME is not in the mask: in
/// clone its bit belongs to the exit signal; only unshare and clone3 can ask for it.
void clone_rules(Rules& rules) {
  constexpr std::uint32_t kNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                        CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
  constexpr BitPattern kNone[] = {{kNamespaces, 0}};
  rules.push_back({"clone", kAllow, {matches(0, kNone[0])}});
  otherwise(rules, "clone", {}, 0, kNone, fail(EPERM));
}

/// Streams and datagrams of the protocols that everybody uses. The others load kernel modules on
/// demand (SCTP, DCCP, L2TP, UDP-Lite); raw sockets forge packets.
void internet_rules(Rules& rules) {
  static_assert(AF_INET == 2 && AF_INET6 == 10);  // one pattern: they differ in bit 3 only
  const Conditions family = {matches(0, {~8u, AF_INET})};
  constexpr std::uint32_t kTypeMask = 0xf;  // without SOCK_CLOEXEC and SOCK_NONBLOCK
  constexpr BitPattern kTypes[] = {{kTypeMask, SOCK_STREAM}, {kTypeMask, SOCK_DGRAM}};
  constexpr BitPattern kProtocols[] = {just(0),           just(IPPROTO_ICMP),
                                       just(IPPROTO_TCP), just(IPPROTO_UDP),
                                       just(IPPROTO_ICMPV6), just(IPPROTO_MPTCP)};
  for (const BitPattern& type : kTypes) {
    const Conditions typed = with(family, 1, type);
    for (const BitPattern& protocol : kProtocols)
      rules.push_back({"socket", kAllow, with(typed, 2, protocol)});
    otherwise(rules, "socket", typed, 2, kProtocols, fail(EPROTONOSUPPORT));
  }
  otherwise(rules, "socket", family, 1, kTypes, fail(EPERM));
}

void socket_rules(Rules& rules) {
  constexpr BitPattern kFamilies[] = {just(AF_UNIX), just(AF_INET), just(AF_INET6),
                                      just(AF_NETLINK)};
  otherwise(rules, "socket", {}, 0, kFamilies, fail(EAFNOSUPPORT));
  rules.push_back({"socket", kAllow, {matches(0, just(AF_UNIX))}});
  internet_rules(rules);
  // Names and addresses of interfaces (getifaddrs); no other subsystem speaks to the box.
  constexpr BitPattern kRoute[] = {just(NETLINK_ROUTE)};
  const Conditions netlink = {matches(0, just(AF_NETLINK))};
  rules.push_back({"socket", kAllow, with(netlink, 2, kRoute[0])});
  otherwise(rules, "socket", netlink, 2, kRoute, fail(EPROTONOSUPPORT));

  constexpr BitPattern kPairs[] = {just(AF_UNIX)};
  rules.push_back({"socketpair", kAllow, {matches(0, kPairs[0])}});
  otherwise(rules, "socketpair", {}, 0, kPairs, fail(EAFNOSUPPORT));
}

/// TIOCSTI types into the terminal as if the user did; TIOCLINUX pastes into a console.
void ioctl_rules(Rules& rules) {
  constexpr BitPattern kInjecting[] = {just(TIOCSTI), just(TIOCLINUX)};
  for (const BitPattern& request : kInjecting)
    rules.push_back({"ioctl", fail(EPERM), {matches(1, request)}});
  otherwise(rules, "ioctl", {}, 1, kInjecting, kAllow);
}

/// Linux with or without the 2.6 version number and the 32-bit machine name, and the query. The
/// others switch defences off; debuggers (full) need a fixed address layout.
void personality_rules(Rules& rules, Profile profile) {
  constexpr std::uint32_t kHarmless = std::uint32_t{PER_LINUX32} | UNAME26;
  constexpr std::uint32_t kDebugger = kHarmless | ADDR_NO_RANDOMIZE;
  const std::uint32_t free = profile == Profile::kFull ? kDebugger : kHarmless;
  const BitPattern allowed[] = {{~free, PER_LINUX}, just(0xffffffff)};
  for (const BitPattern& persona : allowed)
    rules.push_back({"personality", kAllow, {matches(0, persona)}});
  otherwise(rules, "personality", {}, 0, allowed, fail(EPERM));
}

}  // namespace

std::vector<sys::SeccompRule> seccomp_argument_rules(Profile profile) {
  Rules rules;
  clone_rules(rules);
  socket_rules(rules);
  ioctl_rules(rules);
  personality_rules(rules, profile);
  return rules;
}

}  // namespace caisson::container
