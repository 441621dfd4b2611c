#include "engine/layers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/scope_exit.h"
#include "base/ulid.h"
#include "container/disk.h"
#include "engine/images_impl.h"
#include "engine/record.h"
#include "image/flatten.h"
#include "image/rootfs.h"
#include "spec/effective.h"
#include "spec/image_ref.h"
#include "sys/tree.h"

namespace caisson::engine {
namespace {

/// An overlay takes 500 layers; copying joins them long before.
constexpr std::size_t kMostLayers = 64;

bool exists(const std::string& path) {
  return ::faccessat(AT_FDCWD, path.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool is_merged(const BoxSpec& spec) { return spec.rootfs == RootfsStrategy::kMerged; }

/// As the disk limit counts; what is nested too deep to be counted is a very great deal.
std::uint64_t measured(const std::string& path) {
  return std::min(container::directory_bytes(path, UINT64_MAX), std::uint64_t{1} << 50);
}

/// What a box's own copy of its image took before the box wrote anything.
std::uint64_t given_bytes(const Runtime::Impl& runtime, const store::BoxRow& row) {
  std::uint64_t bytes = 0;
  const std::string text = read_file(runtime.layout.box(row.id) + "/rootfs.size", 64).value_or("");
  std::from_chars(text.data(), text.data() + text.size(), bytes);
  return bytes;
}

bool is_machine(const BoxSpec& spec) { return spec.isolation == Isolation::kMicroVm; }

RootfsStrategy strategy_of(const BoxSpec& spec) {
  if (is_machine(spec)) return RootfsStrategy::kDisk;
  return is_merged(spec) ? RootfsStrategy::kMerged : RootfsStrategy::kOverlay;
}

/// What a box writes into.
std::string writable_path(const Runtime::Impl& runtime, const store::BoxRow& row,
                          RootfsStrategy strategy) {
  Rootfs rootfs;
  rootfs.generation = row.generation;
  rootfs.strategy = strategy;
  return runtime.layout.box(row.id) + "/" + writable_name(rootfs);
}

std::string layer_path(const Runtime::Impl& runtime, const std::string& id) {
  return runtime.path("layers/" + id);
}

/// The name as a layer of what the box writes into now.
const std::string& layer_name(const store::BoxRow& row) {
  return row.generation.empty() ? row.id : row.generation;
}

Result<> make_layers_directory(const Runtime::Impl& runtime) {
  const std::string path = runtime.path("layers");
  if (::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST) return {};
  return sys_error("create directory", path);
}

Result<> copy_trees(const Runtime::Impl& runtime, const std::vector<std::string>& trees,
                    const std::string& name) {
  TRY(make_layers_directory(runtime));
  const std::string directory = runtime.path("layers");
  if (::geteuid() != 0) return ask_shim(runtime, backend::CopyRequest{trees, directory, name});
  const Fd parent = TRY(open_fd(directory, O_RDONLY | O_DIRECTORY));
  return image::copy_layers(trees, parent.get(), name);
}

/// Takes away what does not show below the layer. Of a microVM's disk that is another disk; trees
/// that it was imported with stay below.
void cover(std::vector<store::BoxLayer>& layers, const store::BoxLayer& above, bool machine) {
  if (above.whole)
    std::erase_if(layers, [&](const store::BoxLayer& layer) { return layer.whole || !machine; });
}

}  // namespace

Rootfs with_layers(const Runtime::Impl& runtime, Rootfs base,
                   const std::vector<store::BoxLayer>& layers) {
  if (layers.empty()) return base;
  const bool disks = base.strategy == RootfsStrategy::kDisk;
  base.lower_parent = runtime.path("layers");
  std::vector<std::string> lowers;
  bool whole = false;
  for (const store::BoxLayer& layer : layers) {
    if (whole) break;
    if (disks && layer.whole) {
      base.saved = layer_path(runtime, layer.id);
      continue;
    }
    base.written_bytes += layer.bytes;
    lowers.push_back(layer.id);
    whole = layer.whole;
  }
  if (whole) base.lowers.clear();
  base.lowers.insert(base.lowers.begin(), lowers.begin(), lowers.end());
  return base;
}

Result<BoxRoot> base_of(const Runtime::Impl& runtime, const store::BoxRow& row,
                        const BoxSpec& spec) {
  if (!row.image.empty()) {
    BoxRoot root{TRY(rootfs_of(runtime, row)), {}};
    if (spec.isolation != Isolation::kMicroVm) return root;
    root.rootfs.disk = TRY(disk_of(runtime, row.image, root.rootfs));
    root.rootfs.strategy = RootfsStrategy::kDisk;
    return root;
  }
  if (!spec::has_own_root(spec.isolation)) {
    BoxRoot none;
    none.rootfs.workdir = runtime.layout.box(row.id) + "/workspace";
    return none;
  }
  image::ResolvedSource source = TRY(image::resolve_source(spec.source, runtime.layout.home));
  source.rootfs.strategy = is_machine(spec) ? RootfsStrategy::kDisk : spec.rootfs;
  return BoxRoot{std::move(source.rootfs), std::move(source.held)};
}

Result<> require_layers(const BoxSpec& spec, std::string_view action) {
  if (spec.isolation == Isolation::kContainer || is_machine(spec)) return {};
  return make_error(Code::kUnimplemented, "isolation_unsupported",
                    format("{} box: one of the isolation '{}' has no files of its own", action,
                           to_string(spec.isolation)),
                    "use --isolation container");
}

Result<BoxRoot> root_of(const Runtime::Impl& runtime, const store::BoxRow& row,
                        const BoxSpec& spec) {
  BoxRoot root = TRY(base_of(runtime, row, spec));
  root.rootfs.generation = row.generation;
  // Only a box with another generation than the first has layers of its own.
  if (!row.generation.empty())
    root.rootfs =
        with_layers(runtime, std::move(root.rootfs), TRY(runtime.snapshots.layers(row.id)));
  return root;
}

Result<> finish_sealing(const Runtime::Impl& runtime, const store::BoxRow& row) {
  const std::string written = writable_path(
      runtime, row,
      is_machine(TRY(spec_of(row))) ? RootfsStrategy::kDisk : RootfsStrategy::kOverlay);
  const std::string layer = layer_path(runtime, layer_name(row));
  if (exists(written) || !exists(layer)) return {};
  return sys::move_tree(layer, written);
}

Result<std::vector<store::BoxLayer>> seal(const Runtime::Impl& runtime, const store::BoxRow& row) {
  const BoxSpec spec = TRY(spec_of(row));
  TRY(finish_sealing(runtime, row));
  std::vector<store::BoxLayer> layers = TRY(runtime.snapshots.layers(row.id));
  const bool copies = is_merged(spec) || layers.size() >= kMostLayers;
  if (copies && !is_machine(spec)) return copy_written(runtime, row);
  const std::string written = writable_path(runtime, row, strategy_of(spec));
  // Of one that is yet to go on from its memory (vm/disk.h) nothing has been written.
  if (!exists(written) || (is_machine(spec) && exists(written + "/asleep"))) return layers;
  store::BoxLayer layer{layer_name(row), is_machine(spec), measured(written)};
  if (exists(layer_path(runtime, layer.id)))
    return make_error(Code::kDataLoss, "state_corrupt",
                      format("make a layer of box '{}': there is a layer '{}'", row.id, layer.id));
  TRY(make_layers_directory(runtime));
  // First the tree, then the rows that name it: a crash in between is undone by finish_sealing.
  TRY(sys::move_tree(written, layer_path(runtime, layer.id)));
  cover(layers, layer, is_machine(spec));
  layers.insert(layers.begin(), std::move(layer));
  if (!TRY(runtime.snapshots.set_layers(row.id, layers, TRY(make_ulid()))))
    return make_error(Code::kNotFound, "box_not_found",
                      format("find box '{}': it is gone", row.id));
  return layers;
}

Result<SavedMachine> save_machine(const Box::Impl& box, bool memory, bool stay) {
  const Runtime::Impl& runtime = *box.runtime;
  TRY(make_layers_directory(runtime));
  store::BoxLayer layer{TRY(make_ulid()), true, 0};
  const std::string path = layer_path(runtime, layer.id), partial = path + ".partial";
  if (::mkdir(partial.c_str(), 0700) < 0) return sys_error("create directory", partial);
  ScopeExit clear([&] {
    [[maybe_unused]] const Result<> removed =
        remove_tree_of(runtime, runtime.path("layers"), layer.id + ".partial");
  });
  Channel channel = TRY(box.connect());
  TRY(channel.send(backend::SaveRequest{partial, memory, stay}));
  TRY(channel.reply());
  if (::rename(partial.c_str(), path.c_str()) < 0) return sys_error("rename into place", path);
  clear.release();
  layer.bytes = measured(path);
  std::vector<store::BoxLayer> layers = TRY(runtime.snapshots.layers(box.id));
  cover(layers, layer, true);
  layers.insert(layers.begin(), std::move(layer));
  return SavedMachine{std::move(layers), std::move(channel)};
}

Result<std::vector<store::BoxLayer>> copy_written(const Runtime::Impl& runtime,
                                                  const store::BoxRow& row) {
  const bool merged = is_merged(TRY(spec_of(row)));
  std::vector<store::BoxLayer> layers = TRY(runtime.snapshots.layers(row.id));
  const std::string written =
      writable_path(runtime, row, merged ? RootfsStrategy::kMerged : RootfsStrategy::kOverlay);
  if (!exists(written)) return layers;
  store::BoxLayer layer{TRY(make_ulid()), merged, 0};
  std::vector<std::string> trees = {written};
  const bool join = !merged && layers.size() >= kMostLayers;
  if (join)
    for (const store::BoxLayer& lower : layers) trees.push_back(layer_path(runtime, lower.id));
  TRY(copy_trees(runtime, trees, layer.id));
  layer.bytes = measured(layer_path(runtime, layer.id));
  if (merged) layer.bytes -= std::min(layer.bytes, given_bytes(runtime, row));
  if (merged || join) layers.clear();
  layers.insert(layers.begin(), std::move(layer));
  return layers;
}

std::vector<std::string> paths_of(const Rootfs& rootfs) {
  std::vector<std::string> paths;
  for (const std::string& lower : rootfs.lowers) paths.push_back(lower_path(rootfs, lower));
  return paths;
}

Result<std::vector<store::BoxLayer>> adopt_tree(const Runtime::Impl& runtime,
                                                const std::string& chain_id) {
  store::BoxLayer layer{TRY(make_ulid()), false, 0};
  TRY(copy_trees(runtime, {layer_path(runtime, std::string(spec::hex_of(chain_id)))}, layer.id));
  layer.bytes = measured(layer_path(runtime, layer.id));
  return std::vector{std::move(layer)};
}

Result<> replace_layers(const Runtime::Impl& runtime, const store::BoxRow& row,
                        const std::vector<store::BoxLayer>& layers) {
  TRY(finish_sealing(runtime, row));
  const std::vector<store::BoxLayer> before = TRY(runtime.snapshots.layers(row.id));
  if (!TRY(runtime.snapshots.set_layers(row.id, layers, TRY(make_ulid()))))
    return make_error(Code::kNotFound, "box_not_found",
                      format("find box '{}': it is gone", row.id));
  // From here on nothing names them; what stays because of a crash goes with the box.
  remove_written(runtime, row);
  discard_layers(runtime, before);
  return {};
}

void remove_written(const Runtime::Impl& runtime, const store::BoxRow& row) {
  for (const auto strategy :
       {RootfsStrategy::kOverlay, RootfsStrategy::kMerged, RootfsStrategy::kDisk}) {
    const std::string path = writable_path(runtime, row, strategy);
    const std::string name = path.substr(path.rfind('/') + 1);
    [[maybe_unused]] Result<> removed = remove_tree_of(runtime, runtime.layout.box(row.id), name);
  }
}

void discard_layers(const Runtime::Impl& runtime, const std::vector<store::BoxLayer>& layers) {
  if (layers.empty()) return;
  Collection what;
  for (const store::BoxLayer& layer : layers) what.candidates.insert("sha256:" + layer.id);
  [[maybe_unused]] const Result<std::uint64_t> freed = collect_garbage(runtime, what);
}

Result<> sync_home(const Runtime::Impl& runtime) {
  const Fd home = TRY(open_fd(runtime.layout.home, O_RDONLY | O_DIRECTORY));
  if (::syncfs(home.get()) < 0) return sys_error("write to disk", runtime.layout.home);
  return {};
}

}  // namespace caisson::engine
