// MicroVm: the sandbox that is a machine of its own. Inside it the agent runs the box as the
// container module does on a host.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "backend/protocol.h"
#include "backend/sandbox.h"
#include "container/prepare.h"

namespace caisson::vm {

struct MicroVmOptions {
  backend::StartRequest box;
  std::string data;   ///< the box's directory
  bool root = false;  ///< the shim was started by root
  /// Of the container that shows it the host's files; absent: none is needed.
  std::optional<container::Preparation> preparation;
};

std::unique_ptr<backend::Sandbox> make_microvm(MicroVmOptions options);

/// Makes the templates that the box goes on from, where they are not there yet; nothing runs in it.
/// Returns warnings. `wanted`: as below; `cancelled`.
Result<std::vector<std::string>> warm_microvm(MicroVmOptions options,
                                              const std::function<bool()>& wanted);

/// Does what the request asks for in a machine for this alone, which works with copies of disks.
/// What the guest says goes to `output` as it comes: it is as hostile as the box. As long as it
/// takes, `wanted` is asked now and then whether anybody still waits. `layer_bomb` when there is no
/// end to it.
Result<> compare_in_microvm(MicroVmOptions options, const backend::CompareRequest& request,
                            int output, const std::function<bool()>& wanted);

}  // namespace caisson::vm
