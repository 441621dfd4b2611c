// The whole public interface of Caisson.
#pragma once

#include "caisson/audit.h"
#include "caisson/box.h"        // IWYU pragma: export
#include "caisson/error.h"      // IWYU pragma: export
#include "caisson/exec.h"       // IWYU pragma: export
#include "caisson/exit_info.h"  // IWYU pragma: export
#include "caisson/image.h"      // IWYU pragma: export
#include "caisson/limits.h"     // IWYU pragma: export
#include "caisson/profile.h"    // IWYU pragma: export
#include "caisson/result.h"     // IWYU pragma: export
#include "caisson/runtime.h"    // IWYU pragma: export
#include "caisson/spec.h"       // IWYU pragma: export
#include "caisson/templates.h"  // IWYU pragma: export
#include "caisson/volume.h"     // IWYU pragma: export
