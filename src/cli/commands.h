// The commands: one function each, in the file of its name.
#pragma once

#include <span>
#include <string_view>

#include "cli/options.h"

namespace caisson::cli {

struct Command {
  std::string_view name;
  std::string_view summary;
  int (*run)(Args args);  ///< gets what follows the name; returns the exit status
};

/// In the order in which help shows them.
std::span<const Command> commands();
/// Those of `image`.
std::span<const Command> image_commands();
/// Those of `profile`.
std::span<const Command> profile_commands();
/// Those of `snapshot`.
std::span<const Command> snapshot_commands();
/// Those of `volume`.
std::span<const Command> volume_commands();
/// Those of `vm`.
std::span<const Command> vm_commands();
const Command* find_command(std::string_view name);
/// Prints the error for a word that is no command, with the nearest one.
int unknown_command(std::string_view word);

int attach_command(Args args);
int audit_command(Args args);
int commit_command(Args args);
int completion_command(Args args);
int cp_command(Args args);
int create_command(Args args);
int doctor_command(Args args);
int debug_command(Args args);
int diff_command(Args args);
int events_command(Args args);
int exec_command(Args args);
int export_command(Args args);
int fork_command(Args args);
int health_command(Args args);
int help_command(Args args);
int image_command(Args args);
int image_disk_command(Args args);
int image_fsck_command(Args args);
int image_history_command(Args args);
int image_inspect_command(Args args);
int image_load_command(Args args);
int image_save_command(Args args);
int image_tag_command(Args args);
int import_command(Args args);
int images_command(Args args);
int inspect_command(Args args);
int kill_command(Args args);
int login_command(Args args);
int logout_command(Args args);
int logs_command(Args args);
int metrics_command(Args args);
int pause_command(Args args);
int profile_command(Args args);
int prune_command(Args args);
int ps_command(Args args);
int pull_command(Args args);
int restore_command(Args args);
int resume_command(Args args);
int hibernate_command(Args args);
int rm_command(Args args);
int rmi_command(Args args);
int run_command(Args args);
int snapshot_command(Args args);
int start_command(Args args);
int stats_command(Args args);
int stop_command(Args args);
int top_command(Args args);
int version_command(Args args);
int vm_command(Args args);
int volume_command(Args args);
int wait_command(Args args);

}  // namespace caisson::cli
