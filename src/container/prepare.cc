#include "container/prepare.h"

#include <sys/stat.h>

#include "base/clock.h"
#include "container/facts.h"

namespace caisson::container {

Result<> enter_box_ids() {
  const Facts facts = TRY(gather_facts({}));
  if (facts.root) return {};
  return sys::enter_outer_namespace(facts.subuids, facts.subgids);
}

Result<sys::ClaimedRange> claim_ids(const std::string& id) {
  const std::string folder = "/run/caisson";
  if (::mkdir(folder.c_str(), 0700) < 0 && errno != EEXIST)
    return sys_error("create directory", folder);
  return sys::claim_id_range(folder + "/id-ranges",
                             static_cast<std::uint32_t>(std::hash<std::string>()(id)));
}

Result<Preparation> prepare() {
  const std::int64_t began = boot_ns();
  sys::CgroupLayout cgroups = TRY(sys::detect_cgroups());
  Facts facts = TRY(gather_facts(cgroups));
  if (!facts.root) TRY(sys::enter_outer_namespace(facts.subuids, facts.subgids));
  return Preparation{std::move(cgroups), std::move(facts), TRY(sys::NewNamespaces::begin()),
                     std::chrono::nanoseconds(boot_ns() - began)};
}

Result<Preparation> prepare_again(const sys::CgroupLayout& cgroups, const Facts& facts) {
  return Preparation{cgroups, facts, TRY(sys::NewNamespaces::begin()), {}};
}

}  // namespace caisson::container
