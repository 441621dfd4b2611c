// What the user is told when something fails.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "caisson/error.h"

namespace caisson::cli {

/// "caisson: MESSAGE (hint: HINT)\n": always one line, safe on a terminal.
std::string error_line(const Error& error);

/// 127 program_not_found, 126 program_not_executable, else 125.
int status_of(const Error& error);

/// Prints the error line on stderr, with `json` also the error object on stdout. Returns
/// status_of(error).
int fail(const Error& error, bool json = false);

/// fail() for one of several boxes: prints the line and returns kStatusBoxFailed.
int fail_box(const Error& error);

/// "caisson: warning: TEXT\n" each.
void warn(const std::vector<std::string>& warnings);

}  // namespace caisson::cli
