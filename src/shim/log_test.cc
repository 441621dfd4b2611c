#include "shim/log.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cstring>

#include "base/clock.h"
#include "base/unit_test_support.h"

namespace caisson::shim {
namespace {

struct Record {
  int stream = 0;
  std::int64_t time_ns = 0;
  std::string data;
};

/// The whole records of a log as docs/formats/log.md describes them.
std::vector<Record> records_of(const std::string& directory) {
  const std::string bytes = read_file(directory + "/logs/output.log").value_or("");
  std::vector<Record> records;
  for (std::size_t at = 0; at + 16 <= bytes.size();) {
    Record record{bytes[at]};
    std::uint32_t length = 0;
    std::memcpy(&length, &bytes[at + 4], sizeof length);
    std::memcpy(&record.time_ns, &bytes[at + 8], sizeof record.time_ns);
    if (at + 16 + length > bytes.size()) break;
    record.data = bytes.substr(at + 16, length);
    records.push_back(record);
    at += 16 + length;
  }
  return records;
}

TEST(Log, NothingIsMadeForNothing) {
  const TestDirectory test;
  Log log(test.path(), OutputLimit{100});
  log.append(Stream::kStdout, "");
  EXPECT_FALSE(std::filesystem::exists(test / "logs"));
}

TEST(Log, KeepsStreamTimeAndBytes) {
  const TestDirectory test;
  const std::int64_t before = wall_ns();
  Log log(test.path(), OutputLimit{100});
  log.append(Stream::kStdout, "out");
  log.append(Stream::kStderr, std::string("e\0r", 3));
  const auto records = records_of(test.path());
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].stream, 1);
  EXPECT_EQ(records[0].data, "out");
  EXPECT_EQ(records[1].stream, 2);
  EXPECT_EQ(records[1].data, std::string("e\0r", 3));
  EXPECT_GE(records[0].time_ns, before);
  EXPECT_LE(records[1].time_ns, wall_ns());
  struct stat info{};
  ASSERT_EQ(::stat((test / "logs/output.log").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777u & ~0600u, 0u) << "for the owner alone";
}

TEST(Log, StopsAtItsMaximumAndCountsTheRest) {
  const TestDirectory test;
  Log log(test.path(), OutputLimit{10});
  log.append(Stream::kStdout, "12345678");
  log.append(Stream::kStderr, "abcdef");
  log.append(Stream::kStdout, "more");
  EXPECT_EQ(log.written(), 10u);
  EXPECT_EQ(log.dropped(), 8u);
  const auto records = records_of(test.path());
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[1].data, "ab");
  Log none(test / "other", OutputLimit{0});
  none.append(Stream::kStdout, "x");
  EXPECT_EQ(none.dropped(), 1u);
}

TEST(Log, FullDiskEndsItAndLeavesWholeRecords) {
  const TestDirectory test;
  EXPECT_EQ(run_in_child([&] {
              ::signal(SIGXFSZ, SIG_IGN);
              const rlimit small{1000, 1000};
              ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
              Log log(test.path(), OutputLimit{1u << 20});
              log.append(Stream::kStdout, std::string(500, 'a'));
              log.append(Stream::kStdout, std::string(600, 'b'));
              log.append(Stream::kStdout, "c");
              EXPECT_EQ(log.written(), 500u);
              EXPECT_EQ(log.dropped(), 601u);
            }),
            0);
  const auto records = records_of(test.path());
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].data, std::string(500, 'a'));
}

TEST(Log, UnwritablePlaces) {
  const TestDirectory test;
  Log missing(test / "none", OutputLimit{100});
  missing.append(Stream::kStdout, "abc");
  missing.append(Stream::kStdout, "de");
  EXPECT_EQ(missing.dropped(), 5u);
  EXPECT_EQ(missing.written(), 0u);
  std::filesystem::create_directories(test / "logs");
  std::filesystem::create_symlink("/dev/null", test / "logs/output.log");
  Log linked(test.path(), OutputLimit{100});
  linked.append(Stream::kStdout, "abc");
  EXPECT_EQ(linked.dropped(), 3u) << "a link in its place is not followed";
}

TEST(Log, RotationKeepsTheLastBytes) {
  const TestDirectory test;
  Log log(test.path(), OutputLimit{20, OutputAction::kRotate});
  for (const char c : {'a', 'b', 'c', 'd'}) log.append(Stream::kStdout, std::string(6, c));
  EXPECT_EQ(log.written(), 24u);
  EXPECT_EQ(log.dropped(), 12u);
  EXPECT_EQ(records_of(test.path()).back().data, "dddddd");
  EXPECT_TRUE(std::filesystem::exists(test / "logs/output.log.1"));
  log.append(Stream::kStdout, std::string(50, 'e') + "0123456789");
  EXPECT_EQ(records_of(test.path()).back().data, "0123456789") << "the newest of a long piece";
}

}  // namespace
}  // namespace caisson::shim
