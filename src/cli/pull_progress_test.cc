#include "cli/pull_progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/text.h"

namespace caisson::cli {
namespace {

using State = PullEvent::State;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

PullEvent resolved(std::size_t layers) {
  return {.kind = PullEvent::Kind::kResolved, .layers = layers, .digest = "sha256:abc"};
}

PullEvent layer(std::size_t index, State state, std::uint64_t current, std::uint64_t total) {
  return {.kind = PullEvent::Kind::kLayer,
          .state = state,
          .layer = index,
          .digest = "sha256:" + std::to_string(index) + "123456789abcdef",
          .current = current,
          .total = total};
}

PullEvent retry(std::string text) {
  return {.kind = PullEvent::Kind::kRetry, .text = std::move(text)};
}

std::string lines_of(PullProgress& progress, const PullEvent& event) {
  progress.add(event);
  return progress.lines();
}

TEST(PullProgress, LinesAtBeginningAndEndOfALayerOnly) {
  PullProgress progress("docker://alpine:3.20");
  EXPECT_EQ(lines_of(progress, resolved(2)), "");
  EXPECT_EQ(lines_of(progress, layer(1, State::kCached, 0, 9)), "");
  EXPECT_EQ(lines_of(progress, layer(0, State::kDownloading, 0, 2048)),
            "alpine:3.20: 2 layers\n0123456789ab: downloading 2.0 KiB\n");
  EXPECT_EQ(lines_of(progress, layer(0, State::kDownloading, 1024, 2048)), "");
  EXPECT_EQ(lines_of(progress, layer(0, State::kUnpacking, 2048, 2048)), "");
  EXPECT_EQ(lines_of(progress, layer(0, State::kDone, 2048, 2048)), "0123456789ab: done\n");
  EXPECT_EQ(lines_of(progress, layer(0, State::kDone, 2048, 2048)), "");
}

TEST(PullProgress, NothingIsShownWhenNothingIsFetched) {
  PullProgress progress("alpine");
  std::string lines = lines_of(progress, resolved(1));
  lines += lines_of(progress, layer(0, State::kWaiting, 0, 5));
  lines += lines_of(progress, layer(0, State::kCached, 0, 5));
  EXPECT_EQ(lines, "");
  EXPECT_THAT(progress.screen(80, 24), IsEmpty());
}

TEST(PullProgress, BarsFitTheScreen) {
  PullProgress progress("alpine");
  progress.add(resolved(3));
  progress.add(layer(0, State::kDownloading, 50 << 20, 100 << 20));
  progress.add(layer(1, State::kDone, 10, 10));
  const auto lines = progress.screen(80, 24);
  ASSERT_THAT(lines, SizeIs(4));
  EXPECT_EQ(lines[0], "alpine: 1 of 3 layers, 50.0 MiB of 100.0 MiB");
  EXPECT_THAT(lines[1], StartsWith("  0123456789ab  downloading   [====="));
  EXPECT_THAT(lines[1], HasSubstr(">"));
  EXPECT_THAT(lines[1], HasSubstr("50.0 MiB / 100.0 MiB"));
  EXPECT_THAT(lines[2], HasSubstr("done"));
  for (std::size_t columns : {1u, 20u, 40u, 61u, 80u, 200u}) {
    for (const std::string& line : progress.screen(columns, 24)) {
      EXPECT_LT(columns_of(line), std::max<std::size_t>(columns, 20)) << columns;
    }
  }
}

TEST(PullProgress, MoreLayersThanRowsShowWhatIsBusy) {
  PullProgress progress("alpine");
  progress.add(resolved(100));
  for (std::size_t i : {3u, 50u, 99u}) progress.add(layer(i, State::kDownloading, 1, 2));
  EXPECT_THAT(progress.screen(80, 24), SizeIs(4));
  for (std::size_t i = 0; i < 100; ++i) progress.add(layer(i, State::kUnpacking, 1, 2));
  EXPECT_THAT(progress.screen(80, 24), SizeIs(23));
  EXPECT_THAT(progress.screen(80, 0), SizeIs(2));
}

TEST(PullProgress, NothingInItActsOnATerminal) {
  PullProgress progress("docker://\x1b[2J\n");
  progress.add(resolved(1));
  PullEvent evil = layer(0, State::kDownloading, 1, 0);
  evil.digest = "sha256:\x1b]0;x\x07";
  EXPECT_THAT(lines_of(progress, evil), Not(HasSubstr("\x1b")));
  EXPECT_THAT(progress.screen(80, 24), Each(Not(HasSubstr("\x1b"))));
  EXPECT_THAT(lines_of(progress, retry("a\nb\x1b[1A")), HasSubstr("a\\x0ab\\x1b[1A\n"));
  EXPECT_THAT(progress.take_notes(), Not(HasSubstr("\x1b")));
  EXPECT_EQ(progress.take_notes(), "");
}

TEST(PullProgress, WildNumbersAreNoTrouble) {
  PullProgress progress("alpine");
  progress.add(resolved(static_cast<std::size_t>(-1)));
  progress.add(layer(static_cast<std::size_t>(-1), State::kDownloading, 1, 2));
  progress.add(layer(0, State::kDownloading, ~0ull, 1));
  progress.add(layer(1, State::kDownloading, 1, ~0ull));
  EXPECT_THAT(progress.screen(80, 24), Not(IsEmpty()));
}

TEST(Redraw, GoesUpOverWhatStandsThere) {
  Redraw redraw;
  EXPECT_EQ(redraw.draw("", {"one", "two"}, 80), "one\ntwo\n");
  EXPECT_EQ(redraw.draw("note\n", {"three"}, 80), "\x1b[2A\r\x1b[Jnote\nthree\n");
  EXPECT_EQ(redraw.draw("", {"four"}, 80), "\x1b[1A\r\x1b[Jfour\n");
}

TEST(Redraw, ANarrowerTerminalHasWrappedTheLines) {
  Redraw redraw;
  redraw.draw("", {std::string(70, 'x'), "y"}, 80);
  EXPECT_THAT(redraw.draw("", {"z"}, 30), StartsWith("\x1b[4A"));
}

}  // namespace
}  // namespace caisson::cli
