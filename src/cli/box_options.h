// The options that `run`, `create` and `debug plan` share, and the box they describe.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "caisson/spec.h"
#include "cli/env_options.h"
#include "cli/options.h"

namespace caisson::cli {

struct BoxOptions {
  BoxSpec spec;
  EnvironmentOptions env;
  bool detach = false;
  bool json = false;
  bool quiet = false;           ///< an image is pulled without a word
  std::string id_file;          ///< --cidfile
  std::string file;             ///< -f
  bool words_optional = false;  ///< set by the command: it needs neither SOURCE nor COMMAND
};

std::span<const Option<BoxOptions>> box_option_table();

/// Reads options, SOURCE and the command, over what the file of -f says; the spec is complete then,
/// but not validated. An exit status: the command is done, help or an error was printed.
std::optional<int> parse_box(const CommandText& text, Args args, BoxOptions& into);

}  // namespace caisson::cli
