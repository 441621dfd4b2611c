// Server: does what the host asks of its guest. One sandbox, which the container module makes as it
// does on a host.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>

#include "agent/compare.h"
#include "backend/sandbox.h"
#include "container/prepare.h"
#include "guest/link.h"
#include "guest/protocol.h"

namespace caisson::agent {

class Server final {
 public:
  /// `port`: the channel to the host.
  static Result<std::unique_ptr<Server>> create(Fd port);
  /// Serves until the host wants the machine off, or is gone; or until an error.
  Result<> run();

 private:
  Server(guest::Link link, container::Preparation preparation)
      : link_(std::move(link)), preparation_(std::move(preparation)) {}

  void tell(const guest::FromGuest& message);
  Result<> on_message(const wire::Frame& frame);
  Result<> handle(const guest::Wake& message);
  Result<> handle(guest::Start message);
  Result<> handle(const guest::Compare& message);
  Result<> handle(const guest::Spawn& message);
  Result<> handle(const guest::ServeFiles& message);
  Result<> handle(const guest::Signal& message);
  Result<> handle(const guest::Resize& message);
  Result<> handle(const guest::AskFigures& message);
  Result<> handle(const guest::Freeze& message);
  Result<> handle(const guest::Thaw& message);
  Result<> handle(const guest::End& message);
  Result<> handle(const guest::PowerOff& message);

  Result<> thaw();
  Result<> start(guest::Start message);
  Result<> spawn(const guest::Spawn& message);
  Result<> serve_files(backend::ProcessId id);
  void tell_failed(backend::ProcessId id, const Error& error);
  Result<> compare(const guest::Compare& message);
  void on_compared();
  void on_sandbox();
  guest::Figures figures();

  guest::Link link_;
  std::optional<container::Preparation> preparation_;  ///< until there is a box
  std::string hostname_;                               ///< of the box
  int init_pid_ = 0;                                   ///< of the box, which was made
  std::unique_ptr<backend::Sandbox> sandbox_;
  std::optional<Comparison> comparison_;
  std::set<backend::ProcessId> running_;        ///< asked for, and not told to have ended
  std::map<backend::ProcessId, Fd> terminals_;  ///< masters
  guest::Figures last_;                         ///< of the box that is gone
  bool frozen_ = false, off_ = false;
};

}  // namespace caisson::agent
