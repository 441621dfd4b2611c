#include "spec/yaml.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "caisson/spec.h"
#include "spec/text.h"

namespace caisson {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using nlohmann::json;

json read(std::string_view text) {
  static constexpr std::array<std::string_view, 2> kText = {"env", "command"};
  Result<json> value = spec::parse_yaml(text, kText);
  EXPECT_TRUE(value) << text << ": " << (value ? "" : value.error().message);
  return value ? *std::move(value) : json();
}

/// The message of the error.
std::string fault(std::string_view text) {
  const Result<json> value = spec::parse_yaml(text);
  if (value) return "(no error) " + value->dump();
  EXPECT_EQ(value.error().reason, "yaml_invalid");
  EXPECT_EQ(value.error().message.find('\n'), std::string::npos);
  return value.error().message;
}

BoxSpec box(std::string_view text) {
  Result<BoxSpec> spec = box_spec_from_yaml(text);
  EXPECT_TRUE(spec) << (spec ? "" : spec.error().message);
  return spec ? *std::move(spec) : BoxSpec{};
}

TEST(Yaml, CollectionsInBothStyles) {
  EXPECT_EQ(read("a: [1, {b: c}]\nd:\n- e\n-\n  f: g\n"),
            json::parse(R"({"a":[1,{"b":"c"}],"d":["e",{"f":"g"}]})"));
  EXPECT_EQ(read("# only this\na: |\n  two\n  lines\n"), json::parse(R"({"a":"two\nlines\n"})"));
  EXPECT_EQ(read("---\na: 1\n...\n"), json::parse(R"({"a":1})"));
}

TEST(Yaml, PlainScalarsAreThoseOfTheCoreSchema) {
  EXPECT_EQ(read("[~, null, Null, NULL, ]"), json::parse("[null,null,null,null]"));
  EXPECT_EQ(read("[true, True, TRUE, false, False, FALSE]"),
            json::parse("[true,true,true,false,false,false]"));
  EXPECT_EQ(read("[0, 7, -7, +7, 0o17, 0x1F, 18446744073709551615, -9223372036854775807]"),
            json::parse("[0,7,-7,7,15,31,18446744073709551615,-9223372036854775807]"));
  EXPECT_EQ(read("[1.5, -1.5, .5, 1., 1e3, +1.5E-1]"),
            json::parse("[1.5,-1.5,0.5,1.0,1000.0,0.15]"));
  EXPECT_TRUE(std::isinf(read("[-.inf]")[0].get<double>()));
  EXPECT_TRUE(std::isnan(read("[.nan]")[0].get<double>()));
  for (const char* text : {"yes",   "no",         "on",   "off",   "y",  "nul",   "tRue", "0o8",
                           "0xg",   "1_000",      "1:30", "1.2.3", ".",  "+",     "e1",   "1e",
                           "-.nan", "2001-01-01", "0b1",  "=",     "0x", "1m30s", "-0o7"})
    EXPECT_EQ(read("- "s + text), json::array({text}));
  EXPECT_EQ(read(R"(['1', "true", '~', "0x1"])"), json::parse(R"(["1","true","~","0x1"])"));
}

TEST(Yaml, NumbersInMembersOfTextStayAsTheyAreWritten) {
  EXPECT_EQ(
      read("env: {PORT: 8080, V: 1.10, D: true, O: 0755, E: , 1: x}\ncommand: [a, 5, [0x1f]]\n"
           "other: {a: 1}\n"),
      json::parse(R"({"env":{"PORT":"8080","V":"1.10","D":"true","O":"0755","E":null,"1":"x"},
                            "command":["a","5",["0x1f"]],"other":{"a":1}})"));
  EXPECT_EQ(read(R"({"env":{"V":1.10,"B":false,"N":-5},"other":1.10})"),
            json::parse(R"({"env":{"V":"1.10","B":"false","N":"-5"},"other":1.1})"));
}

TEST(Yaml, JsonIsAPartOfIt) {
  EXPECT_EQ(read("{\"a\":1,\n\t\"b\":[\"\\ud83d\\ude00\\/\"]}"),
            json::parse(R"({"a":1,"b":["😀/"]})"));
  const std::string key(5000, 'k');
  EXPECT_EQ(read("{\"" + key + "\":1}"), json({{key, 1}}));
}

TEST(Yaml, SaysWhereItIsWrong) {
  EXPECT_EQ(fault("a: 1\nb: [1,\n"),
            "line 3, column 1: while parsing a flow node: did not find expected node content");
  EXPECT_EQ(fault("a: 1\na: 2\n"), "line 2, column 1: key 'a' is given twice");
  EXPECT_EQ(fault("x: {a: 1, a: 2}"), "line 1, column 11: key 'a' is given twice");
  EXPECT_EQ(fault("a: &b 1"), "line 1, column 4: anchors are not supported");
  EXPECT_EQ(fault("a: *b"), "line 1, column 4: aliases are not supported");
  EXPECT_EQ(fault("a: !!str 1"), "line 1, column 4: tags are not supported");
  EXPECT_EQ(fault("a: ! x"), "line 1, column 4: tags are not supported");
  EXPECT_EQ(fault("a: !!seq [1]"), "line 1, column 4: tags are not supported");
  EXPECT_EQ(fault("%YAML 1.2\n%TAG ! x:\n--- {}"), "line 2, column 1: tags are not supported");
  EXPECT_EQ(fault("%TAG ! x:\n--- {}"), "line 1, column 1: tags are not supported");
  EXPECT_EQ(fault("<<: {a: 1}"), "line 1, column 1: merge keys are not supported");
  EXPECT_EQ(fault("? [a]\n: 1"), "line 1, column 3: a key is not a text");
  EXPECT_EQ(fault("a: 1\n---\nb: 1\n"), "line 2, column 1: a second document begins");
  EXPECT_EQ(fault("m: 0755"), "line 1, column 4: the number '0755' begins with a 0");
  EXPECT_EQ(fault("m: 18446744073709551616"), "line 1, column 4: a number is too large");
  EXPECT_EQ(fault("m: 1e999"), "line 1, column 4: a number is out of range");
  EXPECT_EQ(fault("# nothing\n"), "line 1, column 1: there is no document");
  EXPECT_EQ(fault(""), "line 1, column 1: there is no document");
  EXPECT_EQ(fault("a: 1\nb: \0"s), "line 2, column 4: a NUL byte");
  EXPECT_EQ(fault("a: 1\nbc: \"\xff\""), "line 2, column 6: invalid leading UTF-8 octet");
  EXPECT_EQ(fault("a: 1\n\tb: 1\n").substr(0, 8), "line 2, ");
}

TEST(Yaml, SaysHowToWriteHost) {
  const auto value = spec::parse_yaml("source: host:\n");
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().message,
            "line 1, column 13: mapping values are not allowed in this context");
  EXPECT_NE(value.error().hint.find("\"host:\""), std::string::npos);
}

TEST(Yaml, NothingGrows) {
  EXPECT_EQ(fault(std::string(65, '[') + std::string(65, ']')),
            "line 1, column 65: nested too deeply");
  EXPECT_EQ(read(std::string(64, '[') + "a" + std::string(64, ']')).dump().size(), 131u);
  EXPECT_NE(fault(std::string(1u << 20, '[')), "");
  EXPECT_NE(fault(std::string(1u << 20, '{')), "");
  EXPECT_NE(fault("? "s + std::string(500'000, '?')), "");
  EXPECT_EQ(fault(std::string((1u << 20) + 1, ' ')), "1048577 bytes are too many");
}

TEST(BoxFile, ReadsWhatPeopleWrite) {
  const BoxSpec spec = box(R"(
source: "host:"
command: [sleep, 5]
env: {PORT: 8080, DEBUG: true}
labels: {version: 1.10}
user: 1000
limits: {memory_bytes: 64m, wall_time_ns: 1m30s, pids: 0x10, output: {max_bytes: 1k}}
replay_bytes: 2m
max_lifetime_ns: 1h
health: {command: [test, 1], interval_ns: 1.5s}
mounts:
- ./src:/workspace:ro
- cache:/cache
- {type: tmpfs, target: /t, mode: 0o1777, size_bytes: 1.5k}
- {type: tmpfs, target: /u, mode: "1777"}
)");
  EXPECT_EQ(spec.command, (std::vector<std::string>{"sleep", "5"}));
  EXPECT_EQ(spec.env, (std::map<std::string, std::string>{{"PORT", "8080"}, {"DEBUG", "true"}}));
  EXPECT_EQ(spec.labels.at("version"), "1.10");
  EXPECT_EQ(spec.user, "1000");
  EXPECT_EQ(spec.limits.memory_bytes, 64u << 20);
  EXPECT_EQ(spec.limits.wall_time, 90s);
  EXPECT_EQ(spec.limits.pids, 16u);
  EXPECT_EQ(spec.limits.output.max_bytes, 1024u);
  EXPECT_EQ(spec.replay_bytes, 2u << 20);
  EXPECT_EQ(spec.max_lifetime, 1h);
  EXPECT_EQ(spec.health->command, (std::vector<std::string>{"test", "1"}));
  EXPECT_EQ(spec.health->interval, 1500ms);
  const std::vector<Mount> mounts = {
      {.source = "./src", .target = "/workspace", .read_only = true},
      {.type = MountType::kVolume, .source = "cache", .target = "/cache"},
      {.type = MountType::kTmpfs, .target = "/t", .size_bytes = 1536, .mode = 01777},
      {.type = MountType::kTmpfs, .target = "/u", .mode = 01777}};
  EXPECT_EQ(spec.mounts, mounts);
}

TEST(BoxFile, WhatToJsonWritesIsRead) {
  BoxSpec spec;
  spec.name = "n";
  spec.command = {"\xff", "\xf0\x9f\x98\x80", "5", "true", "a\0b"s};
  spec.env = {{"A", "1"}, {"\xfe", "~"}, {"base64:x", ""}};
  spec.limits.memory_bytes = ~0ull;
  spec.limits.wall_time = std::chrono::nanoseconds::max();
  spec.limits.cpus = 0.1;
  spec.mounts = {{.type = MountType::kTmpfs, .target = "/t", .mode = 01777}};
  EXPECT_EQ(box(to_json(spec)), spec);
}

TEST(BoxFile, Refuses) {
  const auto error = [](std::string_view text) {
    const auto spec = box_spec_from_yaml(text);
    EXPECT_FALSE(spec) << text;
    return spec ? ""s : spec.error().reason + ": " + spec.error().message;
  };
  EXPECT_EQ(error("limits: {memroy: 1}"), "field_unknown: unknown field 'memroy' in limits");
  EXPECT_EQ(error("limits: {memory_bytes: 64x}"),
            "size_invalid: read 'limits.memory_bytes': parse size '64x': unknown suffix 'x'");
  EXPECT_EQ(error("idle_timeout_ns: soon"),
            "duration_invalid: read 'idle_timeout_ns': parse duration 'soon': not a number");
  EXPECT_EQ(error("mounts: [/only]"),
            "volume_invalid: read 'mounts[0]': parse volume '/only': not of the form "
            "/host:/box[:ro|rw]");
  EXPECT_EQ(error("mounts: [{type: tmpfs, target: /t, mode: '8'}]"),
            "field_invalid: read 'mounts[0].mode': expected a number, or octal digits such as "
            "\"1777\"");
  EXPECT_EQ(error("limits: {pids: '5'}"),
            "field_invalid: read 'limits.pids': expected an integer of 0 or more");
  EXPECT_EQ(error("tty: yes"), "field_invalid: read 'tty': expected true or false");
  EXPECT_EQ(error("env: {A: }").substr(0, 29), "field_invalid: read 'env.A': ");
  EXPECT_EQ(error("5"), "field_invalid: read 'box spec': expected an object");
}

}  // namespace
}  // namespace caisson
