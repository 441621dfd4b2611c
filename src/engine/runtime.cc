#include "caisson/runtime.h"

#include <algorithm>

#include "base/clock.h"
#include "base/ulid.h"
#include "container/facts.h"
#include "container/plan.h"
#include "engine/audit.h"
#include "engine/box_impl.h"
#include "engine/image_config.h"
#include "engine/images_impl.h"
#include "engine/named_volumes.h"
#include "engine/record.h"
#include "engine/volumes.h"
#include "image/rootfs.h"
#include "init/limits.h"
#include "process/process.h"
#include "spec/effective.h"
#include "spec/seccomp_policy.h"
#include "spec/state_json.h"

namespace caisson {

std::string_view version() { return CAISSON_VERSION; }

Runtime::Runtime(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

Result<Runtime> Runtime::open(OpenOptions options) {
  backend::Layout layout = TRY(engine::open_layout(options));
  store::State state = TRY(store::State::open(layout.home));
  std::string shim = engine::find_shim(options).value_or("");
  // Shared, because every Box keeps its runtime open.
  auto impl = std::make_shared<const Impl>(std::move(layout), std::move(shim), std::move(options),
                                           std::move(state), engine::boot_id());
  TRY(engine::recover(*impl));
  return Runtime(std::move(impl));
}

namespace {

bool is_image(const std::string& source) {
  return source != "host:" && !source.starts_with("dir:");
}

}  // namespace

Result<Box> Runtime::create(const BoxSpec& spec) {
  TRY(validate(spec));
  engine::BoxImage image;
  BoxSpec real = TRY(engine::with_real_sources(spec));
  if (is_image(spec.source)) {
    image = TRY(engine::take_image(impl_, real));
    real = std::move(image.spec);
  } else {
    real = engine::with_entrypoint(std::move(real));
    real.source = TRY(image::check_source(spec.source));
  }
  if (spec.security.seccomp == SeccompMode::kCustom)
    TRY(parse_seccomp_policy(spec.security.seccomp_policy));
  // In a guest they are the guest's own kernel's.
  if (spec.isolation != Isolation::kMicroVm && init::limits_need_host(spec))
    TRY(init::check_limits(spec, TRY(sys::detect_cgroups())));
  store::BoxRow row = TRY(engine::new_row(real));
  row.image = image.id;
  row.rootfs_json = image.rootfs_json;
  TRY(impl_->state.insert(row, TRY(engine::volumes_of(real))));
  engine::tell_created(*impl_, row.id, real, image.id);
  return Box(std::make_shared<const Box::Impl>(impl_, row.id));
}

Result<Box> Runtime::find(std::string_view id_or_name) {
  const store::BoxRow row = TRY(impl_->state.resolve(id_or_name));
  return Box(std::make_shared<const Box::Impl>(impl_, row.id));
}

Result<std::vector<BoxInfo>> Runtime::list(const Filter& filter) {
  std::vector<store::BoxRow> rows =
      filter.all ? TRY(impl_->state.list()) : TRY(impl_->state.live());
  std::vector<BoxInfo> infos;
  for (store::BoxRow& row : rows) {
    BoxInfo info = engine::listed_info_of(TRY(engine::settle(*impl_, std::move(row))));
    engine::add_status(*impl_, info);
    if (!filter.all && !engine::is_live(info.state)) continue;
    const bool matches = std::ranges::all_of(filter.labels, [&](const auto& label) {
      const auto found = info.spec.labels.find(label.first);
      return found != info.spec.labels.end() && found->second == label.second;
    });
    if (matches) infos.push_back(std::move(info));
  }
  return infos;
}

namespace {

Result<std::string> describe_plan(const Runtime::Impl& runtime, const BoxSpec& spec,
                                  const Rootfs& rootfs) {
  const sys::CgroupLayout cgroups = TRY(sys::detect_cgroups());
  if (!spec::has_own_root(spec.isolation))
    return process::describe(
        TRY(process::make_plan(spec, process::gather_facts(), runtime.layout.box("<id>"))));
  container::Facts facts = TRY(container::gather_facts(cgroups));
  facts.own_kernel = spec.isolation == Isolation::kMicroVm;  // and there the agent is root
  facts.root = facts.root || facts.own_kernel;
  constexpr std::uint32_t kExampleIds = 0x70000000;
  const BoxSpec shown = TRY(engine::with_planned_volumes(runtime, spec));
  container::Plan plan =
      TRY(container::make_plan(shown, rootfs, facts, runtime.layout.box("<id>"),
                               facts.root && !facts.own_kernel ? kExampleIds : 0));
  if (!facts.own_kernel) plan.warnings = TRY(init::check_limits(spec, cgroups));
  return container::describe(plan);
}

}  // namespace

Result<std::string> Runtime::plan(const BoxSpec& spec) {
  TRY(validate(spec));
  if (is_image(spec.source)) {
    const engine::BoxImage image = TRY(engine::take_image(impl_, spec));
    store::BoxRow row;
    row.rootfs_json = image.rootfs_json;
    return describe_plan(*impl_, image.spec, TRY(engine::rootfs_of(*impl_, row)));
  }
  image::ResolvedSource source = TRY(image::resolve_source(spec.source, impl_->layout.home));
  source.rootfs.strategy = spec.rootfs;
  return describe_plan(*impl_, engine::with_entrypoint(spec), source.rootfs);
}

}  // namespace caisson
