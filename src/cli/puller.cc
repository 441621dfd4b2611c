#include "cli/puller.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "cli/io.h"
#include "cli/json_output.h"
#include "cli/pull_progress.h"
#include "cli/report.h"
#include "cli/signals.h"
#include "cli/terminal.h"

namespace caisson::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr auto kFrame = milliseconds(100);
constexpr auto kLook = milliseconds(20);  // a descriptor that stays readable must not spin

bool is_timeout(const Error& error) { return error.code == Code::kDeadlineExceeded; }

bool draws_bars() {
  const char* kind = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && kind != nullptr && std::string_view(kind) != "dumb";
}

class View {
 public:
  virtual ~View() = default;
  /// False: nobody reads it any more.
  virtual bool show(const PullEvent& event) = 0;
  /// Milliseconds until it wants to draw; -1: it waits for events only.
  virtual int pause() const { return -1; }
  virtual void draw() {}
  virtual void finish() {}
};

class NoView final : public View {
 public:
  bool show(const PullEvent&) override { return true; }
};

class JsonView final : public View {
 public:
  bool show(const PullEvent& event) override { return print(event_object(event) + "\n") == 0; }
};

class LineView final : public View {
 public:
  explicit LineView(const std::string& source) : progress_(source) {}
  // Lost messages do not stop the work.
  bool show(const PullEvent& event) override {
    progress_.add(event);
    (void)write_all(STDERR_FILENO, progress_.lines());
    return true;
  }

 private:
  PullProgress progress_;
};

class BarView final : public View {
 public:
  explicit BarView(const std::string& source) : progress_(source) {}

  bool show(const PullEvent& event) override {
    progress_.add(event);
    if (!changed_) next_ = std::max(next_, steady_clock::now());
    changed_ = true;
    return true;
  }

  int pause() const override {
    if (!changed_) return -1;
    const auto left = std::chrono::ceil<milliseconds>(next_ - steady_clock::now());
    return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
  }

  void draw() override {
    if (!changed_ || steady_clock::now() < next_) return;
    draw_now();
  }

  void finish() override { draw_now(); }

 private:
  void draw_now() {
    const TerminalSize size = terminal_size().value_or(TerminalSize{24, 80});
    const std::string notes = progress_.take_notes();
    (void)write_all(STDERR_FILENO,
                    redraw_.draw(notes, progress_.screen(size.columns, size.rows), size.columns));
    changed_ = false;
    next_ = steady_clock::now() + kFrame;
  }

  PullProgress progress_;
  Redraw redraw_;
  bool changed_ = false;
  steady_clock::time_point next_{};
};

std::unique_ptr<View> make_view(const std::string& source, Show show) {
  if (show == Show::kNothing) return std::make_unique<NoView>();
  if (show == Show::kJson) return std::make_unique<JsonView>();
  if (draws_bars()) return std::make_unique<BarView>(source);
  return std::make_unique<LineView>(source);
}

/// One pull between its events and our signals.
class Puller {
 public:
  Puller(Pull& pull, SignalCatcher& signals, View& view)
      : pull_(pull), signals_(signals), view_(view) {}

  /// Whether the pull was over before it began: what is here needs no fetching. Asking wait()
  /// for the image would cost a start more than all of this. (A pull that failed as fast is no
  /// harm: making the box tries again.)
  Result<bool> had_nothing_to_do() {
    auto looked = take_events();
    if (!looked) return std::move(looked.error());
    return events_over_ && !shown_;
  }

  Result<Pulled> run() {
    while (!done_ && result_.signal == 0 && !result_.output_closed) {
      auto step = events_over_ ? take_images() : take_events();
      if (!step) {
        view_.finish();
        return std::move(step.error());
      }
      if (!done_) wait_for_something();
      view_.draw();
    }
    view_.finish();
    return std::move(result_);
  }

 private:
  Result<> take_events() {
    // Now and then a look at signals and the clock, however fast events come.
    for (int i = 0; i < 256; ++i) {
      auto event = pull_.next_event(in(milliseconds(0)));
      if (!event && is_timeout(event.error())) return waiting_ = false, Result<>();
      if (!event) return std::move(event.error());
      if (!*event) return events_over_ = true, Result<>();
      shown_ = true;
      if (!view_.show(**event)) return result_.output_closed = true, Result<>();
    }
    return {};
  }

  Result<> take_images() {
    auto images = pull_.wait(in(kLook));
    if (!images && is_timeout(images.error())) return waiting_ = false, Result<>();
    if (!images) return std::move(images.error());
    result_.images = *std::move(images);
    done_ = true;
    return {};
  }

  void wait_for_something() {
    std::array<pollfd, 2> events = {{{pull_.fd(), POLLIN, 0}, {signals_.fd(), POLLIN, 0}}};
    ::poll(events.data(), events.size(), waiting_ ? 0 : view_.pause());
    waiting_ = true;
    while (auto number = signals_.next()) {
      if (*number == SIGINT || *number == SIGTERM || *number == SIGHUP || *number == SIGQUIT) {
        result_.signal = *number;
      }
    }
  }

  Pull& pull_;
  SignalCatcher& signals_;
  View& view_;
  bool events_over_ = false;
  bool shown_ = false;
  bool done_ = false;
  bool waiting_ = true;  // there may be more without a new event
  Pulled result_;
};

}  // namespace

Result<Pulled> pull_images(Images& images, const PullSpec& spec, Show show) {
  auto signals = SignalCatcher::install();
  if (!signals) return std::move(signals.error());
  auto pull = images.pull(spec);
  if (!pull) return std::move(pull.error());
  const auto view = make_view(spec.source, show);
  Puller puller(*pull, *signals, *view);
  if (spec.policy == PullPolicy::kMissing) {
    auto here = puller.had_nothing_to_do();
    if (!here) return std::move(here.error());
    if (*here) return Pulled{};
  }
  return puller.run();
}

int report_interrupted(const std::string& source, int signal, bool json) {
  fail(cli_error(Code::kCancelled, "interrupted", "pull '" + source + "': interrupted",
                 "the next pull goes on where this one stopped"),
       json);
  return 128 + signal;
}

}  // namespace caisson::cli
