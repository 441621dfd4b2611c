#include "engine/image_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace caisson::engine {
namespace {

using testing::ElementsAre;
using testing::Pair;

BoxSpec spec_of(std::vector<std::string> command) {
  BoxSpec spec;
  spec.source = "alpine";
  spec.command = std::move(command);
  return spec;
}
ImageConfig config_of(std::vector<std::string> entrypoint, std::vector<std::string> command) {
  ImageConfig config;
  config.entrypoint = std::move(entrypoint);
  config.command = std::move(command);
  return config;
}

TEST(WithImage, CommandIsEntrypointAndCommand) {
  const ImageConfig config = config_of({"/init"}, {"serve"});
  EXPECT_THAT(with_image(spec_of({}), config)->command, ElementsAre("/init", "serve"));
  EXPECT_THAT(with_image(spec_of({"a", "b"}), config)->command, ElementsAre("/init", "a", "b"));
  EXPECT_THAT(with_image(spec_of({}), config_of({}, {"sh"}))->command, ElementsAre("sh"));
}

TEST(WithImage, AnEntrypointOfTheSpecDropsTheImagesCommand) {
  BoxSpec spec = spec_of({});
  spec.entrypoint = {"/mine", "-x"};
  const auto made = with_image(spec, config_of({"/init"}, {"serve"}));
  EXPECT_THAT(made->command, ElementsAre("/mine", "-x"));
  EXPECT_EQ(made->entrypoint, std::nullopt);
  spec.entrypoint = std::vector<std::string>{};  // --entrypoint ""
  EXPECT_EQ(with_image(spec, config_of({"/init"}, {"serve"})).error().reason, "command_missing");
  spec.command = {"ls"};
  EXPECT_THAT(with_image(spec, config_of({"/init"}, {}))->command, ElementsAre("ls"));
}

TEST(WithImage, NothingToRun) {
  EXPECT_EQ(with_image(spec_of({}), {}).error().reason, "command_missing");
}

TEST(WithImage, VariablesOfTheSpecWinAndTheLastOfTheImage) {
  ImageConfig config = config_of({}, {"sh"});
  config.env = {"A=1", "B=2", "A=3", "NOVALUE", "=x", "E=a=b"};
  BoxSpec spec = spec_of({});
  spec.env = {{"B", "mine"}};
  EXPECT_THAT(with_image(spec, config)->env,
              ElementsAre(Pair("A", "3"), Pair("B", "mine"), Pair("E", "a=b"),
                          Pair("PATH", testing::StartsWith("/usr/local/sbin:"))));
  config.env = {"PATH=/opt/bin"};
  EXPECT_EQ(with_image(spec, config)->env.at("PATH"), "/opt/bin");
}

TEST(WithImage, WhatIsLeftOpenIsTheImages) {
  ImageConfig config = config_of({}, {"sh"});
  config.workdir = "srv";
  config.user = "app";
  config.stop_signal = "SIGINT";
  config.labels = {{"a", "image"}, {"b", "image"}};
  BoxSpec spec = spec_of({});
  spec.labels = {{"a", "spec"}};
  const BoxSpec made = *with_image(spec, config);
  EXPECT_EQ(made.workdir, "/srv");
  EXPECT_EQ(made.user, "app");
  EXPECT_EQ(made.stop_signal, "SIGINT");
  EXPECT_THAT(made.labels, ElementsAre(Pair("a", "spec"), Pair("b", "image")));
  spec.workdir = "/w";
  spec.user = "0";
  spec.stop_signal = "TERM";
  const BoxSpec kept = *with_image(spec, config);
  EXPECT_EQ(kept.workdir + kept.user + kept.stop_signal, "/w0TERM");
}

TEST(WithImage, WhatAnImageSaysIsChecked) {
  ImageConfig config = config_of({}, {"sh"});
  config.workdir = "/a/../../b";
  EXPECT_EQ(with_image(spec_of({}), config).error().reason, "workdir_invalid");
  config.workdir.clear();
  config.command = {std::string("a\0b", 3)};
  EXPECT_EQ(with_image(spec_of({}), config).error().reason, "nul_byte");
}

TEST(Volumes, ArePlainAbsolutePathsOnce) {
  EXPECT_THAT(plain_volumes({"/data", "//var/./lib/", "rel", "/", "/a/../b", "/data/", ""}),
              ElementsAre("/data", "/var/lib"));
}

}  // namespace
}  // namespace caisson::engine
