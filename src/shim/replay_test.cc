#include "shim/replay.h"

#include <gtest/gtest.h>

#include <random>

namespace caisson::shim {
namespace {

struct Got {
  std::string streams[2];
  std::uint64_t first[2] = {UINT64_MAX, UINT64_MAX};
};

void read_all(const Replay& replay, Replay::Cursor& cursor, Got& got, std::uint64_t max = 7) {
  while (const auto piece = replay.next(cursor, max)) {
    std::string& stream = got.streams[piece->stream - 1];
    std::uint64_t& first = got.first[piece->stream - 1];
    if (first == UINT64_MAX) first = piece->offset;
    EXPECT_EQ(piece->offset, first + stream.size());
    stream += piece->bytes;
  }
}

TEST(Replay, GivesBackWhatWasWrittenFromAnywhere) {
  Replay replay("/tmp", 1000);
  replay.append(1, "hello ");
  replay.append(1, "world");
  replay.append(2, "oops");
  replay.append(1, "!");
  for (std::uint64_t had = 0; had <= 12; ++had) {
    Replay::Cursor cursor{{had, 2}};
    Got got;
    read_all(replay, cursor, got);
    EXPECT_EQ(got.streams[0], std::string("hello world!").substr(had));
    EXPECT_EQ(got.streams[1], "ps");
    EXPECT_FALSE(replay.next(cursor, 0));
    EXPECT_FALSE(replay.next(cursor, 10));
  }
}

TEST(Replay, GoesOnWhereACursorWasAtTheEnd) {
  Replay replay("/tmp", 100);
  Replay::Cursor cursor;
  Got got;
  std::string all;
  for (int i = 0; i < 100; ++i) {
    const std::string piece = std::to_string(i) + " ";
    all += piece;
    replay.append(1, piece);
    read_all(replay, cursor, got);
  }
  EXPECT_EQ(got.streams[0], all);
}

TEST(Replay, KeepsTheNewestAndSaysWhatIsMissing) {
  Replay replay("/tmp", 10);
  replay.append(1, "0123456789");
  replay.append(2, "abc");
  replay.append(1, std::string(25, 'x') + "0123456789");
  Replay::Cursor cursor;
  Got got;
  read_all(replay, cursor, got);
  EXPECT_EQ(got.streams[0], "0123456789");
  EXPECT_EQ(got.first[0], 35u);
  EXPECT_EQ(got.streams[1], "");
  EXPECT_EQ(replay.total(1), 45u);
  EXPECT_EQ(replay.total(2), 3u);
}

TEST(Replay, RandomWritesAndReaders) {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    Replay replay("/tmp", 64 + random() % 200);
    std::string all[2];
    Replay::Cursor live;
    Got got;
    for (int i = 0; i < 300; ++i) {
      const std::uint32_t stream = 1 + random() % 2;
      std::string bytes(random() % 40, '\0');
      for (char& c : bytes) c = static_cast<char>(random());
      all[stream - 1] += bytes;
      replay.append(stream, bytes);
      read_all(replay, live, got, 1 + random() % 50);
      // Whoever comes now gets a tail of each stream, and no gap in it.
      Replay::Cursor late{{random() % (all[0].size() + 1), random() % (all[1].size() + 1)}};
      const auto wanted = late.had;
      Got tail;
      read_all(replay, late, tail, 1 + random() % 50);
      for (std::size_t s = 0; s < 2; ++s) {
        EXPECT_TRUE(all[s].ends_with(tail.streams[s]));
        if (tail.first[s] != UINT64_MAX) {
          EXPECT_GE(tail.first[s], wanted[s]);
        }
      }
      if (testing::Test::HasFailure()) return;
    }
    // Who is always there misses nothing.
    for (std::size_t s = 0; s < 2; ++s) EXPECT_EQ(got.streams[s], all[s]);
  }
}

TEST(Replay, NothingIsKeptWithoutRoomOrDirectory) {
  Replay none("/tmp", 0);
  none.append(1, "abc");
  Replay::Cursor cursor;
  EXPECT_FALSE(none.next(cursor, 10));
  EXPECT_EQ(none.total(1), 3u);
  Replay nowhere("/nonexistent", 10);
  nowhere.append(1, "abc");
  EXPECT_FALSE(nowhere.next(cursor, 10));
}

}  // namespace
}  // namespace caisson::shim
