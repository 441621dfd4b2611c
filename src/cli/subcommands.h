// Commands that have commands of their own: `image`, `snapshot`, `volume`.
#pragma once

#include <span>
#include <string_view>

#include "cli/commands.h"

namespace caisson::cli {

struct CommandGroup {
  std::string_view name;
  std::string_view about;    ///< a sentence
  std::string_view example;  ///< one or more whole lines
  std::span<const Command> commands;
};

/// Runs the one that the first word names; prints help, or what is wrong.
int run_group(const CommandGroup& group, Args args);

}  // namespace caisson::cli
