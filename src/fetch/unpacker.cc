#include "fetch/unpacker.h"

#include <locale.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <exception>

#include "fetch/seal.h"
#include "fetch/unpack.h"
#include "spec/image_ref.h"

namespace caisson::fetch {
namespace {

/// Events are dropped when the supervisor is slow; the rest waits for it.
void send(const UnpackJob& job, std::string_view text, int flags = 0) {
  ssize_t n = 0;
  do {
    n = ::send(job.control.get(), text.data(), text.size(), MSG_NOSIGNAL | flags);
  } while (n < 0 && errno == EINTR);
  if (n < 0 && errno == EPIPE) ::_exit(1);  // nobody is there who would want the result
}

image::FetchMessage progress_event(const UnpackJob& job, std::uint64_t consumed) {
  PullEvent event;
  event.kind = PullEvent::Kind::kLayer;
  event.state = PullEvent::State::kUnpacking;
  event.layer = job.layer;
  event.layers = job.layers;
  event.digest = job.digest;
  event.current = consumed;
  event.total = job.size;
  return event;
}

Result<> wait_for_parents(const UnpackJob& job) {
  send(job, kNeedParents);
  char buffer[64];
  ssize_t n = 0;
  do {
    n = ::recv(job.control.get(), buffer, sizeof buffer, 0);
  } while (n < 0 && errno == EINTR);
  if (n <= 0) ::_exit(1);  // the supervisor has gone or given up
  if (std::string_view(buffer, static_cast<std::size_t>(n)) == kParentsReady) return {};
  return make_error(Code::kInvalidArgument, "protocol_error",
                    "the unpacker was told something else than that the layers below are ready");
}

Result<> seal(UnpackJob& job) {
  if (job.unsafe_unsealed) return {};
  UnpackerSeal seal;
  seal.nobody = job.nobody;
  seal.own = &job.own;
  if (job.unpack) seal.own_name = spec::hex_of(job.chain_id);
  seal.staging = &job.staging;
  seal.layers = &job.layers_dir;
  for (const Fd* fd : {&job.blob, &job.feed, &job.control})
    if (fd->valid()) seal.keep.push_back(fd->get());
  return seal_unpacker(seal);
}

Result<image::LayerReady> work(UnpackJob& job) {
  const pid_t parent = ::getppid();
  ::setlocale(LC_ALL, "C");  // see TarReader
  ::signal(SIGXFSZ, SIG_IGN);
  TRY(seal(job));
  if (::getppid() != parent) ::_exit(1);  // it died before we could ask for its signal
  UnpackHooks hooks;
  hooks.progress = [&job](std::uint64_t consumed) {
    send(job, image::encode(progress_event(job, consumed)), MSG_DONTWAIT);
  };
  hooks.wait_for_parents = [&job] { return wait_for_parents(job); };
  return unpack_layer(job, hooks);
}

Result<image::LayerReady> work_without_exceptions(UnpackJob& job) {
  try {
    return work(job);
  } catch (const std::exception& e) {
    return make_error(Code::kResourceExhausted, "out_of_memory",
                      format("unpack layer {}: {}", job.digest, e.what()));
  }
}

}  // namespace

void run_unpacker(UnpackJob job) {
  Result<image::LayerReady> ready = work_without_exceptions(job);
  if (ready)
    send(job, image::encode(image::FetchMessage(*ready)));
  else
    send(job, image::encode(image::FetchMessage(ready.error())));
  ::_exit(ready ? 0 : 1);
}

}  // namespace caisson::fetch
