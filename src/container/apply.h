// Carrying out a plan's steps, in the box's first process while it still has its privileges.
#pragma once

#include <sys/stat.h>

#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/fd.h"
#include "container/plan.h"
#include "init/users.h"
#include "sys/dir.h"

namespace caisson::container {

class Apply final {
 public:
  /// `cgroups`: descriptors of cgroup.procs files to join. `userns`: the box's inner namespace.
  Apply(const Plan& plan, std::vector<int> cgroups, int userns)
      : plan_(plan), cgroups_(std::move(cgroups)), userns_(userns) {}

  /// Takes every step; an error names the step. `fail_at` makes the step of that number (from 1)
  /// fail instead, for tests of the undoing; 0: none.
  Result<> run(unsigned fail_at = 0);

  /// The box's root directory, valid after run.
  const sys::Dir& root() const { return *root_; }
  /// Mounts that could not be given the box's ids; one line each.
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  Result<> take(const JoinCgroups&);
  Result<> take(const PrivateMounts&);
  Result<> take(const MountRoot&);
  Result<> take(const MountMerged&);
  Result<> take(const MountBind&);
  Result<> take(const MountFs&);
  Result<> take(const DeviceNode&);
  Result<> take(const MakeSymlink&);
  Result<> take(const MaskPath&);
  Result<> take(const ReadOnlyPath&);
  Result<> take(const SetHostname&);
  Result<> take(const WriteSysctl&);
  Result<> take(const RaiseLoopback&);
  Result<> take(const ProtectPath&);
  Result<> take(const ProtectInRoot&);
  Result<> take(const KeepWritable&);
  Result<> take(const ChangeRoot&);

  Result<std::string> layer(Fd directory, const std::string& path, bool map_ids);
  Result<std::vector<std::string>> lower_paths(const MountRoot& step);
  /// The place for a mount, or the error of making it.
  static Result<Fd> made_target(Result<Fd> target);
  Result<> map_ids(int tree, const MountBind& step, const struct stat& info);
  Result<> keep_ids(const MountBind& step, int source, const Error& cause);
  Result<const init::User*> box_user();
  Result<> pin(const std::string& path);
  Result<> make_read_only(const std::string& path);
  Result<> cover(const std::string& path);
  struct Source {
    Fd place, tree;
  };
  static Result<Source> source_of(const MountBind& step);
  static Result<Fd> open_source(const std::string& path, std::string_view what);
  Result<Fd> mount_point(const std::string& target) const;
  Result<> become_box_root() const;
  static Result<> become(uid_t uid, gid_t gid);

  const Plan& plan_;
  std::vector<int> cgroups_;
  int userns_;
  std::optional<sys::Dir> root_;
  std::vector<Fd> layers_;
  std::map<const MountBind*, Result<Source>> sources_;
  std::vector<std::string> warnings_;
  std::optional<init::User> user_;
  std::set<std::string> pinned_;
};

}  // namespace caisson::container
