// caisson pause, caisson resume, caisson hibernate.
#include "cli/commands.h"
#include "cli/each_box.h"

namespace caisson::cli {
namespace {

struct Settings {};

constexpr CommandText kPause = {
    "pause", "BOX...",
    "Stop every process of the boxes where it is. Nothing is lost, no processor time passes, and\n"
    "time limits stop counting until `caisson resume`.",
    "  caisson pause web; caisson resume web\n"};

constexpr CommandText kResume = {"resume", "BOX...",
                                 "Let paused boxes go on, and start those that hibernate.",
                                 "  caisson resume web\n"};

constexpr CommandText kHibernate = {
    "hibernate", "BOX...",
    "Write the memory of microVMs to disk and end the machines. Their processes, open files and\n"
    "timers go on with `caisson resume` or `caisson start`.",
    "  caisson hibernate worker; caisson resume worker\n"};

int each(const CommandText& text, Args args, Result<> (Box::*action)()) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(text, {}, Order::kAnywhere, args, settings, names)) return *done;
  return each_box(text.name, names, [&](Box& box, const std::string& name) -> Result<std::string> {
    auto finished = (box.*action)();
    if (!finished) return std::move(finished.error());
    return name + "\n";
  });
}

}  // namespace

int pause_command(Args args) { return each(kPause, args, &Box::pause); }
int resume_command(Args args) { return each(kResume, args, &Box::resume); }
int hibernate_command(Args args) { return each(kHibernate, args, &Box::hibernate); }

}  // namespace caisson::cli
