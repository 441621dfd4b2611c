// The spelling of every enumeration, in one table each, for both directions.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "caisson/box.h"
#include "caisson/exit_info.h"
#include "caisson/image.h"
#include "caisson/limits.h"
#include "caisson/runtime.h"
#include "caisson/spec.h"

namespace caisson::spec {

template <class E>
struct Name {
  E value;
  std::string_view name;
};

// The argument only chooses the table.
std::span<const Name<Isolation>> names(Isolation);
std::span<const Name<Profile>> names(Profile);
std::span<const Name<Network>> names(Network);
std::span<const Name<MountType>> names(MountType);
std::span<const Name<IdMapping>> names(IdMapping);
std::span<const Name<SeccompMode>> names(SeccompMode);
std::span<const Name<OutputAction>> names(OutputAction);
std::span<const Name<PullPolicy>> names(PullPolicy);
std::span<const Name<RootfsStrategy>> names(RootfsStrategy);
std::span<const Name<IdleAction>> names(IdleAction);
std::span<const Name<RestartMode>> names(RestartMode);
std::span<const Name<HealthState>> names(HealthState);
std::span<const Name<PullEvent::Kind>> names(PullEvent::Kind);
std::span<const Name<PullEvent::State>> names(PullEvent::State);
std::span<const Name<BoxState>> names(BoxState);
std::span<const Name<ExitReason>> names(ExitReason);
std::span<const Name<Proof>> names(Proof);

template <class E>
std::string_view name_of(E value) {
  for (const Name<E>& row : names(value))
    if (row.value == value) return row.name;
  return "unknown";
}

template <class E>
std::optional<E> find_named(std::string_view name) {
  for (const Name<E>& row : names(E{}))
    if (row.name == name) return row.value;
  return std::nullopt;
}

template <class E>
std::vector<std::string> all_names() {
  std::vector<std::string> result;
  for (const Name<E>& row : names(E{})) result.emplace_back(row.name);
  return result;
}

}  // namespace caisson::spec
