// What people are told when Caisson, and not the program itself, brought a process to its end.
#pragma once

#include <string>
#include <string_view>

#include "caisson/exit_info.h"
#include "caisson/limits.h"
#include "cli/foreground.h"

namespace caisson::cli {

/// "ended by its time limit (1s)". Empty for the ends of a program's own doing. A limit that
/// `limits` does not name is a default, and has no figure here.
std::string ending_text(ExitReason reason, const Limits& limits);

/// "caisson: SUBJECT: TEXT\n" on stderr, if there is something to tell. Who asked for the end needs
/// not be told of it.
void tell_ending(std::string_view subject, const ForegroundEnd& end, const Limits& limits);

}  // namespace caisson::cli
