// MicroVm: the sandbox that is a machine of its own. Inside it the agent runs the box as the
// container module does on a host.
#pragma once

#include <memory>

#include "backend/protocol.h"
#include "backend/sandbox.h"

namespace caisson::vm {

struct MicroVmOptions {
  backend::StartRequest box;
  std::string data;   ///< the box's directory
  bool root = false;  ///< the shim was started by root
};

std::unique_ptr<backend::Sandbox> make_microvm(MicroVmOptions options);

}  // namespace caisson::vm
