// Files' inside: a session with a process in the box that works with its files.
#pragma once

#include <functional>
#include <mutex>
#include <span>

#include "caisson/files.h"
#include "engine/box_impl.h"
#include "files/protocol.h"
#include "files/tar_reader.h"
#include "files/tar_writer.h"

namespace caisson {

class Files::Impl final {
 public:
  /// `running`: fail with `box_not_running` rather than serve one that does not run.
  static Result<std::shared_ptr<Impl>> open(std::shared_ptr<const Box::Impl> box, bool running);

  /// Takes data that come with the answer, a frame's at a time.
  using Taker = std::function<Result<>(std::string_view)>;
  /// Asks and waits for the answer.
  Result<files::Answer> ask(const files::Request& request, const Taker& taker = {});
  /// Asks, and sends what `give` passes to its sink. An answer that comes before the end is an
  /// error's, and `give`'s next piece fails with it.
  Result<files::Answer> send(const files::Request& request,
                             const std::function<Result<>(const files::Sink&)>& give);

  /// Asks, and lets `use` read the data that come. A hostile box may send any.
  Result<files::Answer> receive(const files::Request& request,
                                const std::function<Result<>(const files::Source&)>& use);

  /// The session itself, for a watch.
  engine::Channel& session() { return session_; }
  const std::shared_ptr<const Box::Impl>& box() const { return box_; }
  /// Writes the audit log's entry of something that was done, or that failed and may be done in
  /// part; the error if it is one.
  Result<> told(std::string_view way, std::string_view path,
                const Result<files::Answer>& answer) const;

  std::mutex& mutex() { return mutex_; }

 private:
  Impl(std::shared_ptr<const Box::Impl> box, engine::Channel shim, engine::Channel session)
      : box_(std::move(box)), shim_(std::move(shim)), session_(std::move(session)) {}
  Result<> put(const files::Request& request);
  Result<files::Answer> answer(const Taker& taker);

  std::shared_ptr<const Box::Impl> box_;
  engine::Channel shim_;  ///< as long as it is there, so is the process
  engine::Channel session_;
  std::mutex mutex_;
  bool broken_ = false;  ///< left in the middle of something
};

}  // namespace caisson
