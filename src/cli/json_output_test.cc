#include "cli/json_output.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace caisson::cli {
namespace {

using nlohmann::json;

RunReport sample() {
  RunReport report;
  report.id = "01abc";
  report.name = "n";
  report.out = "42\n";
  report.exit.reason = ExitReason::kExited;
  report.exit.exit_code = 0;
  report.exit.usage.max_pids = 3;
  report.stages = {{"spawn", std::chrono::nanoseconds(5)}};
  report.warnings = {"w"};
  return report;
}

TEST(RunObject, HasEveryMember) {
  const json object = json::parse(run_object(sample()));
  EXPECT_EQ(object["id"], "01abc");
  EXPECT_EQ(object["name"], "n");
  EXPECT_EQ(object["stdout"], "42\n");
  EXPECT_EQ(object["stderr"], "");
  EXPECT_EQ(object["exit"]["reason"], "exited");
  EXPECT_EQ(object["reason"], "exited");
  EXPECT_EQ(object["exit_code"], 0);
  EXPECT_TRUE(object["signal"].is_null());
  EXPECT_EQ(object["usage"]["max_pids"], 3);
  EXPECT_EQ(object["stages"], json::parse(R"([{"name":"spawn","duration_ns":5}])"));
  EXPECT_EQ(object["warnings"], json::parse(R"(["w"])"));
}

TEST(RunObject, BytesThatAreNoTextBecomeBase64) {
  RunReport report = sample();
  report.out.assign(1, '\xff');
  const json object = json::parse(run_object(report));
  EXPECT_FALSE(object.contains("stdout"));
  EXPECT_EQ(object["stdout_base64"], "/w==");
  EXPECT_EQ(object["stderr"], "");
}

TEST(RunObject, IsOneLine) { EXPECT_EQ(run_object(sample()).find('\n'), std::string::npos); }

TEST(ErrorObject, SurvivesHostileText) {
  const json object = json::parse(error_object({Code::kNotFound, 2, "r", "open 'a\xff\"\n'", "h"}));
  EXPECT_EQ(object["error"]["code"], "NOT_FOUND");
  EXPECT_EQ(object["error"]["reason"], "r");
  EXPECT_EQ(object["error"]["hint"], "h");
}

TEST(Pretty, IndentsAndKeepsTheOrder) {
  EXPECT_EQ(pretty(R"({"b":1,"a":{}})"), "{\n  \"b\": 1,\n  \"a\": {}\n}");
  EXPECT_EQ(pretty("no json"), "no json");
}

TEST(ImageObjects, AreOneHarmlessLine) {
  const ImageHistory step{.created = "2024", .created_by = "RUN \x1b[2J\n", .empty_layer = true};
  EXPECT_EQ(history_object(step, 7),
            R"({"created":"2024","created_by":"RUN \u001b[2J\n","size":7,"author":"","comment":"",)"
            R"("empty_layer":true})");
  EXPECT_EQ(removed_object({.untagged = {"a:1"}, .deleted = {"sha256:0"}}),
            R"({"untagged":["a:1"],"deleted":["sha256:0"]})");
  EXPECT_EQ(prune_object({.deleted = {}, .freed_bytes = 9}), R"({"deleted":[],"freed_bytes":9})");
  EXPECT_EQ(fsck_object({.images = 1, .blobs = 2, .layers = 3, .problems = {{"blob x", "gone"}}}),
            R"({"images":1,"blobs":2,"layers":3,"problems":[{"object":"blob x","text":"gone"}]})");
}

}  // namespace
}  // namespace caisson::cli
