// What init and the children it forks report when they fail, as errors.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "init/exec_layout.h"

namespace caisson::init {

/// The error that init sent as four lines: code, reason, message, hint.
Error received_error(std::string_view text, int err);

/// Why a process could not be started.
Error exec_error(const ExecFailure& failure, const std::string& program,
                 const std::string& workdir);

}  // namespace caisson::init
