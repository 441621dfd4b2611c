// What a box has changed, told by a guest: its file system is for no kernel of the host's.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/clock.h"
#include "vm/microvm_impl.h"

namespace caisson::vm {

namespace {

constexpr std::uint32_t kStream = guest::stream_of(backend::kMainProcess, guest::Part::kOut);

/// As of a layer from a registry (fetch/seal.cc), and as much of names as a client takes.
constexpr std::uint64_t kMostLayer = 64ull << 30, kMostChanges = 256ull << 20;

}  // namespace

/// All that can be had at once.
Result<> MicroVm::take_differences(int output, std::uint64_t most) {
  std::array<char, 64 << 10> buffer;
  while (differences_) {
    const ssize_t n = ::read(differences_.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) return sys_error("read differences", "");
    if (n < 0) return {};
    if (n == 0) differences_.reset();
    taken_ += static_cast<std::uint64_t>(n);
    if (taken_ > most)
      return make_error(Code::kResourceExhausted, "layer_bomb",
                        format("compare files of box: the guest tells of more than {} MiB of "
                               "differences",
                               most >> 20));
    TRY(write_all(output, {buffer.data(), static_cast<std::size_t>(n)}, "differences"));
  }
  return {};
}

Result<> MicroVm::compare(const backend::CompareRequest& request, int output,
                          const std::function<bool()>& wanted) {
  compares_ = &request;
  TRY(begin());
  if (!base_ && !shared_)
    return make_error(Code::kInvalidArgument, "protocol_error",
                      "compare files of box: it has nothing to begin with");
  guest::Compare what;
  what.base = base_.valid();
  what.box = disk_.valid();
  what.old = old_.valid();
  what.share = shared_.has_value();
  // The lowers of an image are one disk.
  what.lowers = base_ ? std::vector<std::string>{guest::kBase} : shared_->rootfs.lowers;
  what.old_lowers = base_ ? std::min(request.old_lowers, 1u) : request.old_lowers;
  what.layer = request.layer;
  Pipe pipe = TRY(make_pipe(O_NONBLOCK));
  differences_ = std::move(pipe.read);
  TRY(link_->write_to(kStream, std::move(pipe.write)));
  tell(what);
  const std::uint64_t most = request.layer ? kMostLayer : kMostChanges;
  Result<> taken;
  const auto done = [&] {  // which may be asked again: what has failed once is not whole
    if (taken) taken = take_differences(output, most);
    return !taken || (started_ && link_->written(kStream));
  };
  wanted_ = wanted;
  constexpr std::int64_t kForEver = INT64_MAX;
  if (Result<> went = await(done, kForEver, "compare files of box"); !went)
    return with_console(went.error());
  if (taken) taken = take_differences(output, most);
  if (taken && started_->error) return *started_->error;
  return taken;
}

Result<> compare_in_microvm(MicroVmOptions options, const backend::CompareRequest& request,
                            int output, const std::function<bool()>& wanted) {
  return MicroVm(std::move(options)).compare(request, output, wanted);
}

}  // namespace caisson::vm
