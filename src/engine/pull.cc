#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "engine/audit.h"
#include "engine/channel.h"
#include "engine/pull_impl.h"

namespace caisson {

namespace {

constexpr std::size_t kMostEvents = 4096, kMostImages = 10'000, kMostLayers = 1'000'000;

}  // namespace

Pull::Pull(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Pull::Pull(Pull&&) noexcept = default;
Pull& Pull::operator=(Pull&&) noexcept = default;
Pull::~Pull() = default;

int Pull::fd() const { return impl_->fd(); }
Result<std::optional<PullEvent>> Pull::next_event(Deadline deadline) {
  return impl_->next_event(deadline);
}
Result<std::vector<ImageInfo>> Pull::wait(Deadline deadline) { return impl_->wait(deadline); }

Result<std::unique_ptr<Pull::Impl>> Pull::Impl::create(std::shared_ptr<const Runtime::Impl> runtime,
                                                       engine::PullPlan plan) {
  std::unique_ptr<Impl> impl(new Impl(std::move(runtime), std::move(plan)));
  impl->epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  impl->ended_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!impl->epoll_ || !impl->ended_) return sys_error("create event descriptor", "");
  TRY(impl->watch(impl->ended_.get()));
  if (!impl->plan_.known.empty()) {
    impl->done_ = true;
    impl->published_ = {impl->plan_.known};
    [[maybe_unused]] const int woken = ::eventfd_write(impl->ended_.get(), 1);
    return impl;
  }
  TRY(engine::clear_staging(*impl->runtime_));
  TRY(impl->start());
  return impl;
}

Result<> Pull::Impl::watch(int fd) const {
  epoll_event event{};
  event.events = EPOLLIN;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) return sys_error("watch pull", "");
  return {};
}

Result<> Pull::Impl::start() {
  process_.reset();
  staging_.reset();
  fetched_ = {};
  fetched_.digest = plan_.request.digest;
  const engine::FetchDirectories directories = TRY(engine::open_fetch_directories(*runtime_));
  staging_.emplace(TRY(engine::Staging::make(*runtime_)));
  plan_.request.id = staging_->id();
  std::vector<int> fds = directories.numbers();
  if (plan_.opened) fds.push_back(plan_.opened.get());
  process_.emplace(
      TRY(engine::FetchProcess::start(*runtime_, plan_.request, fds, staging_->lock())));
  return watch(process_->socket());
}

/// What a source says of names is believed only of archives: what a registry sends gets the name
/// that was asked for.
void Pull::Impl::check_names(image::ImageReady& ready) const {
  const std::string& asked = plan_.request.name;
  if (!asked.empty() || !plan_.take_names) {
    ready.names.clear();
    if (!asked.empty()) ready.names.push_back(asked);
    return;
  }
  std::erase_if(ready.names, [](const std::string& name) {
    const auto ref = spec::parse_image_ref(name);
    return !ref || spec::canonical(*ref) != name;
  });
}

/// Who tells of an error may know the layer alone.
Error Pull::Impl::about_source(Error error) const {
  if (error.reason == "disk_full") error.hint = "caisson prune --grace 0s makes room";
  const std::string source = format("pull '{}'", plan_.request.reference);
  return error.message.starts_with(source) ? error : with_context(std::move(error), source);
}

void Pull::Impl::on_message(image::FetchMessage message) {
  if (auto* event = std::get_if<PullEvent>(&message)) {
    // Who only waits for the end takes none.
    if (events_.size() >= kMostEvents) events_.pop_front();
    events_.push_back(std::move(*event));
  } else if (auto* layer = std::get_if<image::LayerReady>(&message)) {
    if (fetched_.layers.size() < kMostLayers) fetched_.layers.push_back(std::move(*layer));
  } else if (auto* ready = std::get_if<image::ImageReady>(&message)) {
    check_names(*ready);
    const std::size_t most = plan_.request.name.empty() ? kMostImages : 1;
    if (fetched_.images.size() >= most)
      error_ = about_source(
          make_error(Code::kInternal, "protocol_error", "caisson-fetch brings too many images"));
    else
      fetched_.images.push_back(std::move(*ready));
  } else if (auto* error = std::get_if<Error>(&message)) {
    error_ = about_source(std::move(*error));
  } else {
    done_ = true;
  }
}

/// One message.
Result<> Pull::Impl::take(const Deadline& deadline) {
  std::optional<image::FetchMessage> message = TRY(process_->receive(deadline));
  if (message) {
    on_message(std::move(*message));
  } else {
    // Silence before the end is an error; how the process ended says which.
    const Result<> ended = process_->finish(in(std::chrono::seconds(10)));
    error_ = ended ? make_error(Code::kInternal, "fetch_died",
                                "fetch image: caisson-fetch ended without a word")
                   : ended.error();
  }
  if (over()) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, process_->socket(), nullptr);
    [[maybe_unused]] const int woken = ::eventfd_write(ended_.get(), 1);
  }
  return {};
}

Result<std::optional<PullEvent>> Pull::Impl::next_event(const Deadline& deadline) {
  while (events_.empty() && !over()) TRY(take(deadline));
  if (events_.empty()) return std::optional<PullEvent>();
  std::optional<PullEvent> event(std::move(events_.front()));
  events_.pop_front();
  return event;
}

/// After the last message: the process goes, and what it brought is published.
Result<> Pull::Impl::end(const Deadline& deadline) {
  if (process_) {
    Result<> finished = process_->finish(deadline ? deadline : in(std::chrono::seconds(30)));
    if (!finished && finished.error().code == Code::kDeadlineExceeded && deadline)
      return finished.error();
    process_.reset();
    if (!finished && !error_) error_ = finished.error();
  }
  if (error_) {
    staging_.reset();
    return *error_;
  }
  Result<std::vector<std::string>> ids = engine::publish(*runtime_, fetched_, staging_->id());
  if (ids) {
    for (const std::string& id : *ids) engine::tell_pulled(*runtime_, id, plan_.request.reference);
    staging_.reset();
    published_ = std::move(*ids);
    return {};
  }
  const bool vanished =
      ids.error().reason == "image_vanished" || ids.error().reason == "blob_missing";
  if (!vanished || retried_) {
    error_ = ids.error();
    staging_.reset();
    return *error_;
  }
  retried_ = true;
  done_ = false;
  return start();
}

Result<std::vector<std::string>> Pull::Impl::finish(const Deadline& deadline) {
  while (!published_) {
    while (!over()) TRY(take(deadline));
    TRY(end(deadline));
  }
  return *published_;
}

Result<std::vector<ImageInfo>> Pull::Impl::wait(const Deadline& deadline) {
  std::vector<ImageInfo> images;
  for (const std::string& id : TRY(finish(deadline)))
    images.push_back(TRY(engine::info_of_image(*runtime_, id)));
  return images;
}

}  // namespace caisson
