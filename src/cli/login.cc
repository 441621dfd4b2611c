// caisson login: credentials of a registry.
#include <unistd.h>

#include "caisson/runtime.h"
#include "cli/commands.h"
#include "cli/each_image.h"
#include "cli/prompt.h"
#include "cli/text.h"

namespace caisson::cli {
namespace {

struct Settings {
  std::string user;
  bool from_stdin = false;
};

constexpr CommandText kText = {
    "login", "[OPTIONS] [REGISTRY]",
    "Check a name and a password against a registry (default docker.io) and keep them as docker\n"
    "does, for pulls. They are asked for at the terminal.",
    "  caisson login registry.example\n"
    "  caisson login -u me --password-stdin 127.0.0.1:5000 < password\n"};

constexpr Option<Settings> kOptions[] = {
    {{"-u,--username", "USER", "name of the user"}, set_text<&Settings::user>},
    {{"--password-stdin", "", "read the password from standard input"},
     set_true<&Settings::from_stdin>},
};

struct Credentials {
  std::string user;
  std::string password;
  int signal = 0;
};

Result<Credentials> ask_for_credentials(const Settings& settings, SignalCatcher& signals) {
  if (::isatty(STDIN_FILENO) != 1) {
    return cli_error(Code::kInvalidArgument, "not_a_terminal",
                     "ask for the password on 'stdin': it is no terminal",
                     "caisson login -u USER --password-stdin");
  }
  Credentials found{.user = settings.user, .password = {}};
  if (found.user.empty()) {
    auto user = ask("Username: ", false, signals);
    if (!user) return std::move(user.error());
    if (user->signal != 0) return Credentials{.signal = user->signal};
    found.user = user->text;
  }
  auto password = ask("Password: ", true, signals);
  if (!password) return std::move(password.error());
  found.password = password->text;
  found.signal = password->signal;
  return found;
}

Result<Credentials> credentials(const Settings& settings, SignalCatcher& signals) {
  constexpr std::size_t kMaxPassword = 64u << 10;
  if (!settings.from_stdin) return ask_for_credentials(settings, signals);
  if (settings.user.empty()) {
    return usage_error("login", "argument_missing", "--password-stdin needs -u USER");
  }
  auto password = read_secret_from_stdin(kMaxPassword, signals);
  if (!password) return std::move(password.error());
  return Credentials{settings.user, password->text, password->signal};
}

Result<int> login(const Settings& settings, const std::string& registry) {
  Result<Credentials> found = Credentials{};
  {
    auto signals = SignalCatcher::install();
    if (!signals) return std::move(signals.error());
    found = credentials(settings, *signals);
  }
  if (!found) return std::move(found.error());
  if (found->signal != 0) return 128 + found->signal;
  if (found->user.empty() || found->password.empty()) {
    return usage_error("login", "argument_missing",
                       found->user.empty() ? "the user's name is empty" : "the password is empty");
  }
  auto runtime = Runtime::open();
  if (!runtime) return std::move(runtime.error());
  auto done = runtime->images().login(registry, found->user, found->password);
  if (!done) return std::move(done.error());
  return print("Logged in to " + escape(registry.empty() ? "docker.io" : registry) + "\n");
}

}  // namespace

int login_command(Args args) {
  Settings settings;
  std::vector<std::string> words;
  if (auto done = parse<Settings>(kText, kOptions, Order::kAnywhere, args, settings, words)) {
    return *done;
  }
  Result<std::string> registry = words.empty() ? Result<std::string>(std::string())
                                               : only_argument("login", "REGISTRY", words);
  if (!registry) return fail(registry.error());
  auto status = login(settings, *registry);
  return status ? *status : fail(status.error());
}

}  // namespace caisson::cli
