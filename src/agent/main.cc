// caisson-agent: the first process of a guest (docs/formats/guest.md).
#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "agent/machine.h"
#include "agent/server.h"
#include "guest/protocol.h"

namespace {

using caisson::Result;

Result<> serve() {
  TRY(caisson::agent::mount_basics());
  TRY(caisson::agent::load_modules());
  caisson::Fd port = TRY(caisson::agent::open_port(caisson::guest::kPort));
  const auto server = TRY(caisson::agent::Server::create(std::move(port)));
  return server->run();
}

}  // namespace

int main() {
  if (::getpid() != 1) {
    std::fputs("caisson-agent: the first process of a guest, not started by hand\n", stderr);
    return 125;
  }
  ::signal(SIGPIPE, SIG_IGN);
  // The console is kept by the host, which shows its end when a guest does not come up.
  if (const Result<> served = serve(); !served)
    std::fprintf(stderr, "caisson-agent: %s\n", served.error().message.c_str());
  caisson::agent::power_off();
  return 1;  // of the first process: the kernel panics, and the machine ends
}
