// User namespaces and id ranges.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"

namespace caisson::sys {

/// A line of uid_map/gid_map, user_namespaces(7): `count` ids from `inside` are `outside` in the
/// parent namespace.
struct IdRange {
  std::uint32_t inside = 0;
  std::uint32_t outside = 0;
  std::uint32_t count = 0;
  friend bool operator==(const IdRange&, const IdRange&) = default;
};
struct IdMap {
  std::vector<IdRange> uids, gids;
  friend bool operator==(const IdMap&, const IdMap&) = default;
};

/// The ids a box uses: how many there are, and which id of our namespace is the box's 0.
constexpr std::uint32_t kIdsPerBox = 65536;

/// What on this host may forbid user namespaces, to ordinary users or to all.
struct UsernsSwitches {
  bool clone_forbidden = false;     ///< kernel.unprivileged_userns_clone=0 (Debian's)
  bool apparmor_restricts = false;  ///< kernel.apparmor_restrict_unprivileged_userns=1
  bool apparmor = false;            ///< it is enabled
  bool none_allowed = false;        ///< user.max_user_namespaces=0
};
/// What to do about a user namespace that could not be made; see user_namespaces(7), unshare(2).
std::string userns_hint(int err, const UsernsSwitches& switches);

UsernsSwitches userns_switches();
/// Makes one in a process of its own; 0 or an errno.
int try_user_namespace() noexcept;

/// Namespaces; they live as long as the descriptors.
struct Namespaces {
  Fd user;
  Fd network;  ///< owned by our user namespace, not by `user`
};

/// The slow namespaces in the making. A helper process makes them while the caller does other
/// things: the network namespace from `begin` on, the user namespace once its owner is known.
class NewNamespaces final {
 public:
  static Result<NewNamespaces> begin();
  /// The user namespace's parent is ours; it is owned by (`uid`, `gid`) of ours. Needs CAP_SETUID
  /// and CAP_SETGID here.
  Result<> set_owner(uid_t uid, gid_t gid) const;
  /// Writes the maps and returns the namespaces.
  Result<Namespaces> finish(const IdMap& map);

  NewNamespaces(NewNamespaces&& other) noexcept
      : helper_(std::exchange(other.helper_, -1)),
        owner_(std::move(other.owner_)),
        ready_(std::move(other.ready_)) {}
  NewNamespaces& operator=(NewNamespaces&&) = delete;
  ~NewNamespaces();

 private:
  NewNamespaces(pid_t helper, Fd owner, Fd ready)
      : helper_(helper), owner_(std::move(owner)), ready_(std::move(ready)) {}
  pid_t helper_;
  Fd owner_, ready_;
};

/// A user namespace with this map, made by a helper process that is gone when this returns. Needs
/// CAP_SETUID and CAP_SETGID here; works in any pid namespace that sees a /proc.
Result<Fd> make_user_namespace(const IdMap& map);

/// The ranges that /etc/subuid or /etc/subgid (subuid(5)) gives a user, by name or number.
std::vector<IdRange> subordinate_ids(std::string_view file, std::string_view user, uid_t uid);

/// Moves this (single-threaded) process into a new user namespace in which it is root. With
/// subordinate ids the map is written by newuidmap(1) and newgidmap(1), else it holds one id.
Result<> enter_outer_namespace(const std::vector<IdRange>& subuids,
                               const std::vector<IdRange>& subgids);

/// The lines that show the first `count` ids of that namespace unchanged in a further one. They are
/// split as its own are: the kernel maps no line across two lines of the parent.
std::vector<IdRange> same_ids(const std::vector<IdRange>& subordinates, std::uint32_t count);

/// Claims one of the machine's id ranges for as long as the descriptor stays open.
struct ClaimedRange {
  Fd lock;
  std::uint32_t first = 0;
};
Result<ClaimedRange> claim_id_range(const std::string& lock_file, std::uint32_t preferred);

}  // namespace caisson::sys
