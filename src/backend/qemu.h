// Where QEMU is: for who starts it, and for who remembers what it was like.
#pragma once

namespace caisson::backend {

/// The first of them that is there.
constexpr const char* kQemuPaths[] = {"/usr/bin/qemu-system-x86_64",
                                      "/usr/local/bin/qemu-system-x86_64"};

}  // namespace caisson::backend
