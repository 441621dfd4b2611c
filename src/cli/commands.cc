#include "cli/commands.h"

#include "caisson/spec.h"

namespace caisson::cli {
namespace {

constexpr Command kCommands[] = {
    {"run", "create a box, run a command in it, show its output", run_command},
    {"create", "create a box and print its id", create_command},
    {"start", "start created or stopped boxes", start_command},
    {"exec", "run one more command in a running box", exec_command},
    {"attach", "connect to the main command of a running box", attach_command},
    {"ps", "list boxes", ps_command},
    {"inspect", "print everything known about boxes as JSON", inspect_command},
    {"logs", "print the output that a box has kept", logs_command},
    {"stats", "print what boxes use now", stats_command},
    {"top", "show what boxes use, again and again", top_command},
    {"wait", "wait until boxes end and print their exit status", wait_command},
    {"pause", "stop every process of boxes where it is", pause_command},
    {"resume", "let paused boxes go on", resume_command},
    {"hibernate", "write microVMs to disk, processes and all", hibernate_command},
    {"stop", "ask boxes to end, then kill them", stop_command},
    {"kill", "send a signal to boxes", kill_command},
    {"rm", "remove boxes", rm_command},
    {"snapshot", "keep the files of boxes as they are", snapshot_command},
    {"restore", "put the files of a box back to a snapshot", restore_command},
    {"fork", "make new boxes that begin as a box is", fork_command},
    {"diff", "list what a box has changed", diff_command},
    {"volume", "named directories that outlive boxes", volume_command},
    {"vm", "the saved machines that microVMs go on from", vm_command},
    {"cp", "copy files between boxes and the host", cp_command},
    {"commit", "make an image of a box", commit_command},
    {"export", "write a box as one archive", export_command},
    {"import", "make a box of such an archive", import_command},
    {"events", "print what happens as it happens", events_command},
    {"audit", "print or verify the log of what happened", audit_command},
    {"health", "print how the home is", health_command},
    {"metrics", "print counters and times for Prometheus", metrics_command},
    {"pull", "fetch images", pull_command},
    {"images", "list images and what they take", images_command},
    {"rmi", "remove images", rmi_command},
    {"image", "inspect, load, save, tag and check images", image_command},
    {"prune", "remove images and layers that nothing uses", prune_command},
    {"login", "keep credentials for a registry", login_command},
    {"logout", "forget them", logout_command},
    {"doctor", "prove what this host gives boxes", doctor_command},
    {"profile", "list and explain the sets of defaults", profile_command},
    {"debug", "look behind the scenes: debug plan", debug_command},
    {"completion", "print shell completions", completion_command},
    {"version", "print the version", version_command},
    {"help", "print help about a command", help_command},
};

}  // namespace

std::span<const Command> commands() { return kCommands; }

const Command* find_command(std::string_view name) {
  for (const Command& command : kCommands) {
    if (command.name == name) return &command;
  }
  return nullptr;
}

int unknown_command(std::string_view word) {
  std::vector<std::string> known;
  for (const Command& command : kCommands) known.emplace_back(command.name);
  const std::string near = did_you_mean(word, known);
  return fail(
      cli_error(Code::kInvalidArgument, "command_unknown",
                "run command '" + std::string(word) + "': no such command",
                near.empty() ? "caisson help lists the commands" : "did you mean '" + near + "'?"));
}

}  // namespace caisson::cli
