#include "guest/protocol.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "wire/cbor.h"

namespace caisson::guest {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

template <class T>
T round_trip(const T& message) {
  const std::string bytes = encode(ToGuest(message));
  const Result<ToGuest> back = decode_to_guest(bytes);
  if (!back || !std::holds_alternative<T>(*back)) {
    ADD_FAILURE() << (back ? "another message" : back.error().message);
    return {};
  }
  EXPECT_EQ(encode(*back), bytes);
  return std::get<T>(*back);
}

template <class T>
T answer(const T& message) {
  const std::string bytes = encode(FromGuest(message));
  const Result<FromGuest> back = decode_from_guest(bytes);
  if (!back || !std::holds_alternative<T>(*back)) {
    ADD_FAILURE() << (back ? "another message" : back.error().message);
    return {};
  }
  EXPECT_EQ(encode(*back), bytes);
  return std::get<T>(*back);
}

TEST(GuestProtocolTest, ToTheGuest) {
  EXPECT_EQ(round_trip(Wake{12345, std::string("\x00\xff", 2), "box", "0123"}).seed.size(), 2u);
  Start start;
  start.box.id = "01";
  start.box.spec.command = {"true"};
  start.base = true;
  EXPECT_EQ(round_trip(start).box.id, "01");
  const Compare compare =
      round_trip(Compare{true, true, false, true, {"/run/a", "/run/b"}, 1, true});
  EXPECT_EQ(compare.lowers.size() - compare.old_lowers, 1u);
  EXPECT_FALSE(decode_to_guest(encode(Compare{true, true, false, false, {"/run/a"}, 2, true})));
  Spawn spawn{
      3, {{"sh", "-c", "x"}, {{"A", "b=c"}, {"E", ""}}, "/w", "1:2", {"g"}, true}, {24, 80}};
  const Spawn back = round_trip(spawn);
  EXPECT_EQ(back.spec.env, spawn.spec.env);
  EXPECT_EQ(back.window, spawn.window);
  EXPECT_EQ(round_trip(Signal{1, 15, true}).number, 15);
  EXPECT_EQ(round_trip(Resize{1, {1, 2}}).window.columns, 2);
  EXPECT_TRUE(round_trip(End{true}).force);
  round_trip(ServeFiles{9});
  round_trip(AskFigures{});
  round_trip(PowerOff{});
}

TEST(GuestProtocolTest, FromTheGuest) {
  EXPECT_EQ(answer(Hello{"6.1.0"}).kernel, "6.1.0");
  EXPECT_TRUE(answer(Awake{}).processes.empty());
  const std::vector<Running> running = {{1, false, true, true}, {7, true, true, false}};
  EXPECT_EQ(answer(Awake{running}).processes, running);
  EXPECT_EQ(answer(Frozen{7}).number, 7u);
  Started failed;
  failed.error = make_error(Code::kInternal, "disk_missing", "mount disk: gone");
  EXPECT_EQ(answer(failed).error->reason, "disk_missing");
  Started started;
  started.started.warnings = {"w"};
  EXPECT_EQ(answer(started).started.warnings.size(), 1u);
  Figures figures;
  figures.usage.pids = 3;
  figures.oom_kills = 1;
  figures.disk_bytes = 4096;
  EXPECT_EQ(answer(figures).usage.pids, 3u);
  EXPECT_EQ(answer(Gone{figures}).figures.oom_kills, 1u);
  Event event{{backend::ProcessEvent::Kind::kEnded, 1, {}, 256, 5ms, 6ms}, 1, 2};
  EXPECT_EQ(answer(event).event.status, 256);
}

/// Decodes an answer whose map is `document`, which must be refused.
void refused(const json& document) {
  const Result<FromGuest> message = decode_from_guest(wire::encode_cbor(document));
  ASSERT_FALSE(message) << document.dump();
  EXPECT_EQ(message.error().reason, "protocol_error") << document.dump();
}

TEST(GuestProtocolTest, AHostileGuestIsRefused) {
  const json ended = {{"op", "event"},    {"id", 1},
                      {"kind", 2},        {"status", 0},
                      {"cpu_user_ns", 0}, {"cpu_system_ns", 0},
                      {"oom_kills", 0},   {"pid_limit_hits", 0}};
  ASSERT_TRUE(decode_from_guest(wire::encode_cbor(ended)));
  for (const auto& [field, value] : std::vector<std::pair<std::string, json>>{{"id", 0},
                                                                              {"id", -1},
                                                                              {"id", 1u << 31},
                                                                              {"id", "1"},
                                                                              {"kind", 3},
                                                                              {"status", 65536},
                                                                              {"status", -1},
                                                                              {"cpu_user_ns", -1},
                                                                              {"oom_kills", -5},
                                                                              {"more", 1},
                                                                              {"error", "text"}}) {
    json wrong = ended;
    wrong[field] = value;
    refused(wrong);
  }
  json failure = ended;
  failure["kind"] = 1;
  refused(failure);
  refused({{"op", "hello"}, {"version", kVersion + 1}, {"kernel", "x"}});
  refused({{"op", "gone"}, {"figures", json::array()}});
  refused({{"op", "figures"}});
  const json process = {{"id", 3}, {"in", true}, {"out", true}, {"err", true}};
  refused({{"op", "awake"}});
  refused({{"op", "awake"}, {"processes", 1}});
  refused({{"op", "awake"}, {"processes", {1}}});
  refused({{"op", "awake"}, {"processes", {process, process}}});
  refused({{"op", "started"}, {"reply", "no cbor"}});
  refused({{"op", "spawn"}});
  refused(json::object());
  EXPECT_FALSE(decode_from_guest("\xff"));
  EXPECT_FALSE(decode_from_guest(""));
}

}  // namespace
}  // namespace caisson::guest
