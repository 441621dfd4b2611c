// FetchProcess: our side of one caisson-fetch (docs/formats/fetch.md).
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "engine/home.h"
#include "image/fetch_protocol.h"

namespace caisson::engine {

/// Dropping it ends the process, and with it all that it has started.
class FetchProcess final {
 public:
  /// `lock`: a descriptor that the processes keep open as long as there is one of them; may be -1.
  static Result<FetchProcess> start(const Runtime::Impl& runtime,
                                    const image::FetchRequest& request, const std::vector<int>& fds,
                                    int lock);
  FetchProcess(FetchProcess&& other) noexcept
      : socket_(std::move(other.socket_)), pidfd_(std::move(other.pidfd_)) {}
  FetchProcess& operator=(FetchProcess&&) = delete;
  ~FetchProcess();

  /// Polls readable when `receive` has something.
  int socket() const { return socket_.get(); }
  /// Polls readable when the process has ended.
  int process() const { return pidfd_.get(); }

  /// The next message; absent when there will be no more. Errors: `deadline_passed`.
  Result<std::optional<image::FetchMessage>> receive(const Deadline& deadline);
  /// Waits for the end. Errors: `deadline_passed`; `fetch_died` unless it ended with status 0.
  Result<> finish(const Deadline& deadline);

 private:
  FetchProcess(Fd socket, Fd pidfd) : socket_(std::move(socket)), pidfd_(std::move(pidfd)) {}

  Fd socket_, pidfd_;
};

/// The descriptors that come with a request: fetch/, blobs/sha256/ and layers/ of the home.
struct FetchDirectories {
  Fd fetch, blobs, layers;
  std::vector<int> numbers() const { return {fetch.get(), blobs.get(), layers.get()}; }
};
/// Makes what is missing.
Result<FetchDirectories> open_fetch_directories(const Runtime::Impl& runtime);

/// A directory fetch/staging/<id>/ of our own. Whoever finds it unlocked may remove it.
class Staging final {
 public:
  static Result<Staging> make(const Runtime::Impl& runtime);
  Staging(Staging&&) = default;
  Staging& operator=(Staging&&) = delete;
  /// Removes it with all that is in it.
  ~Staging();

  const std::string& id() const { return id_; }
  int lock() const { return lock_.get(); }

 private:
  Staging(const Runtime::Impl& runtime, std::string id, Fd lock)
      : runtime_(&runtime), id_(std::move(id)), lock_(std::move(lock)) {}

  const Runtime::Impl* runtime_;
  std::string id_;
  Fd lock_;
};

/// Removes what ended pulls have left in fetch/staging/.
Result<> clear_staging(const Runtime::Impl& runtime);

}  // namespace caisson::engine
