// caisson doctor: what this host gives boxes, by attacking it.
#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct DoctorOptions {
  ProbeOptions probe;
  bool json = false;
};

constexpr CommandText kText = {"doctor", "[OPTIONS]",
                               "Prove what each isolation claims on this host. A box of each tries "
                               "to break out: it reads and\n"
                               "writes a canary, mounts, signals and traces a process of the host, "
                               "opens forbidden sockets and\n"
                               "exceeds its limits. What was found is remembered until the machine "
                               "or the programs change. The\n"
                               "exit status is 1 when something that is claimed does not hold.",
                               "  caisson doctor\n"
                               "  caisson doctor --fresh --json\n"};

constexpr Option<DoctorOptions> kTable[] = {
    {{"--fresh", "", "try, whatever was found before"},
     [](DoctorOptions& o, std::string_view) { return o.probe.fresh = true, Result<>(); }},
    {{"--without", "ROW", "leave out this defence, which must be found FAILED: a test of the test"},
     [](DoctorOptions& o, std::string_view v) { return o.probe.without = v, Result<>(); }},
    {{"--json", "", "print one JSON object"}, set_true<&DoctorOptions::json>},
};

std::string text_of(Proof proof) {
  switch (proof) {
    case Proof::kProved:
      return "proved";
    case Proof::kUnavailable:
      return "unavailable";
    case Proof::kFailed:
      break;
  }
  return "FAILED";
}

}  // namespace

int doctor_command(Args args) {
  DoctorOptions options;
  std::vector<std::string> rest;
  if (auto done = parse<DoctorOptions>(kText, kTable, Order::kAnywhere, args, options, rest))
    return *done;
  if (!rest.empty())
    return fail(
        usage_error("doctor", "argument_unexpected", "'" + rest.front() + "' says nothing here"),
        options.json);
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), options.json);
  auto found = runtime->probe(options.probe);
  if (!found) return fail(found.error(), options.json);
  bool failed = false;
  Table table({"ISOLATION", "WHAT", "RESULT", "DETAIL"});
  for (const Capability& row : found->rows) {
    failed = failed || row.proof == Proof::kFailed;
    std::string detail = row.detail;
    if (row.proof != Proof::kProved && !row.hint.empty()) detail += " (" + row.hint + ")";
    std::vector<std::string> cells = {row.isolation.empty() ? "-" : row.isolation, row.name,
                                      text_of(row.proof), escape(detail)};
    if (row.proof == Proof::kFailed)
      table.add_alarming(std::move(cells));
    else
      table.add(std::move(cells));
  }
  const int printed = print(options.json ? to_json(*found) + "\n" : table.text());
  return printed != 0 ? printed : failed ? 1 : 0;
}

}  // namespace caisson::cli
