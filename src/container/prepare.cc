#include "container/prepare.h"

#include "base/clock.h"
#include "container/facts.h"

namespace caisson::container {

Result<> enter_box_ids() {
  const Facts facts = TRY(gather_facts({}));
  if (facts.root) return {};
  return sys::enter_outer_namespace(facts.subuids, facts.subgids);
}

Result<Preparation> prepare() {
  const std::int64_t began = boot_ns();
  sys::CgroupLayout cgroups = TRY(sys::detect_cgroups());
  Facts facts = TRY(gather_facts(cgroups));
  if (!facts.root) TRY(sys::enter_outer_namespace(facts.subuids, facts.subgids));
  return Preparation{std::move(cgroups), std::move(facts), TRY(sys::NewNamespaces::begin()),
                     std::chrono::nanoseconds(boot_ns() - began)};
}

}  // namespace caisson::container
