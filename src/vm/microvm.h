// MicroVm: the sandbox that is a machine of its own. Inside it the agent runs the box as the
// container module does on a host.
#pragma once

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

}  // namespace caisson::vm
