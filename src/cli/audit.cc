// caisson audit: what happened, and the proof that nothing of it was changed.
#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/io.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct Settings {
  bool verify = false;
};

constexpr CommandText kText = {
    "audit", "[OPTIONS] [BOX]",
    "Print the entries of the audit log, of all boxes or of one (also of one that is gone, by its\n"
    "whole id): one JSON object a line, oldest first. Each entry holds the hash of the one "
    "before;\n"
    "--verify follows the whole chain instead and fails when it is broken.",
    "  caisson audit --verify\n  caisson audit worker | jq -c '[.time, .event]'\n"};

constexpr Option<Settings> kOptions[] = {
    {{"--verify", "", "prove the chain of the whole log"}, set_true<&Settings::verify>},
};

int verify(Runtime& runtime) {
  auto check = runtime.verify_audit();
  if (!check) return fail(check.error());
  if (check->problem.empty())
    return print("the chain holds: " + std::to_string(check->entries) + " entries\n");
  return fail(cli_error(Code::kDataLoss, "audit_broken", "verify audit log: " + check->problem,
                        std::to_string(check->entries) + " entries before it are as they were"));
}

/// Its whole id will do for a box that is gone.
Result<std::string> id_of(Runtime& runtime, const std::string& name) {
  constexpr std::size_t kWholeId = 26;
  auto box = runtime.find(name);
  if (box) return box->id();
  if (name.size() == kWholeId) return name;
  return std::move(box.error());
}

}  // namespace

int audit_command(Args args) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, names))
    return *done;
  if (names.size() > 1)
    return fail(usage_error("audit", "argument_unexpected",
                            "'" + names[1] + "' is one too many, it takes one BOX"));
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error());
  std::string id;
  if (!names.empty()) {
    auto found = id_of(*runtime, names.front());
    if (!found) return fail(found.error());
    id = *found;
  }
  if (settings.verify) return verify(*runtime);
  auto entries = runtime->audit(id);
  if (!entries) return fail(entries.error());
  std::string lines;
  for (const AuditEntry& entry : *entries) lines += harmless_json(entry.json) + "\n";
  return print(lines);
}

}  // namespace caisson::cli
