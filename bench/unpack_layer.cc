// caisson-bench-unpack BLOB none|gzip|zstd DIR: unpacks one layer as caisson-fetch does, and prints
// what it took beside the ceiling: hashing, decompressing and writing the same bytes, one after the
// other on one processor.
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstring>
#include <vector>

#include "base/clock.h"
#include "base/scope_exit.h"
#include "base/ulid.h"
#include "fetch/decompress.h"
#include "fetch/seal.h"
#include "fetch/sha256.h"
#include "fetch/unpack.h"
#include "spec/image_ref.h"
#include "sys/tree.h"

using namespace caisson;

namespace {

double seconds(std::int64_t ns) { return static_cast<double>(ns) / 1e9; }

struct Ceiling {
  std::string digest, diff_id;
  std::uint64_t tar_bytes = 0;
  double seconds = 0;
};

Result<Ceiling> measure_ceiling(int blob, std::uint64_t size, spec::Compression compression,
                                int dir) {
  const std::int64_t start = boot_ns();
  Fd out = TRY(open_at(dir, ".", O_TMPFILE | O_WRONLY, 0600));
  fetch::Sha256 blob_hash = TRY(fetch::Sha256::create()), tar_hash = TRY(fetch::Sha256::create());
  auto decompressor = TRY(fetch::make_decompressor(compression));
  std::vector<unsigned char> in(256 << 10), buffer(512 << 10);
  Ceiling ceiling;
  for (std::uint64_t at = 0; at <= size;) {
    const ssize_t n = ::pread(blob, in.data(), in.size(), static_cast<off_t>(at));
    if (n < 0) return sys_error("read", "blob");
    std::span<const unsigned char> rest(in.data(), static_cast<std::size_t>(n));
    blob_hash.update(rest.data(), rest.size());
    for (std::size_t produced = 1; !rest.empty() || produced > 0;) {
      const auto step = TRY(decompressor->step(rest, buffer));
      rest = rest.subspan(step.consumed);
      produced = step.produced;
      tar_hash.update(buffer.data(), produced);
      TRY(write_all(out.get(), {reinterpret_cast<char*>(buffer.data()), produced}, "ceiling"));
      ceiling.tar_bytes += produced;
    }
    if (n == 0) break;
    at += static_cast<std::uint64_t>(n);
  }
  ceiling.digest = TRY(blob_hash.finish());
  ceiling.diff_id = TRY(tar_hash.finish());
  ceiling.seconds = seconds(boot_ns() - start);
  return ceiling;
}

struct Usage {
  double wall = 0, user = 0, system = 0;
  long rss_kib = 0;
};

/// A fresh unpacker process, sealed. Its own peak of memory is what the kernel counts from its
/// start.
Result<Usage> unpack_once(const std::string& path, std::uint64_t size, const Ceiling& ceiling,
                          spec::Compression compression, int dir) {
  const std::string hex(64, '7'), pull = TRY(make_ulid());
  // As in a home: a pull's directory in one that spreads its children over the disk, because ext4
  // without a journal is slow where inodes were freed lately.
  const ScopeExit remove([&] { static_cast<void>(sys::remove_tree(dir, pull)); });
  if (::mkdirat(dir, pull.c_str(), 0700) < 0) return sys_error("make directory", pull);
  Fd staging = TRY(open_at(dir, pull, O_RDONLY | O_DIRECTORY));
  if (::mkdirat(staging.get(), hex.c_str(), 0700) < 0) return sys_error("make directory", hex);
  fetch::UnpackJob job;
  job.digest = ceiling.digest;
  job.diff_id = ceiling.diff_id;
  job.chain_id = "sha256:" + hex;
  job.compression = compression;
  job.size = size;
  job.nobody = ::geteuid() == 0;
  job.blob = TRY(open_fd(path, O_RDONLY));
  job.own = TRY(open_at(staging.get(), hex, O_RDONLY | O_DIRECTORY));
  job.staging = std::move(staging);
  job.layers_dir = TRY(duplicate(dir));
  Pipe pipe = TRY(make_pipe());
  const std::int64_t start = boot_ns();
  const pid_t child = ::fork();
  if (child == 0) {
    fetch::UnpackerSeal seal{.nobody = job.nobody,
                             .own = &job.own,
                             .own_name = hex,
                             .staging = &job.staging,
                             .layers = &job.layers_dir,
                             .keep = {job.blob.get(), pipe.write.get()}};
    Result<> sealed = fetch::seal_unpacker(seal);
    Result<image::LayerReady> ready =
        sealed ? fetch::unpack_layer(job, {}) : Result<image::LayerReady>(sealed.error());
    if (!ready)
      std::fprintf(stderr, "%s: %s\n", ready.error().reason.c_str(), ready.error().message.c_str());
    ::_exit(ready ? 0 : 1);
  }
  int status = -1;
  rusage usage{};
  if (::wait4(child, &status, 0, &usage) < 0) return sys_error("wait", "");
  if (status != 0) return make_error(Code::kInternal, "program_failed", "the unpacker failed");
  const auto time = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return Usage{seconds(boot_ns() - start), time(usage.ru_utime), time(usage.ru_stime),
               usage.ru_maxrss};
}

Result<> run(const std::string& path, spec::Compression compression, const std::string& where) {
  Fd dir = TRY(open_fd(where, O_RDONLY | O_DIRECTORY));
  Fd blob = TRY(open_fd(path, O_RDONLY));
  int flags = FS_TOPDIR_FL;
  ::ioctl(dir.get(), FS_IOC_SETFLAGS, &flags);
  struct stat st{};
  if (::fstat(blob.get(), &st) < 0) return sys_error("stat", path);
  const auto size = static_cast<std::uint64_t>(st.st_size);
  for (int round = 0; round < 3; ++round) {
    const Ceiling ceiling = TRY(measure_ceiling(blob.get(), size, compression, dir.get()));
    const Usage usage = TRY(unpack_once(path, size, ceiling, compression, dir.get()));
    std::printf(
        "%.1f MB -> %.1f MB  ceiling %.3f s  unpack %.3f s (user %.3f, system %.3f)  rss %.1f "
        "MiB\n",
        static_cast<double>(size) / 1e6, static_cast<double>(ceiling.tar_bytes) / 1e6,
        ceiling.seconds, usage.wall, usage.user, usage.system,
        static_cast<double>(usage.rss_kib) / 1024);
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const spec::Compression compression = std::strcmp(argv[2], "gzip") == 0 ? spec::Compression::kGzip
                                        : std::strcmp(argv[2], "zstd") == 0
                                            ? spec::Compression::kZstd
                                            : spec::Compression::kNone;
  const Result<> done = run(argv[1], compression, argv[3]);
  if (!done) std::fprintf(stderr, "%s\n", done.error().message.c_str());
  return done ? 0 : 1;
}
