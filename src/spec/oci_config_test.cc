#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "spec/oci.h"

namespace caisson::spec {
namespace {

using nlohmann::json;
using namespace std::string_literals;
using Texts = std::vector<std::string>;

std::string digest(char c) { return "sha256:" + std::string(64, c); }

json good() {
  return {{"architecture", "amd64"},
          {"os", "linux"},
          {"created", "2024-01-01T00:00:00Z"},
          {"config",
           {{"Entrypoint", {"/bin/e"}},
            {"Cmd", {"a", ""}},
            {"Env", {"PATH=/bin", "EMPTY=", "A=b=c"}},
            {"WorkingDir", "/w/../x//"},
            {"User", "1000:1000"},
            {"StopSignal", "SIGINT"},
            {"Volumes", {{"/data", json::object()}, {"/data/", json::object()}, {"/", nullptr}}},
            {"ExposedPorts", {{"80/tcp", json::object()}}},
            {"Labels", {{"k", "v"}}}}},
          {"rootfs", {{"type", "layers"}, {"diff_ids", {digest('a'), digest('b')}}}},
          {"history", {{{"created_by", "sh"}, {"empty_layer", true}}, {{"comment", "c"}}}}};
}

std::string changed(const char* pointer, json value) {
  json document = good();
  document[json::json_pointer(pointer)] = std::move(value);
  const auto result = parse_config(document.dump());
  return result ? "" : result.error().reason;
}

TEST(Config, ReadsEverything) {
  const Result<ConfigDoc> parsed = parse_config(good().dump());
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(to_string(parsed->platform), "linux/amd64");
  EXPECT_EQ(parsed->config.entrypoint, (Texts{"/bin/e"}));
  EXPECT_EQ(parsed->config.command, (Texts{"a", ""}));
  EXPECT_EQ(parsed->config.env, (Texts{"PATH=/bin", "EMPTY=", "A=b=c"}));
  EXPECT_EQ(parsed->config.workdir, "/x");
  EXPECT_EQ(parsed->config.volumes, (Texts{"/data"}));
  EXPECT_EQ(parsed->config.exposed_ports, (Texts{"80/tcp"}));
  EXPECT_EQ(parsed->config.labels.at("k"), "v");
  EXPECT_EQ(parsed->config.stop_signal, "SIGINT");
  EXPECT_EQ(parsed->diff_ids.size(), 2u);
  EXPECT_TRUE(parsed->history.at(0).empty_layer);
  EXPECT_EQ(parsed->history.at(1).comment, "c");
}

TEST(Config, DockersHabits) {
  json document = good();
  document["config"] = {{"Cmd", nullptr},     {"Entrypoint", "sh"}, {"Env", nullptr},
                        {"Volumes", nullptr}, {"Labels", nullptr},  {"WorkingDir", "rel"}};
  document["later"] = {1, 2};
  const Result<ConfigDoc> parsed = parse_config(document.dump());
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed->config.entrypoint, (Texts{"sh"}));
  EXPECT_EQ(parsed->config.workdir, "/rel");
  document["config"] = nullptr;
  document.erase("history");
  EXPECT_EQ(parse_config(document.dump())->config, ImageConfig{});
}

TEST(Config, WhatSetsNothingIsNoVariable) {
  json document = good();
  document["config"]["Env"] = {"A", "=x", "", "B="};
  EXPECT_EQ(parse_config(document.dump())->config.env, (Texts{"B="}));
}

TEST(Config, WrongValues) {
  for (const char* pointer :
       {"/config", "/config/Entrypoint", "/config/Cmd", "/config/Env", "/config/WorkingDir",
        "/config/User", "/config/Volumes", "/config/Labels", "/rootfs", "/rootfs/type",
        "/rootfs/diff_ids", "/history", "/history/0/empty_layer", "/os", "/architecture"})
    for (const json& bad : {json(7), json(1.5), json::array({1})})
      EXPECT_EQ(changed(pointer, bad), "config_invalid") << pointer << bad;
  for (const char* pointer :
       {"/config/Entrypoint/0", "/config/Cmd/0", "/config/Env/0", "/config/WorkingDir",
        "/config/User", "/config/StopSignal", "/config/Labels/k", "/architecture"})
    EXPECT_EQ(changed(pointer, "a\0b"s), "config_invalid") << pointer;
  EXPECT_EQ(changed("/config/Volumes", {{"/a\0b"s, json::object()}}), "config_invalid");
  EXPECT_EQ(changed("/config/Labels", {{"a\0b"s, "x"}}), "config_invalid");
  EXPECT_EQ(changed("/architecture", ""), "config_invalid");
  EXPECT_EQ(changed("/rootfs/type", "layerz"), "config_invalid");
  EXPECT_EQ(changed("/rootfs/diff_ids", json::array()), "config_invalid");
  EXPECT_EQ(changed("/rootfs/diff_ids/0", "sha256:../../x"), "config_invalid");
  EXPECT_EQ(changed("/rootfs/diff_ids", json(Texts(kMostLayers, digest('a')))), "");
  EXPECT_EQ(changed("/rootfs/diff_ids", json(Texts(kMostLayers + 1, digest('a')))),
            "config_invalid");
  for (const std::string& bad : {""s, "[]"s, "1"s, std::string(4u << 20, '[')})
    EXPECT_EQ(parse_config(bad).error().reason, "config_invalid");
}

TEST(ChainIds, FollowTheSpecification) {
  EXPECT_TRUE(chain_ids({}).empty());
  const Texts chain = chain_ids({digest('a'), digest('b'), digest('c')});
  EXPECT_EQ(chain[0], digest('a'));
  EXPECT_EQ(chain[1], "sha256:" + sha256_hex(digest('a') + " " + digest('b')));
  EXPECT_EQ(chain[2], "sha256:" + sha256_hex(chain[1] + " " + digest('c')));
}

}  // namespace
}  // namespace caisson::spec
