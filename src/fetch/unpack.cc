#include "fetch/unpack.h"

#include <fcntl.h>
#include <sys/fsuid.h>

#include <thread>

#include "fetch/compare.h"
#include "fetch/extract.h"
#include "fetch/finish.h"
#include "spec/image_ref.h"

namespace caisson::fetch {
namespace {

// Small enough that a buffer is still in the processor's cache when it is hashed and written.
constexpr std::size_t kBuffers = 4, kBufferSize = 512 << 10;

Ownership ownership_of(const UnpackJob& job) {
  // setfsuid(-1) changes nothing and returns the id, the one that new files get.
  return {.birth = {static_cast<std::uint32_t>(::setfsuid(static_cast<uid_t>(-1))),
                    static_cast<std::uint32_t>(::setfsgid(static_cast<gid_t>(-1)))},
          .one_id = job.one_id,
          .record = !job.nobody};
}

/// Errors about the layer's bytes, behind which may be that they are not the layer's at all.
bool is_about_content(const Error& error) {
  return error.reason == "layer_invalid" || error.reason == "layer_unsafe";
}

/// The second half of the pipeline.
Result<> consume(const UnpackJob& job, Ring& ring, TreeWriter* tree) {
  TarReader tar = TRY(TarReader::create(ring));
  Result<> extracted = tree != nullptr ? extract(tar, *tree, job.caps) : Result<>();
  if (!extracted && !is_about_content(extracted.error())) return extracted;
  const std::string diff_id = TRY(tar.finish());
  if (!extracted) return extracted;
  if (diff_id != job.diff_id)
    return make_error(Code::kDataLoss, "layer_diff_id_mismatch",
                      format("the content has diff_id {} instead of {}", diff_id, job.diff_id));
  return {};
}

Result<> run_pipeline(const UnpackJob& job, const UnpackHooks& hooks, TreeWriter* tree) {
  BlobPump pump = TRY(BlobPump::create(job, hooks.progress));
  Ring ring(kBuffers, kBufferSize);
  std::thread thread([&] { pump.run(ring); });
  Result<> result = consume(job, ring, tree);
  ring.give_up();
  thread.join();
  return result;
}

Result<std::string> compare(const UnpackJob& job) {
  const std::string name(spec::hex_of(job.chain_id));
  Fd found{::openat(job.layers_dir.get(), name.c_str(),
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)};
  if (!found) return format("the tree cannot be opened: {}", errno_text(errno));
  return compare_trees(job.own.get(), found.get());
}

Result<> unpack(const UnpackJob& job, const UnpackHooks& hooks, image::LayerReady& ready) {
  if (!job.unpack) return run_pipeline(job, hooks, nullptr);
  TreeWriter tree(job.own.get(), job.caps, ownership_of(job), job.nobody);
  TRY(tree.begin());
  TRY(run_pipeline(job, hooks, &tree));
  Parents parents;
  if (!job.parents.empty() && tree.needs_parents()) {
    TRY(hooks.wait_for_parents());
    parents = TRY(Parents::open(job.staging.get(), job.layers_dir.get(), job.parents));
  }
  TRY(finish_tree(tree, parents));
  ready.disk_bytes = tree.disk_bytes();
  if (job.compare) ready.problem = TRY(compare(job));
  return {};
}

}  // namespace

Result<image::LayerReady> unpack_layer(const UnpackJob& job, const UnpackHooks& hooks) {
  image::LayerReady ready;
  ready.digest = job.digest;
  ready.diff_id = job.diff_id;
  ready.chain_id = job.chain_id;
  ready.size = job.size;
  ready.unpacked = job.unpack;
  Result<> done = unpack(job, hooks, ready);
  if (done) return ready;
  Error error = std::move(done).error();
  if (error.message.find(job.digest) == std::string::npos)
    error = with_context(std::move(error), format("unpack layer {}", job.digest));
  return error;
}

}  // namespace caisson::fetch
