// caisson image tag: one more name for an image.
#include "caisson/runtime.h"
#include "cli/commands.h"

namespace caisson::cli {
namespace {

struct Settings {};

constexpr CommandText kText = {
    "image tag", "IMAGE NAME[:TAG]",
    "Give IMAGE one more name. Another image that had the name loses it.",
    "  caisson image tag alpine:3.20 localhost:5000/base:1\n"};

}  // namespace

int image_tag_command(Args args) {
  Settings settings;
  std::vector<std::string> words;
  if (auto done = parse<Settings>(kText, {}, Order::kAnywhere, args, settings, words)) return *done;
  if (words.size() < 2) {
    return fail(usage_error("image tag", "argument_missing",
                            words.empty() ? "IMAGE is missing" : "NAME is missing"));
  }
  if (words.size() > 2) {
    return fail(usage_error("image tag", "argument_unexpected",
                            "'" + words[2] + "' is one too many, it takes one NAME"));
  }
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error());
  auto tagged = runtime->images().tag(words[0], words[1]);
  return tagged ? 0 : fail(tagged.error());
}

}  // namespace caisson::cli
