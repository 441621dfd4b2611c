// Layers: the first byte chooses the compression, the rest is the blob. The tree is made below a
// temporary directory; nothing outside of it may change, and no input may cost more than its caps.
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstdint>
#include <string>

#include "fetch/sha256.h"
#include "fetch/unpack.h"
#include "sys/tree.h"

using namespace caisson;

namespace {

/// A directory for every input, beside a canary.
struct Home {
  Home() {
    char pattern[] = "/tmp/caisson-fuzz-XXXXXX";
    if (::mkdtemp(pattern) == nullptr) ::abort();
    path = pattern;
    dir = std::move(*open_fd(path, O_RDONLY | O_DIRECTORY));
  }
  ~Home() { static_cast<void>(sys::remove_tree(AT_FDCWD, path)); }
  std::string path;
  Fd dir;
};

Fd memory_file(const std::uint8_t* data, std::size_t size) {
  Fd fd{::memfd_create("layer", MFD_CLOEXEC)};
  if (!write_all(fd.get(), {reinterpret_cast<const char*>(data), size}, "layer")) ::abort();
  return fd;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Home home;
  if (size == 0) return 0;
  const std::string hex(64, '0');
  fetch::Sha256 hash = std::move(*fetch::Sha256::create());
  hash.update(data + 1, size - 1);
  fetch::UnpackJob job;
  job.digest = *hash.finish();
  job.diff_id = job.digest;  // of an uncompressed blob; otherwise the last check fails
  job.chain_id = "sha256:" + hex;
  job.compression = static_cast<spec::Compression>(data[0] % 3);
  job.size = size - 1;
  job.caps = {.bytes = 16 << 20, .ratio = 100, .ratio_floor = 1 << 20, .entries = 500, .depth = 32};
  job.nobody = ::geteuid() == 0;
  job.unsafe_unsealed = true;
  job.blob = memory_file(data + 1, size - 1);
  if (::mkdirat(home.dir.get(), hex.c_str(), 0700) < 0) ::abort();
  job.own = std::move(*open_at(home.dir.get(), hex, O_RDONLY | O_DIRECTORY));
  job.staging = std::move(*duplicate(home.dir.get()));
  job.layers_dir = std::move(*duplicate(home.dir.get()));
  static_cast<void>(fetch::unpack_layer(job, {}));
  if (!sys::remove_tree(home.dir.get(), hex)) ::abort();
  return 0;
}
