// VolumeState: which named volumes a home has, and which boxes use them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/state.h"

namespace caisson::store {

/// A part of a State, on the same database and under the same rules.
class VolumeState final {
 public:
  /// `state` must stay where it is.
  explicit VolumeState(State& state) : state_(&state) {}

  /// `volume_exists`.
  Result<> insert(const VolumeRow& row);
  Result<std::optional<VolumeRow>> find(std::string_view name);
  /// By name.
  Result<std::vector<VolumeRow>> list();
  /// `volume_not_found`, `volume_in_use`. What is left is the directory.
  Result<> remove(std::string_view name);
  /// Removes those that no box uses and that are not younger than `before_ns`; their names.
  Result<std::vector<std::string>> remove_unused(std::int64_t before_ns);

 private:
  Database& database() { return state_->database_; }
  Result<std::vector<VolumeRow>> read(Statement& statement);

  State* state_;
};

}  // namespace caisson::store
