#include "agent/compare.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/machine.h"
#include "image/changes.h"
#include "image/layer_tar.h"

namespace caisson::agent {
namespace {

constexpr const char* kUpper = "/upper";

Result<> mount_all(const guest::Compare& request) {
  if (request.base) TRY(mount_disk(guest::kBaseDisk, guest::kBase, true));
  // What a journal holds yet is written: it is a copy.
  if (request.box) TRY(mount_disk(guest::kBoxDisk, guest::kBox, false));
  if (request.old) TRY(mount_disk(guest::kOldDisk, guest::kOld, false));
  if (request.share) TRY(mount_share(guest::kShareTag, guest::kShare));
  return {};
}

/// What a box wrote, on a disk, and the `count` lowest of the trees below.
std::vector<std::string> trees_of(bool disk, const char* place,
                                  const std::vector<std::string>& lowers, std::size_t count) {
  std::vector<std::string> trees(lowers.end() - static_cast<std::ptrdiff_t>(count), lowers.end());
  const std::string upper = std::string(place) + kUpper;
  if (disk && ::access(upper.c_str(), F_OK) == 0) trees.insert(trees.begin(), upper);
  return trees;
}

Result<> compare(const guest::Compare& request, int output) {
  const std::vector<std::string>& lowers = request.lowers;
  const auto before = trees_of(request.old, guest::kOld, lowers, request.old_lowers);
  const auto after = trees_of(request.box, guest::kBox, lowers, lowers.size());
  const auto write = [output](std::string_view bytes) {
    return write_all(output, bytes, "differences");
  };
  return request.layer ? image::write_layer(before, after, {}, write)
                       : image::write_changes(before, after, write);
}

[[noreturn]] void run(const guest::Compare& request, int output, int failure) {
  ::dup2(output, 1);
  ::dup2(failure, 2);
  ::syscall(SYS_close_range, 3u, ~0u, 0);  // the channel is not this process's
  const Result<> done = compare(request, 1);
  if (done) ::_exit(0);
  [[maybe_unused]] const Result<> told =
      write_all(2, backend::encode_reply({.error = done.error()}), "failure");
  ::_exit(1);
}

}  // namespace

Result<Comparison> Comparison::start(const guest::Compare& request) {
  TRY(mount_all(request));
  Pipe output = TRY(make_pipe());
  Pipe failure = TRY(make_pipe());
  const pid_t pid = ::fork();
  if (pid < 0) return sys_error("fork", "");
  if (pid == 0) run(request, output.write.get(), failure.write.get());
  Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process) return sys_error("open process", "");
  return Comparison(std::move(process), std::move(output.read), std::move(failure.read));
}

Result<> Comparison::finish() {
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(process_.get()), &info, WEXITED) < 0)
    return sys_error("wait for process", "");
  if (info.si_code == CLD_EXITED && info.si_status == 0) return {};
  const std::string text = read_all(failure_.get(), 64u << 10, "failure").value_or("");
  const Result<backend::Reply> reply = backend::decode_reply(text);
  if (reply && reply->error) return *reply->error;
  return make_error(Code::kInternal, "guest_died", "compare files of box: the process has died");
}

}  // namespace caisson::agent
