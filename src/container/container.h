// Container: the sandbox made of namespaces, cgroups, seccomp and capabilities.
#pragma once

#include <memory>

#include "backend/sandbox.h"
#include "container/prepare.h"
#include "spec/rootfs.h"

namespace caisson::container {

struct ContainerOptions {
  std::string id;
  BoxSpec spec;  ///< moved to InitSandbox::spec
  Rootfs rootfs;
  std::string data;      ///< the box's directory
  std::string cache;     ///< of compiled filters
  unsigned fail_at = 0;  ///< see Apply::run
  bool at_rest = false;  ///< see backend::StartRequest
  backend::Trial trial;  ///< without a target: none
};

std::unique_ptr<backend::Sandbox> make_container(ContainerOptions options, Preparation preparation);

}  // namespace caisson::container
