// format(): fmt's core interface under one name.
#pragma once

#include <fmt/core.h>

namespace caisson {
using fmt::format;
}  // namespace caisson
