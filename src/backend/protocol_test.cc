#include "backend/protocol.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "wire/cbor.h"

namespace caisson::backend {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

const std::string kBinary("\xff\x00\n\xc3'", 5);

template <class T>
T round_trip(const T& request) {
  const std::string bytes = encode_request(request);
  const Result<Request> back = decode_request(bytes);
  if (!back || !std::holds_alternative<T>(*back)) {
    ADD_FAILURE() << (back ? "another request" : back.error().message);
    return {};
  }
  EXPECT_EQ(encode_request(*back), bytes) << "nothing is lost";
  return std::get<T>(*back);
}

Reply round_trip(const Reply& reply) {
  const std::string bytes = encode_reply(reply);
  const Result<Reply> back = decode_reply(bytes);
  EXPECT_TRUE(back) << (back ? "" : back.error().message);
  EXPECT_EQ(encode_reply(*back), bytes);
  return *back;
}

/// Decodes the request whose map is `document`, which must be refused.
Error refused(json document) {
  document.emplace("version", kProtocolVersion);
  const Result<Request> request = decode_request(wire::encode_cbor(document));
  EXPECT_FALSE(request) << document.dump(-1, ' ', true, json::error_handler_t::replace);
  if (request) return {};
  EXPECT_EQ(request.error().reason, "protocol_error") << request.error().message;
  return request.error();
}

StartRequest full_start() {
  StartRequest start{"01hx", {"/home/" + kBinary}, "/guest" + kBinary, {}, {}, true, true, 7};
  start.spec.source = "dir:/" + kBinary;
  start.spec.command = {"sh", "-c", kBinary, ""};
  start.spec.env = {{"A", kBinary}, {"B=", ""}, {"\xfe", "x"}};
  start.spec.limits.cpus = 0.25;
  start.spec.limits.memory_bytes = UINT64_MAX;
  start.spec.limits.wall_time = 90s;
  start.spec.mounts = {{.source = "/" + kBinary, .target = "/t", .read_only = true}};
  start.spec.security.seccomp_policy = "{}";
  start.rootfs = {{"/lower/" + kBinary, "/b"},
                  "/parent" + kBinary,
                  "/disk" + kBinary,
                  "/saved" + kBinary,
                  "01generation",
                  12345,
                  RootfsStrategy::kMerged,
                  {"/v" + kBinary, "/v2"},
                  {{"/usr"}, {"/" + kBinary}},
                  true,
                  "/w" + kBinary};
  return start;
}

TEST(Requests, StartCarriesEverything) {
  const StartRequest sent = full_start();
  const StartRequest got = round_trip(sent);
  EXPECT_EQ(got.id, sent.id);
  EXPECT_EQ(got.layout, sent.layout);
  EXPECT_EQ(got.spec, sent.spec);
  EXPECT_EQ(got.rootfs, sent.rootfs);
  EXPECT_TRUE(got.attach);
  EXPECT_EQ(got.fail_at, 7u);
  EXPECT_EQ(round_trip(StartRequest{}).spec, BoxSpec{});
}

TEST(Requests, ExecCarriesEverything) {
  ExecSpec spec;
  spec.command = {kBinary, "", "a b"};
  spec.env = {{kBinary, kBinary}, {"base64:", "base64:"}};
  spec.workdir = "/" + kBinary;
  spec.user = "1000:1000";
  spec.tty = spec.open_stdin = true;
  spec.wall_time = 5ms;
  spec.output = {12, OutputAction::kKill};
  EXPECT_EQ(round_trip(ExecRequest{spec}).spec, spec);
  EXPECT_EQ(round_trip(ExecRequest{}).spec, ExecSpec{});
}

TEST(Requests, TheOthers) {
  round_trip(AttachRequest{});
  round_trip(WaitRequest{});
  round_trip(StatsRequest{});
  round_trip(StartedRequest{});
  round_trip(ResumeRequest{});
  EXPECT_TRUE(round_trip(PauseRequest{true}).hold);
  EXPECT_FALSE(round_trip(PauseRequest{}).hold);
  const CopyRequest copy = round_trip(CopyRequest{{"/a", "/" + kBinary}, "/d", "n"});
  EXPECT_EQ(copy.trees, (std::vector<std::string>{"/a", "/" + kBinary}));
  EXPECT_EQ(copy.directory + copy.name, "/dn");
  const DiffRequest diff = round_trip(DiffRequest{{"/" + kBinary}, {"/a", "/b"}});
  EXPECT_EQ(diff.before, std::vector<std::string>{"/" + kBinary});
  EXPECT_EQ(diff.after, (std::vector<std::string>{"/a", "/b"}));
  CompareRequest compare{.directory = "/d", .old = "/" + kBinary, .old_lowers = 2, .layer = true};
  compare.box.id = "01";
  compare.box.spec.command = {"true"};
  compare.box.rootfs.lowers = {"a", "b"};
  const CompareRequest compared = round_trip(compare);
  EXPECT_EQ(compared.box.id, "01");
  EXPECT_EQ(compared.box.rootfs, compare.box.rootfs);
  EXPECT_EQ(compared.directory + compared.old, "/d/" + kBinary);
  EXPECT_EQ(compared.old_lowers, 2u);
  EXPECT_TRUE(compared.layer);
  const WarmRequest warm = round_trip(WarmRequest{compare.box, "/d"});
  EXPECT_EQ(warm.box.id + warm.directory, "01/d");
  EXPECT_EQ(warm.box.rootfs, compare.box.rootfs);
  EXPECT_EQ(round_trip(StopRequest{10s}).grace, 10s);
  EXPECT_EQ(round_trip(StopRequest{std::chrono::nanoseconds::max()}).grace,
            std::chrono::nanoseconds::max());
  const RemoveRequest removed = round_trip(RemoveRequest{"/" + kBinary, kBinary});
  EXPECT_EQ(removed.directory, "/" + kBinary);
  EXPECT_EQ(removed.name, kBinary);
  const SaveRequest save = round_trip(SaveRequest{"/l/x.partial", true, false});
  EXPECT_EQ(save.directory, "/l/x.partial");
  EXPECT_TRUE(save.memory);
  EXPECT_FALSE(save.stay);
  const DiskRequest disk = round_trip(DiskRequest{{"a", "b"}, "/l", "/d", "n", "sha256:0"});
  EXPECT_EQ(disk.lowers, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(disk.lower_parent + disk.directory + disk.name + disk.digest, "/l/dnsha256:0");
  for (int number : {1, 9, 15, 34, 64}) EXPECT_EQ(round_trip(SignalRequest{number}).number, number);
  for (int i = 0; i <= static_cast<int>(ExitReason::kHibernated); ++i)
    EXPECT_EQ(round_trip(KillRequest{static_cast<ExitReason>(i)}).reason,
              static_cast<ExitReason>(i));
}

TEST(Requests, UnknownFieldsAreRefused) {
  EXPECT_NE(refused({{"op", "wait"}, {"later", {1, 2}}}).message.find("unknown"),
            std::string::npos);
  EXPECT_NE(
      refused({{"op", "exec"}, {"spec", {{"command", {"x"}}, {"later", 1}}}}).message.find("later"),
      std::string::npos);
  json start = wire::decode_cbor(encode_request(full_start())).value();
  start["rootfs"]["later"] = 1;
  refused(start);
}

TEST(Requests, OtherVersionsAreRefusedFirst) {
  for (const json& version : {json(kProtocolVersion + 1), json(0), json(-1)}) {
    const Result<Request> request =
        decode_request(wire::encode_cbor({{"version", version}, {"op", "from the future"}}));
    ASSERT_FALSE(request);
    EXPECT_EQ(request.error().reason, "protocol_version");
  }
  EXPECT_FALSE(decode_request(wire::encode_cbor({{"op", "wait"}})));
}

TEST(Requests, EveryMissingOrMistypedFieldOfStartIsAnError) {
  const json good = wire::decode_cbor(encode_request(full_start())).value();
  for (const auto& [name, value] : good.items()) {
    json missing = good;
    missing.erase(name);
    if (name != "version") refused(missing);
    for (const json& wrong : {json(nullptr), json(1.5), json(json::array({1})), json(-1)}) {
      if (name == "version" && wrong == -1) continue;
      json mistyped = good;
      mistyped[name] = wrong;
      refused(mistyped);
    }
  }
  for (const char* name :
       {"lowers", "lower_parent", "strategy", "volumes", "views", "private_tmp", "workdir"}) {
    json missing = good;
    missing["rootfs"].erase(name);
    EXPECT_NE(refused(missing).message.find("decode message"), std::string::npos);
  }
}

TEST(Requests, NumbersOutOfRangeAreRefused) {
  for (const json& number : {json(0), json(-1), json(65), json(1ll << 32), json(UINT64_MAX),
                             json((1ll << 32) + 9), json("9"), json(9.0)})
    refused({{"op", "signal"}, {"number", number}});
  for (const json& reason : {json(-1), json(11), json(UINT64_MAX), json(1ll << 32), json("oom")})
    refused({{"op", "kill"}, {"reason", reason}});
  for (const json& grace : {json(-1), json(UINT64_MAX), json(INT64_MIN), json(1.0), json(nullptr)})
    refused({{"op", "stop"}, {"grace_ns", grace}});
  json start = wire::decode_cbor(encode_request(StartRequest{})).value();
  start["fail_at"] = 1ll << 32;
  EXPECT_NE(refused(start).message.find("'fail_at'"), std::string::npos);
}

TEST(Requests, WhatIsNoRequest) {
  refused({{"op", "explode"}});
  refused({{"op", 1}});
  refused({{"spec", 1}});
  refused(json::object());
  refused({{"op", "exec"}});
  refused({{"op", "exec"}, {"spec", {{"command", "not a list"}}}});
  EXPECT_EQ(refused({{"op", "exec"}, {"spec", {{"tty", 1}}}}).code, Code::kInvalidArgument);
  EXPECT_EQ(refused({{"op", "explode"}}).code, Code::kUnimplemented);
  EXPECT_FALSE(decode_request(""));
  EXPECT_FALSE(decode_request("no cbor"));
}

TEST(Replies, OkWithEverything) {
  Reply reply;
  reply.fds = 3;
  reply.started = Started{4241, 4242, 99, {{"files", 5us}, {kBinary, 0ns}}, {"a warning", kBinary}};
  reply.usage = Usage{.peak_memory_bytes = 5, .cpu_user = 1s, .oom_kills = 0};
  const Reply back = round_trip(reply);
  EXPECT_FALSE(back.error);
  EXPECT_EQ(back.fds, 3);
  EXPECT_EQ(back.started->shim_pid, 4241);
  EXPECT_EQ(back.started->init_pid, 4242);
  EXPECT_EQ(back.started->started_ns, 99);
  EXPECT_EQ(back.started->stages, reply.started->stages);
  EXPECT_EQ(back.started->warnings, reply.started->warnings);
  EXPECT_EQ(back.usage, reply.usage);
  EXPECT_FALSE(round_trip(Reply{}).usage);
}

TEST(Replies, ErrorsKeepEveryByte) {
  for (int code = 1; code <= 16; ++code) {
    Reply reply;
    reply.error =
        Error{static_cast<Code>(code), ENOSPC, "disk_full", "write '" + kBinary + "'", kBinary};
    EXPECT_EQ(*round_trip(reply).error, *reply.error);
  }
}

TEST(Replies, HostileOnesAreRefused) {
  const auto reject = [](const json& document) {
    const Result<Reply> reply = decode_reply(wire::encode_cbor(document));
    ASSERT_FALSE(reply) << document;
    EXPECT_EQ(reply.error().reason, "protocol_error") << document;
  };
  for (const json& fds : {json(-1), json(9), json(UINT64_MAX), json("1"), json(nullptr)})
    reject({{"ok", {{"fds", fds}}}});
  reject({{"ok", json::object()}});
  reject({{"ok", 1}});
  reject(json::object());
  reject({{"error", "text"}});
  reject({{"error", json::object()}});
  const json started = {{"shim_pid", 1},
                        {"init_pid", 1},
                        {"started_ns", 1},
                        {"stages", json::array()},
                        {"warnings", json::array()}};
  for (const auto& [name, value] : started.items()) {
    json wrong = started;
    wrong[name] = "text";
    reject({{"ok", {{"fds", 0}, {"started", wrong}}}});
  }
  reject({{"ok", {{"fds", 0}, {"started", 1}}}});
  reject({{"ok", {{"fds", 0}, {"usage", {{"pids", -1}}}}}});
  const json error = {{"code", 5}, {"errno", 2}, {"reason", "r"}, {"message", "m"}, {"hint", ""}};
  EXPECT_TRUE(decode_reply(wire::encode_cbor({{"error", error}})));
  for (const auto& [name, wrong] :
       std::initializer_list<std::pair<const char*, json>>{{"code", 0},
                                                           {"code", 17},
                                                           {"code", -1},
                                                           {"code", UINT64_MAX},
                                                           {"errno", -2},
                                                           {"errno", 1 << 20},
                                                           {"reason", 1},
                                                           {"message", nullptr}}) {
    json changed = error;
    changed[name] = wrong;
    reject({{"error", changed}});
  }
}

ExitInfo sample_exit() {
  ExitInfo exit{ExitReason::kOom, {}, 9, 1500ms, {}, 10, 3};
  exit.usage.max_pids = 12;
  exit.usage.wall = 1500ms;
  return exit;
}

TEST(Exits, RoundTrip) {
  EXPECT_EQ(decode_exit(encode_exit(sample_exit())).value(), sample_exit());
  EXPECT_EQ(decode_exit(encode_exit({})).value(), ExitInfo{});
  for (const json& exit :
       {json(nullptr), json(1), json::object(), json({{"reason", "no such"}}),
        json({{"reason", 3}}), json({{"reason", "exited"}, {"exit_code", 1ll << 40}})})
    EXPECT_EQ(decode_exit(wire::encode_cbor({{"exit", exit}})).error().reason, "protocol_error")
        << exit;
  EXPECT_FALSE(decode_exit(wire::encode_cbor({{"end", 1}})));
}

TEST(Exits, RecordOfAnEndIsJson) {
  const EndedRecord record{sample_exit(), 1'700'000'000'123'456'789};
  const EndedRecord back = decode_ended(encode_ended(record)).value();
  EXPECT_EQ(back.exit, record.exit);
  EXPECT_EQ(back.finished_ns, record.finished_ns);
  for (const char* text :
       {"", "{}", "[]", "null", "{\"exit\":{}}", "{\"exit\":{\"reason\":\"oom\"}",
        "{\"exit\":{\"reason\":\"oom\"},\"finished_ns\":\"x\"}",
        "{\"exit\":{\"reason\":\"oom\"},\"finished_ns\":99999999999999999999}"})
    EXPECT_FALSE(decode_ended(text)) << text;
}

}  // namespace
}  // namespace caisson::backend
