#include "telemetry/audit.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/unit_test_support.h"

namespace caisson::telemetry {
namespace {

using testing::HasSubstr;

class Audit : public testing::Test {
 protected:
  TestDirectory home_;
  Metrics metrics_{home_.path()};
  AuditLog log_{home_.path(), metrics_};

  std::string file() const { return home_ / "audit/audit.jsonl"; }
  std::string text() const { return *read_file(file()); }
  void write(const std::string& text) const {
    ASSERT_TRUE(replace_file(AT_FDCWD, file(), text, 0600));
  }
  AuditCheck check() const { return *verify_audit(home_.path()); }
  void fill(int count) {
    for (int i = 0; i < count; ++i) log_.add("box_created", "b", {{"n", i}, {"text", "a\nb\xff"}});
  }
};

TEST_F(Audit, EntriesComeBackAndTheChainHolds) {
  EXPECT_EQ(check().entries, 0u);
  EXPECT_EQ(*last_entry(home_.path()), 0u);
  fill(3);
  EXPECT_EQ(check().entries, 3u);
  EXPECT_EQ(check().problem, "");
  EXPECT_EQ(*last_entry(home_.path()), 3u);
  AuditReader reader(home_.path());
  for (std::uint64_t seq = 1; seq <= 3; ++seq) {
    const auto entry = *reader.next();
    ASSERT_TRUE(entry);
    EXPECT_EQ(entry->seq, seq);
    EXPECT_EQ(entry->event, "box_created");
    EXPECT_EQ(entry->box_id, "b");
    EXPECT_EQ(nlohmann::json::parse(entry->json)["details"]["n"], seq - 1);
  }
  EXPECT_FALSE(*reader.next());
  log_.add("box_removed", "b", nlohmann::json::object());
  EXPECT_EQ((*reader.next())->event, "box_removed");
  EXPECT_EQ(log_.recent().size(), 4u);
}

TEST_F(Audit, ManyWritersTakeTurns) {
  std::vector<std::thread> writers;
  for (int i = 0; i < 4; ++i)
    writers.emplace_back([&] {
      AuditLog own(home_.path(), metrics_);
      for (int k = 0; k < 50; ++k) own.add("exec_started", "b", {{"k", k}});
    });
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(check().entries, 200u);
  EXPECT_EQ(check().problem, "");
}

TEST_F(Audit, WhatWasTamperedWithIsFound) {
  fill(5);
  const std::string whole = text();
  const auto line = [&](std::size_t n) {
    std::size_t at = 0;
    while (n-- > 0) at = whole.find('\n', at) + 1;
    return at;
  };
  std::string changed = whole;
  changed[changed.find("\"n\":2") + 4] = '9';
  write(changed);
  EXPECT_THAT(check().problem, HasSubstr("line 3: it has been changed"));
  EXPECT_EQ(check().entries, 2u);
  write(std::string(whole).erase(line(1), line(2) - line(1)));
  EXPECT_THAT(check().problem, HasSubstr("line 2: entries before it are missing"));
  write(whole.substr(line(1)));
  EXPECT_THAT(check().problem, HasSubstr("line 1"));
  write(whole.substr(0, line(4)));
  EXPECT_THAT(check().problem, HasSubstr("missing at the end"));
  write(whole.substr(0, line(3)) + "nonsense\n" + whole.substr(line(3)));
  EXPECT_THAT(check().problem, HasSubstr("line 4"));
  write(whole);
  EXPECT_EQ(check().problem, "");
}

TEST_F(Audit, AMissingEndShowsForEver) {
  fill(4);
  const std::string whole = text();
  write(whole.substr(0, whole.find('\n') + 1));
  AuditLog(home_.path(), metrics_).add("box_removed", "b", nlohmann::json::object());
  EXPECT_THAT(check().problem, HasSubstr("line 2: entries before it are missing"));
}

TEST_F(Audit, LongDetailsAreCut) {
  log_.add("exec_failed", "b", {{"cause", std::string(1 << 20, '\x01')}});
  fill(1);
  EXPECT_LT(text().size(), 64u << 10);
  EXPECT_EQ(check().entries, 2u);
  EXPECT_EQ(check().problem, "");
}

TEST_F(Audit, ATornLineIsCutOff) {
  fill(2);
  const std::string whole = text();
  write(whole + R"({"seq":3,"time)");
  EXPECT_EQ(check().entries, 2u);
  EXPECT_EQ(check().problem, "");
  AuditLog(home_.path(), metrics_).add("box_removed", "b", nlohmann::json::object());
  EXPECT_EQ(check().entries, 3u);
  EXPECT_EQ(check().problem, "");
  std::filesystem::remove(home_ / "audit/head");
  AuditLog(home_.path(), metrics_).add("box_removed", "b", nlohmann::json::object());
  EXPECT_EQ(check().entries, 4u);
}

TEST_F(Audit, AFailureIsVisible) {
  ASSERT_TRUE(replace_file(AT_FDCWD, home_ / "audit", "in the way", 0600));
  log_.add("box_created", "b", nlohmann::json::object());
  ASSERT_TRUE(log_.last_failure());
  EXPECT_THAT(log_.last_failure()->message, HasSubstr("write audit log"));
  EXPECT_EQ(metrics_.value(Counter::kAuditFailures), 1u);
  EXPECT_EQ(log_.recent().size(), 1u);
  for (int i = 0; i < 1100; ++i) log_.add("box_created", "b", nlohmann::json::object());
  EXPECT_EQ(log_.recent().size(), 1000u);
}

TEST(ShownCommand, LongOnesAreCut) {
  EXPECT_EQ(shown_command({"a", "b"}).dump(), R"(["a","b"])");
  EXPECT_LT(shown_command({std::string(100'000, 'x'), "y"}).dump().size(), 9000u);
  EXPECT_LT(shown_command(std::vector<std::string>(100'000, "xx")).dump().size(), 20'000u);
}

}  // namespace
}  // namespace caisson::telemetry
