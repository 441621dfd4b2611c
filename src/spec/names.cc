#include "spec/names.h"

namespace caisson {
namespace spec {

std::span<const Name<Isolation>> names(Isolation) {
  static constexpr Name<Isolation> kNames[] = {{Isolation::kUnsafeHost, "host"},
                                               {Isolation::kProcess, "process"},
                                               {Isolation::kContainer, "container"},
                                               {Isolation::kMicroVm, "microvm"}};
  return kNames;
}

std::span<const Name<Profile>> names(Profile) {
  static constexpr Name<Profile> kNames[] = {
      {Profile::kMinimal, "minimal"}, {Profile::kStandard, "standard"}, {Profile::kFull, "full"}};
  return kNames;
}

std::span<const Name<Network>> names(Network) {
  static constexpr Name<Network> kNames[] = {{Network::kNone, "none"},
                                             {Network::kUnsafeHostNetwork, "host"}};
  return kNames;
}

std::span<const Name<MountType>> names(MountType) {
  static constexpr Name<MountType> kNames[] = {
      {MountType::kBind, "bind"}, {MountType::kVolume, "volume"}, {MountType::kTmpfs, "tmpfs"}};
  return kNames;
}

std::span<const Name<IdMapping>> names(IdMapping) {
  static constexpr Name<IdMapping> kNames[] = {
      {IdMapping::kAuto, "auto"}, {IdMapping::kRequire, "require"}, {IdMapping::kOff, "off"}};
  return kNames;
}

std::span<const Name<SeccompMode>> names(SeccompMode) {
  static constexpr Name<SeccompMode> kNames[] = {{SeccompMode::kProfile, "profile"},
                                                 {SeccompMode::kCustom, "custom"},
                                                 {SeccompMode::kUnconfined, "unconfined"}};
  return kNames;
}

std::span<const Name<OutputAction>> names(OutputAction) {
  static constexpr Name<OutputAction> kNames[] = {
      {OutputAction::kStopCollecting, "stop-collecting"},
      {OutputAction::kRotate, "rotate"},
      {OutputAction::kKill, "kill"}};
  return kNames;
}

std::span<const Name<PullPolicy>> names(PullPolicy) {
  static constexpr Name<PullPolicy> kNames[] = {{PullPolicy::kMissing, "missing"},
                                                {PullPolicy::kAlways, "always"},
                                                {PullPolicy::kNever, "never"}};
  return kNames;
}

std::span<const Name<RootfsStrategy>> names(RootfsStrategy) {
  static constexpr Name<RootfsStrategy> kNames[] = {{RootfsStrategy::kOverlay, "overlay"},
                                                    {RootfsStrategy::kMerged, "merged"},
                                                    {RootfsStrategy::kDisk, "disk"}};
  return kNames;
}

std::span<const Name<IdleAction>> names(IdleAction) {
  static constexpr Name<IdleAction> kNames[] = {{IdleAction::kPause, "pause"},
                                                {IdleAction::kStop, "stop"}};
  return kNames;
}

std::span<const Name<RestartMode>> names(RestartMode) {
  static constexpr Name<RestartMode> kNames[] = {{RestartMode::kNo, "no"},
                                                 {RestartMode::kOnFailure, "on-failure"},
                                                 {RestartMode::kAlways, "always"}};
  return kNames;
}

std::span<const Name<HealthState>> names(HealthState) {
  static constexpr Name<HealthState> kNames[] = {{HealthState::kNone, "none"},
                                                 {HealthState::kStarting, "starting"},
                                                 {HealthState::kHealthy, "healthy"},
                                                 {HealthState::kUnhealthy, "unhealthy"}};
  return kNames;
}

std::span<const Name<PullEvent::Kind>> names(PullEvent::Kind) {
  static constexpr Name<PullEvent::Kind> kNames[] = {{PullEvent::Kind::kResolved, "resolved"},
                                                     {PullEvent::Kind::kLayer, "layer"},
                                                     {PullEvent::Kind::kRetry, "retry"}};
  return kNames;
}

std::span<const Name<PullEvent::State>> names(PullEvent::State) {
  static constexpr Name<PullEvent::State> kNames[] = {
      {PullEvent::State::kWaiting, "waiting"},
      {PullEvent::State::kDownloading, "downloading"},
      {PullEvent::State::kUnpacking, "unpacking"},
      {PullEvent::State::kDone, "done"},
      {PullEvent::State::kCached, "cached"}};
  return kNames;
}

std::span<const Name<BoxState>> names(BoxState) {
  static constexpr Name<BoxState> kNames[] = {
      {BoxState::kConfigured, "configured"}, {BoxState::kStarting, "starting"},
      {BoxState::kRunning, "running"},       {BoxState::kPaused, "paused"},
      {BoxState::kStopping, "stopping"},     {BoxState::kStopped, "stopped"},
      {BoxState::kFailed, "failed"}};
  return kNames;
}

std::span<const Name<ExitReason>> names(ExitReason) {
  static constexpr Name<ExitReason> kNames[] = {{ExitReason::kExited, "exited"},
                                                {ExitReason::kSignaled, "signaled"},
                                                {ExitReason::kTimeout, "timeout"},
                                                {ExitReason::kCpuTime, "cpu_time"},
                                                {ExitReason::kOom, "oom"},
                                                {ExitReason::kPids, "pids"},
                                                {ExitReason::kOutputLimit, "output_limit"},
                                                {ExitReason::kDiskFull, "disk_full"},
                                                {ExitReason::kKilled, "killed"},
                                                {ExitReason::kLost, "lost"},
                                                {ExitReason::kHibernated, "hibernated"}};
  return kNames;
}

std::span<const Name<Proof>> names(Proof) {
  static constexpr Name<Proof> kNames[] = {
      {Proof::kProved, "proved"}, {Proof::kUnavailable, "unavailable"}, {Proof::kFailed, "failed"}};
  return kNames;
}

}  // namespace spec

std::string_view to_string(Isolation isolation) { return spec::name_of(isolation); }
std::string_view to_string(Profile profile) { return spec::name_of(profile); }
std::string_view to_string(Network network) { return spec::name_of(network); }
std::string_view to_string(PullPolicy policy) { return spec::name_of(policy); }
std::string_view to_string(RootfsStrategy strategy) { return spec::name_of(strategy); }
std::string_view to_string(RestartMode mode) { return spec::name_of(mode); }
std::string_view to_string(HealthState state) { return spec::name_of(state); }
std::string_view to_string(IdleAction action) { return spec::name_of(action); }
std::string_view to_string(Proof proof) { return spec::name_of(proof); }
std::string_view to_string(BoxState state) { return spec::name_of(state); }
std::string_view to_string(ExitReason reason) { return spec::name_of(reason); }

}  // namespace caisson
