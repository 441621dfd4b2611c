#include "engine/log_reader.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/unit_test_support.h"

namespace caisson::engine {
namespace {

std::string record(char stream, std::string_view data, std::int64_t time = 7) {
  std::string bytes(16, '\0');
  bytes[0] = stream;
  for (unsigned i = 0; i < 4; ++i) bytes[4 + i] = static_cast<char>(data.size() >> (8 * i));
  std::memcpy(bytes.data() + 8, &time, sizeof time);
  return bytes.append(data);
}

class LogReaderTest : public testing::Test {
 protected:
  TestDirectory box_;
  LogReader reader_{box_.path()};

  void SetUp() override { std::filesystem::create_directories(box_ / "logs"); }
  void append(const std::string& bytes, const std::string& file = "output.log") const {
    std::ofstream(box_ / ("logs/" + file), std::ios::app) << bytes;
  }
  std::string read() {
    std::string text;
    for (;;) {
      const auto record = *reader_.next();
      if (!record) return text;
      text += (record->stream == Stream::kStderr ? "E:" : "O:") + record->data + ";";
    }
  }
};

TEST_F(LogReaderTest, RecordsInOrderAndWhatComesLater) {
  EXPECT_EQ(read(), "") << "a box that said nothing";
  append(record(1, "a") + record(2, "b") + record(1, "") + record(1, "c"));
  EXPECT_EQ(read(), "O:a;E:b;O:;O:c;");
  EXPECT_EQ(read(), "");
  append(record(2, "more"));
  EXPECT_EQ(read(), "E:more;");
  append(record(1, std::string(100'000, '\0'), 99));
  const auto long_one = *reader_.next();
  EXPECT_EQ(long_one->data.size(), 100'000u);
  EXPECT_EQ(long_one->time_ns, 99);
}

TEST_F(LogReaderTest, AnIncompleteRecordIsWaitedFor) {
  const std::string first = record(1, "kept"), second = record(2, "in pieces");
  append(first);
  EXPECT_EQ(read(), "O:kept;");
  for (const char byte : second.substr(0, second.size() - 1)) {
    append(std::string(1, byte));
    EXPECT_EQ(read(), "");
  }
  append(second.substr(second.size() - 1));
  EXPECT_EQ(read(), "E:in pieces;");
}

TEST_F(LogReaderTest, ALengthThatLies) {
  std::string bytes = record(1, "data");
  for (std::size_t i = 4; i < 8; ++i) bytes[i] = '\xff';
  append(bytes);
  EXPECT_EQ(read(), "");
}

TEST_F(LogReaderTest, FollowsARotation) {
  append(record(1, "oldest"), "output.log.1");
  append(record(1, "old"));
  EXPECT_EQ(read(), "O:oldest;O:old;");
  append(record(1, "late") + record(2, "half").substr(0, 18));
  std::filesystem::rename(box_ / "logs/output.log", box_ / "logs/output.log.1");
  append(record(2, "new"));
  EXPECT_EQ(read(), "O:late;E:new;");
}

std::string tail(std::vector<std::string> pieces, std::size_t lines) {
  std::deque<LogRecord> records;
  for (std::string& piece : pieces) records.push_back({Stream::kStdout, 0, std::move(piece)});
  keep_tail(records, lines);
  std::string text;
  for (const LogRecord& record : records) text += record.data;
  return text;
}

TEST(LogTail, CountsLinesAcrossRecords) {
  EXPECT_EQ(tail({"a\nb\n", "c\n"}, 1), "c\n");
  EXPECT_EQ(tail({"a\nb\n", "c\n"}, 2), "b\nc\n");
  EXPECT_EQ(tail({"a\nb\n", "c\n"}, 9), "a\nb\nc\n");
  EXPECT_EQ(tail({"a\nb", "b\nc"}, 1), "c");
  EXPECT_EQ(tail({"a\nb", "b\nc"}, 2), "bb\nc");
  EXPECT_EQ(tail({"\n\n\n"}, 2), "\n\n");
  EXPECT_EQ(tail({}, 3), "");
}

}  // namespace
}  // namespace caisson::engine
