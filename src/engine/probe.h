// What this host gives boxes, found by trying it, and what is remembered of that.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/home.h"

namespace caisson::engine {

struct TrialOptions {
  bool with_limits = false;  ///< it exceeds limits too, which takes a second
  std::string_view without;  ///< as in ProbeOptions
  std::optional<std::chrono::nanoseconds> ready_timeout;  ///< as in MachineOptions
};
/// What a box of the isolation could not break, and what it could; the error of its start when it
/// cannot be started.
Result<std::vector<Capability>> try_isolation(const Runtime::Impl& runtime, Isolation isolation,
                                              const TrialOptions& options);

/// Whether the defence of a row can be left out of the isolation's trial.
bool is_hole(Isolation isolation, std::string_view name);

/// Facilities of the host. `container`: what try_isolation found.
Result<std::vector<Capability>> try_host(const Runtime::Impl& runtime,
                                         const std::vector<Capability>& container);

/// The row of the directory that the caller is in, which is never remembered.
Capability try_working_directory();

/// Refuses to start a box of an isolation whose required defences are not proved; the first start
/// of a boot tries them. The error of the trial's own start, or `isolation_unproved`.
Result<> require_proof(const Runtime::Impl& runtime, const BoxSpec& spec);

/// Remembers, for require_proof, whether an isolation holds.
void remember_proof(const Runtime::Impl& runtime, Isolation isolation,
                    const std::vector<Capability>& rows);

/// The whole of what a probe of this home found earlier in this boot with these programs, as JSON.
std::optional<std::string> remembered_probe(const Runtime::Impl& runtime);
void remember_probe(const Runtime::Impl& runtime, const std::string& json);

}  // namespace caisson::engine
