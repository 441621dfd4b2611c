#include "spec/json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "spec/state_json.h"
#include "spec/text.h"

namespace caisson {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using nlohmann::json;

BoxSpec full_spec() {
  BoxSpec s;
  s.name = "box";
  s.source = "dir:/srv/\xff";
  s.pull = PullPolicy::kNever;
  s.platform = "linux/arm64";
  s.rootfs = RootfsStrategy::kMerged;
  s.entrypoint = {"e", "\xff"};
  s.profile = Profile::kFull;
  s.command = {"sh", "", "\xc3\xa4", "\xc3", "a\0b"s, "{\"base64\":\"x\"}"};
  s.env = {{"A", "1"}, {"\xfe", "\xfd"}, {"base64:QQ==", "literal"}, {"Z", ""}};
  s.workdir = "/w";
  s.user = "1:2";
  s.groups = {"a", "7"};
  s.hostname = "h";
  s.read_only_root = true;
  s.mounts = {
      {.source = "/\x80", .target = "/b", .read_only = true, .idmap = IdMapping::kRequire},
      {.type = MountType::kVolume, .source = "v", .target = "/v", .idmap = IdMapping::kOff},
      {.type = MountType::kTmpfs, .target = "/t", .size_bytes = 1, .inodes = 2, .mode = 01777}};
  s.limits = {.memory_bytes = ~0ull,
              .pids = 2,
              .cpus = 0.1,
              .cpu_weight = 4,
              .cpu_time = 5ns,
              .wall_time = std::chrono::nanoseconds::max(),
              .open_files = 7,
              .file_size_bytes = 8,
              .disk_bytes = 9,
              .disk_bytes_per_second = 13,
              .disk_operations_per_second = 14,
              .tmpfs_bytes = 10,
              .tmpfs_inodes = 11,
              .output = {12, OutputAction::kKill}};
  s.network = Network::kUnsafeHostNetwork;
  s.security = {SeccompMode::kCustom, "{\"x\":1}", {"NET_RAW"}, {"ALL"}, false};
  s.protect = {"/a", ".b/"};
  s.protect_defaults = false;
  s.access = {{"/r"}, {"/w", "/\x80"}, {"/x"}, {80, 65535}, {8080}};
  s.machine = {"/k/\x80", true};
  s.tty = s.open_stdin = s.auto_remove = true;
  s.labels = {{"k", "v"}, {"", "\xe4"}};
  s.stop_signal = "INT";
  s.allow_missing = {"memory", "\xff"};
  return s;
}

ExitInfo full_exit() {
  return {.reason = ExitReason::kOom,
          .exit_code = 3,
          .signal = 9,
          .duration = 4s,
          .usage = {.peak_memory_bytes = 1,
                    .memory_bytes = 2,
                    .cpu_user = 3ns,
                    .cpu_system = 4ns,
                    .wall = 5ns,
                    .read_bytes = 6,
                    .write_bytes = 7,
                    .max_pids = 8,
                    .pids = 9,
                    .oom_kills = 10,
                    .vmm_memory_bytes = 11,
                    .vmm_cpu = 12ns},
          .output_bytes = 11,
          .output_dropped_bytes = 12};
}

std::string reason_of(std::string_view text) {
  const Result<BoxSpec> spec = box_spec_from_json(text);
  if (spec) return "(no error)";
  EXPECT_EQ(spec.error().code, Code::kInvalidArgument);
  return spec.error().reason;
}

TEST(SpecJson, RoundTripsEveryFieldAndEveryByte) {
  for (const BoxSpec& spec : {BoxSpec{}, full_spec()}) {
    const Result<BoxSpec> back = box_spec_from_json(to_json(spec));
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, spec);
  }
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  BoxSpec spec;
  spec.env[all] = all;
  EXPECT_EQ(box_spec_from_json(to_json(spec)).value(), spec);
}

TEST(SpecJson, HasDocumentedNames) {
  const json value = json::parse(to_json(full_spec()));
  EXPECT_EQ(value["limits"]["wall_time_ns"], std::chrono::nanoseconds::max().count());
  EXPECT_EQ(value["limits"]["output"]["action"], "kill");
  EXPECT_EQ(value["source"]["base64"], "ZGlyOi9zcnYv/w==");
  EXPECT_EQ(value["env"]["base64:/g=="]["base64"], "/Q==");
  EXPECT_EQ(value["network"], "host");
  EXPECT_EQ(value["pull"], "never");
  EXPECT_EQ(value["rootfs"], "merged");
  EXPECT_FALSE(json::parse(to_json(BoxSpec{})).contains("entrypoint"));
  EXPECT_FALSE(json::parse(to_json(BoxSpec{}))["limits"].contains("pids"));
}

TEST(SpecJson, RefusesUnknownFieldsWithASuggestion) {
  const auto limits = box_spec_from_json(R"({"limits":{"memroy":1}})");
  ASSERT_FALSE(limits);
  EXPECT_EQ(limits.error().reason, "field_unknown");
  EXPECT_EQ(limits.error().message, "unknown field 'memroy' in limits");
  EXPECT_EQ(limits.error().hint, "did you mean 'memory_bytes'?");
  EXPECT_EQ(box_spec_from_json(R"({"comand":[]})").error().hint, "did you mean 'command'?");
  EXPECT_EQ(box_spec_from_json(R"({"comand":[]})").error().message,
            "unknown field 'comand' in box spec");
  EXPECT_EQ(
      box_spec_from_json(R"({"mounts":[{"type":"bind","target":"/","tagret":1}]})").error().message,
      "unknown field 'tagret' in mounts[0]");
  EXPECT_TRUE(spec::box_spec_from_state(R"({"later":1,"limits":{"later":2}})"));
}

TEST(SpecJson, SaysWhereAValueIsWrong) {
  const auto error = box_spec_from_json(R"({"limits":{"output":{"max_bytes":-1}}})");
  ASSERT_FALSE(error);
  EXPECT_EQ(error.error().message,
            "read 'limits.output.max_bytes': expected an integer of 0 or more");
  EXPECT_EQ(box_spec_from_json(R"({"command":["a",1]})").error().message,
            "read 'command[1]': expected a string or {\"base64\": ...}");
  EXPECT_EQ(box_spec_from_json(R"({"profile":"standart"})").error().hint,
            "did you mean 'standard'?");
}

TEST(SpecJson, RefusesWrongTypes) {
  for (const char* bad : {"1",
                          "[]",
                          "null",
                          R"({"name":1})",
                          R"({"tty":1})",
                          R"({"tty":"true"})",
                          R"({"env":[]})",
                          R"({"env":{"a":1}})",
                          R"({"command":"x"})",
                          R"({"limits":1})",
                          R"({"limits":{"pids":1.0}})",
                          R"({"limits":{"pids":"1"}})",
                          R"({"limits":{"pids":18446744073709551616}})",
                          R"({"limits":{"cpu_time_ns":18446744073709551615}})",
                          R"({"limits":{"cpus":"1"}})",
                          R"({"mounts":[{}]})",
                          R"({"mounts":[{"type":"bind"}]})",
                          R"({"mounts":[1]})",
                          R"({"mounts":[{"type":"bind","target":"/a","mode":4294967296}]})",
                          R"({"isolation":"confidential"})",
                          R"({"name":{"base64":"x"}})",
                          R"({"name":{"base64":1}})",
                          R"({"name":{"base64":"QQ==","x":1}})",
                          R"({"env":{"base64:x":"1"}})",
                          R"({"env":{"QQ":"1","base64:UVE=":"2"}})",
                          R"({"allow_missing":{}})"})
    EXPECT_EQ(reason_of(bad), "field_invalid") << bad;
}

TEST(SpecJson, RefusesWhatIsNotJson) {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  for (const std::string& bad :
       {""s, "{"s, "{} x"s, "{'a':1}"s, "{\"name\":\"\xff\"}"s, R"({"name":"a","name":"b"})"s,
        R"({"limits":{"pids":1,"pids":2}})"s, R"({"limits":{"cpus":1e999}})"s,
        "{\"name\":" + deep + "}", std::string(1'000'000, '[')})
    EXPECT_EQ(reason_of(bad), "json_invalid") << bad.substr(0, 40);
}

TEST(ParseJson, IsLinearAndBounded) {
  std::string objects = "[{}";
  for (int i = 0; i < 1'000'000; ++i) objects += ",{}";
  objects += ']';
  EXPECT_EQ(spec::parse_json(objects).value().size(), 1'000'001u);
  EXPECT_EQ(spec::parse_json(objects, 1000).error().message, "parse JSON: too many values");
  EXPECT_EQ(spec::parse_json(std::string(4u << 20, '[')).error().message,
            "parse JSON: nested too deeply");
  EXPECT_EQ(spec::parse_json(R"({"a":{"b":1},"c":[2,{"d":null}],"e":"x"})").value(),
            json({{"a", {{"b", 1}}}, {"c", {2, {{"d", nullptr}}}}, {"e", "x"}}));
}

TEST(ExecJson, RoundTrips) {
  const ExecSpec spec = {.command = {"\xff"},
                         .env = {{"A", "b"}},
                         .workdir = "/",
                         .user = "u",
                         .tty = true,
                         .open_stdin = true,
                         .wall_time = 3s,
                         .output = {1, OutputAction::kKill}};
  EXPECT_EQ(spec::exec_spec_from_json(spec::to_json(spec)).value(), spec);
  EXPECT_EQ(spec::exec_spec_from_json(R"({"wall_time":1})").error().hint,
            "did you mean 'wall_time_ns'?");
}

TEST(StateJson, RoundTripsAndIgnoresWhatLaterVersionsAdd) {
  EXPECT_EQ(spec::exit_info_from_json(to_json(full_exit())).value(), full_exit());
  EXPECT_EQ(spec::exit_info_from_json(to_json(ExitInfo{})).value(), ExitInfo{});
  EXPECT_EQ(spec::usage_from_json(to_json(full_exit().usage)).value(), full_exit().usage);
  EXPECT_EQ(spec::usage_from_json("{}").value(), Usage{});
  const auto later = spec::exit_info_from_json(R"({"reason":"oom","new":1,"usage":{"new":2}})");
  ASSERT_TRUE(later) << later.error().message;
  EXPECT_EQ(later->reason, ExitReason::kOom);
  EXPECT_FALSE(spec::exit_info_from_json("{}"));
  EXPECT_FALSE(spec::exit_info_from_json(R"({"reason":"bored"})"));

  const std::vector<StageTiming> stages = {{"rootfs", 1ms}, {"\xff", 0ns}};
  EXPECT_EQ(spec::stages_from_json(spec::to_json(stages)).value(), stages);
  const std::vector<std::string> texts = {"", "a", "\xff"};
  EXPECT_EQ(spec::texts_from_json(spec::to_json(texts)).value(), texts);
}

TEST(StateJson, UsageNeverShowsAZeroForAnUnknown) {
  EXPECT_EQ(to_json(Usage{}), "{}");
  EXPECT_EQ(to_json(Usage{.cpu_user = 5ns, .oom_kills = 0}), R"({"cpu_user_ns":5,"oom_kills":0})");
}

TEST(BoxInfoJson, ShowsWhatInspectPromises) {
  BoxInfo info;
  info.id = "01hq";
  info.spec = full_spec();
  info.state = BoxState::kFailed;
  info.error_reason = "mount: no\xff";
  info.image_id = "sha256:1";
  info.exit = full_exit();
  info.created_ns = 1'706'702'400'123'456'789;
  info.started_ns = 0;
  info.shim_pid = 12;
  info.stages = {{"spawn", 2ns}};
  info.warnings = {"w"};
  const json value = json::parse(to_json(info));
  EXPECT_EQ(value["state"], "failed");
  EXPECT_EQ(value["isolation"], "container");
  EXPECT_EQ(value["image_id"], "sha256:1");
  EXPECT_FALSE(json::parse(to_json(BoxInfo{})).contains("image_id"));
  EXPECT_EQ(value["created"], "2024-01-31T12:00:00.123456789Z");
  EXPECT_EQ(value["created_ns"], 1'706'702'400'123'456'789);
  EXPECT_EQ(value["started"], "1970-01-01T00:00:00.000000000Z");
  EXPECT_EQ(value["exit"]["usage"]["oom_kills"], 10);
  EXPECT_EQ(value["stages"][0]["duration_ns"], 2);
  EXPECT_EQ(value["shim_pid"], 12);
  EXPECT_FALSE(value.contains("finished"));
  EXPECT_FALSE(value.contains("init_pid"));
  EXPECT_EQ(value["spec"]["hostname"], "h");
}

TEST(Rfc3339, HandlesTheEdges) {
  EXPECT_EQ(spec::rfc3339(-1), "1969-12-31T23:59:59.999999999Z");
  EXPECT_EQ(spec::rfc3339(951'782'400'000'000'000), "2000-02-29T00:00:00.000000000Z");
  EXPECT_EQ(spec::rfc3339(std::numeric_limits<std::int64_t>::max()),
            "2262-04-11T23:47:16.854775807Z");
  EXPECT_EQ(spec::rfc3339(std::numeric_limits<std::int64_t>::min()),
            "1677-09-21T00:12:43.145224192Z");
}

}  // namespace
}  // namespace caisson
