// What the shim does before it knows which box it is for.
#pragma once

#include <chrono>

#include "container/plan.h"
#include "sys/cgroup.h"
#include "sys/userns.h"

namespace caisson::container {

/// What every box needs, whichever it is.
struct Preparation {
  sys::CgroupLayout cgroups;
  Facts facts;
  sys::NewNamespaces namespaces;
  std::chrono::nanoseconds took{0};
};

/// Prepares a box before it is known which one. An ordinary user's process is in its outer user
/// namespace afterwards.
Result<Preparation> prepare();

/// The same for another run of a box of this process.
Result<Preparation> prepare_again(const sys::CgroupLayout& cgroups, const Facts& facts);

/// A range of ids for the box, which root's boxes have to themselves on the whole machine, whatever
/// their home.
Result<sys::ClaimedRange> claim_ids(const std::string& id);

/// Moves this process of an ordinary user to where it has the ids that its boxes have.
Result<> enter_box_ids();

}  // namespace caisson::container
