// What a hostile guest may send: frames of the channel, and the messages in them.
#include <sys/socket.h>

#include <cstdint>

#include "guest/link.h"
#include "guest/protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace caisson;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const Result<guest::FromGuest> message = guest::decode_from_guest(bytes))
    if (!guest::decode_from_guest(guest::encode(*message))) __builtin_trap();
  if (const Result<guest::ToGuest> message = guest::decode_to_guest(bytes))
    if (!guest::decode_to_guest(guest::encode(*message))) __builtin_trap();

  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0) return 0;
  Fd peer(fds[1]);
  Result<guest::Link> link = guest::Link::create(Fd(fds[0]));
  Pipe in = make_pipe().value(), out = make_pipe().value();
  if (!link || !link->read_from(4, std::move(in.read)) || !link->write_to(5, std::move(out.write)))
    return 0;
  if (::send(peer.get(), data, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) return 0;
  const auto decode = [](const wire::Frame& frame) -> Result<> {
    TRY(guest::decode_from_guest(frame.payload));
    return {};
  };
  for (int i = 0; i < 4 && link->run(decode); ++i) {
  }
  return 0;
}
