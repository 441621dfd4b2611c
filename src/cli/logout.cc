// caisson logout: forget the credentials of a registry.
#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/each_image.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct Settings {};

constexpr CommandText kText = {"logout", "[REGISTRY]",
                               "Forget the credentials of a registry (default docker.io).",
                               "  caisson logout registry.example\n"};

}  // namespace

int logout_command(Args args) {
  Settings settings;
  std::vector<std::string> words;
  if (auto done = parse<Settings>(kText, {}, Order::kAnywhere, args, settings, words)) return *done;
  Result<std::string> registry = words.empty() ? Result<std::string>(std::string())
                                               : only_argument("logout", "REGISTRY", words);
  if (!registry) return fail(registry.error());
  auto runtime = Runtime::open();
  if (!runtime) return fail(runtime.error());
  auto known = runtime->images().logout(*registry);
  if (!known) return fail(known.error());
  const std::string name = escape(registry->empty() ? "docker.io" : *registry);
  return print(*known ? "Logged out of " + name + "\n" : "Not logged in to " + name + "\n");
}

}  // namespace caisson::cli
