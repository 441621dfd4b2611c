// caisson events: what happens, as it happens.
#include <optional>

#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/io.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct Settings {
  std::optional<std::uint64_t> since;
  bool no_follow = false;
  bool json = false;
};

constexpr CommandText kText = {
    "events", "[OPTIONS] [BOX]",
    "Print events as they come, of all boxes or of one, until interrupted. They are the entries "
    "of\n"
    "the audit log: with --since N nothing after entry N is missed, however long ago it was.",
    "  caisson events --since 0 --no-follow\n  caisson events --json worker\n"};

constexpr Option<Settings> kOptions[] = {
    {{"--since", "N", "also those that were, after the N-th; 0: all"},
     [](Settings& into, std::string_view value) -> Result<> {
       auto number = parse_count(value);
       if (!number) return std::move(number.error());
       into.since = *number;
       return {};
     }},
    {{"--no-follow", "", "end after those that were"}, set_true<&Settings::no_follow>},
    {{"--json", "", "one JSON object a line, as `caisson audit` prints it"},
     set_true<&Settings::json>},
};

std::string line_of(const AuditEntry& entry, bool json) {
  if (json) return harmless_json(entry.json) + "\n";
  const std::string box = entry.box_id.empty() ? "-" : entry.box_id;
  return std::to_string(entry.seq) + " " + time_text(entry.time_ns) + " " + box + " " +
         escape(entry.event) + "\n";
}

int follow(EventStream& events, const Settings& settings, const std::string& id) {
  for (;;) {
    auto event = settings.no_follow ? events.next(in(std::chrono::nanoseconds(0))) : events.next();
    if (!event && event.error().code == Code::kDeadlineExceeded) return 0;
    if (!event) return fail(event.error(), settings.json);
    if (!id.empty() && event->box_id != id) continue;
    if (const int printed = print(line_of(*event, settings.json)); printed != 0) return printed;
  }
}

}  // namespace

int events_command(Args args) {
  Settings settings;
  std::vector<std::string> names;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, names))
    return *done;
  if (names.size() > 1)
    return fail(usage_error("events", "argument_unexpected",
                            "'" + names[1] + "' is one too many, it takes one BOX"),
                settings.json);
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error(), settings.json);
  std::string id;
  if (!names.empty()) {
    auto box = runtime->find(names.front());
    if (!box) return fail(box.error(), settings.json);
    id = box->id();
  }
  auto last = runtime->last_event();
  if (!last) return fail(last.error(), settings.json);
  auto events = runtime->events(settings.since.value_or(*last));
  if (!events) return fail(events.error(), settings.json);
  return follow(*events, settings, id);
}

}  // namespace caisson::cli
