#include "init/exec_block.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "init/exec_layout.h"

namespace caisson::init {

std::string_view to_string(ExecStep step) {
  switch (step) {
    case ExecStep::kFork:
      return "fork";
    case ExecStep::kReceive:
      return "read the prepared process";
    case ExecStep::kSession:
      return "start a session";
    case ExecStep::kStdio:
      return "set up standard streams";
    case ExecStep::kLimits:
      return "set resource limits";
    case ExecStep::kUserNamespace:
      return "enter the user namespace";
    case ExecStep::kGroups:
      return "set groups";
    case ExecStep::kIds:
      return "set user and group ids";
    case ExecStep::kBounding:
      return "drop the bounding set";
    case ExecStep::kCapabilities:
      return "set capabilities";
    case ExecStep::kNoNewPrivileges:
      return "set no_new_privs";
    case ExecStep::kSeccomp:
      return "install the system call filter";
    case ExecStep::kWorkdir:
      return "enter the working directory";
    case ExecStep::kLandlock:
      return "restrict itself with Landlock";
    case ExecStep::kExec:
      return "execute";
  }
  return "unknown step";
}

namespace {

/// Collects strings and the arrays of offsets that point to them.
class BlockWriter final {
 public:
  std::uint64_t string(std::string_view text) {
    const std::uint64_t at = sizeof(ExecHeader) + bytes_.size();
    bytes_.append(text);
    bytes_.push_back('\0');
    return at;
  }
  /// An array of string addresses, ended by a null.
  std::uint64_t strings(const std::vector<std::string>& list) {
    std::vector<std::uint64_t> offsets;
    for (const std::string& text : list) offsets.push_back(string(text));
    offsets.push_back(0);
    return array(offsets);
  }
  template <class T>
  std::uint64_t array(const std::vector<T>& items) {
    while ((sizeof(ExecHeader) + bytes_.size()) % alignof(std::uint64_t) != 0)
      bytes_.push_back('\0');
    const std::uint64_t at = sizeof(ExecHeader) + bytes_.size();
    if (!items.empty())
      bytes_.append(reinterpret_cast<const char*>(items.data()), items.size() * sizeof(T));
    return at;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace

Result<Fd> make_exec_block(const ProcessImage& image) {
  BlockWriter writer;
  ExecHeader header{};
  std::vector<std::string> words = {kFirstWord};
  words.insert(words.end(), image.candidates.begin(), image.candidates.end());
  words.emplace_back();
  words.insert(words.end(), image.argv.begin(), image.argv.end());
  header.words = writer.strings(words);
  header.env = writer.strings(image.env);
  header.workdir = writer.string(image.workdir);
  header.groups = writer.array(image.groups);
  header.group_count = image.groups.size();
  std::vector<LimitEntry> limits;
  for (const ResourceLimit& l : image.limits)
    limits.push_back({static_cast<std::uint64_t>(l.resource), l.soft, l.hard});
  header.limits = writer.array(limits);
  header.limit_count = limits.size();
  header.uid = image.uid;
  header.gid = image.gid;
  header.capabilities = image.capabilities;
  header.bounding = image.bounding;
  header.set_groups = image.set_groups;
  header.no_new_privileges = image.no_new_privileges;
  header.terminal = image.terminal;
  header.unfiltered = image.unfiltered;
  header.serves_files = image.serves_files;
  header.own_ids = image.own_ids;
  header.attacks = image.attacks;
  header.leaks = image.leaks;
  header.size = sizeof header + writer.bytes().size();

  Fd block(::memfd_create("exec", MFD_CLOEXEC));
  if (!block) return sys_error("create memory file", "exec");
  std::string all(reinterpret_cast<const char*>(&header), sizeof header);
  all += writer.bytes();
  TRY(write_all(block.get(), all, "exec"));
  return block;
}

}  // namespace caisson::init
