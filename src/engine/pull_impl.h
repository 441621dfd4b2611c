// Pull's inside.
#pragma once

#include <deque>

#include "caisson/image.h"
#include "engine/fetch.h"
#include "engine/publish.h"
#include "spec/image_ref.h"

namespace caisson::engine {

/// What a pull does, decided before anything is started.
struct PullPlan {
  spec::ImageSource source;
  image::PullRequest request;  ///< without its id
  Fd opened;                   ///< the directory or archive
  /// The image that is here already, so that nothing has to be fetched; may be empty.
  std::string known;
  /// Whether names that an archive gives its images are taken over.
  bool take_names = true;
};

/// Errors: `reference_invalid`, `source_unknown`, `source_missing`, `platform_invalid`,
/// `image_not_found` (policy never), those of the registries' configuration and of credentials.
Result<PullPlan> plan_pull(const Runtime::Impl& runtime, const PullSpec& spec);

/// Takes in the image of a layout or an archive under no name: who makes one of it gives the names.
Result<std::string> take_nameless(const std::shared_ptr<const Runtime::Impl>& runtime,
                                  const std::string& source, const std::string& platform);

/// ImageInfo of a row; reads the configuration.
Result<ImageInfo> info_of(const Runtime::Impl& runtime, const store::ImageRow& row);
/// The same by id. Errors: `image_not_found`.
Result<ImageInfo> info_of_image(const Runtime::Impl& runtime, const std::string& id);

}  // namespace caisson::engine

namespace caisson {

class Pull::Impl final {
 public:
  static Result<std::unique_ptr<Impl>> create(std::shared_ptr<const Runtime::Impl> runtime,
                                              engine::PullPlan plan);

  int fd() const { return epoll_.get(); }
  Result<std::optional<PullEvent>> next_event(const Deadline& deadline);
  /// Waits to the end and returns the ids of the images.
  Result<std::vector<std::string>> finish(const Deadline& deadline);
  Result<std::vector<ImageInfo>> wait(const Deadline& deadline);

 private:
  Impl(std::shared_ptr<const Runtime::Impl> runtime, engine::PullPlan plan)
      : runtime_(std::move(runtime)), plan_(std::move(plan)) {}
  Result<> start();
  Result<> watch(int fd) const;
  Result<> take(const Deadline& deadline);
  void on_message(image::FetchMessage message);
  void check_names(image::ImageReady& ready) const;
  Error about_source(Error error) const;
  Result<> end(const Deadline& deadline);
  bool over() const { return done_ || error_.has_value(); }

  const std::shared_ptr<const Runtime::Impl> runtime_;  // shared: a Pull may outlive the Runtime
  engine::PullPlan plan_;
  Fd epoll_;
  Fd ended_;  // an eventfd that keeps fd() readable after the last event
  std::optional<engine::Staging> staging_;
  std::optional<engine::FetchProcess> process_;  // after staging_: it is gone when that is removed
  std::deque<PullEvent> events_;
  engine::Fetched fetched_;
  std::optional<Error> error_;
  bool done_ = false, retried_ = false;
  std::optional<std::vector<std::string>> published_;
};

}  // namespace caisson
