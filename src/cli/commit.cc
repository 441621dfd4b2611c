// caisson commit: an image of a box.
#include "caisson/runtime.h"
#include "cli/commands.h"

namespace caisson::cli {
namespace {

struct Settings {
  std::string message;
};

constexpr CommandText kText = {
    "commit", "[OPTIONS] BOX [NAME]",
    "Make an image of a box as it is and print its id: the layers of its image, and what it has\n"
    "changed as one more. A box that runs stands still for it. Volumes and memory file systems "
    "are\n"
    "no part of it.",
    "  caisson commit worker localhost/worker:1\n"
    "  caisson image save -o worker.tar localhost/worker:1   # for skopeo, docker load\n"};

constexpr Option<Settings> kOptions[] = {
    {{"-m,--message", "TEXT", "a comment for the image's history"}, set_text<&Settings::message>},
};

}  // namespace

int commit_command(Args args) {
  Settings settings;
  std::vector<std::string> words;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, words)) {
    return *done;
  }
  if (words.empty() || words.size() > 2) {
    return fail(usage_error("commit", words.empty() ? "argument_missing" : "argument_unexpected",
                            words.empty() ? "BOX is missing" : "it takes a box and a name",
                            "caisson commit BOX NAME"));
  }
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error());
  auto box = runtime->find(words[0]);
  if (!box) return fail(box.error());
  auto id = box->commit(words.size() == 2 ? words[1] : "", settings.message);
  return id ? print(*id + "\n") : fail(id.error());
}

}  // namespace caisson::cli
