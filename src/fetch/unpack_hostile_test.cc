// Layers that mean harm.
#include "fetch/unpack_test_support.h"

namespace caisson::fetch {
namespace {

using Hostile = LayerTest;

std::string reason(const Result<image::LayerReady>& result) {
  return result ? "unpacked" : result.error().reason;
}

TEST_F(Hostile, NamesThatLeadOut) {
  for (const char* name : {"../out", "a/../../out", "..", "a/..", "./../x"}) {
    const Result<image::LayerReady> result = unpack(Tar().file(name, "x"));
    EXPECT_EQ(reason(result), "layer_unsafe") << name;
    EXPECT_NE(result.error().message.find(digest_of(Tar().file(name, "x").bytes())),
              std::string::npos);
    std::filesystem::remove_all(dir_ / "staging/" + hex(count_));
  }
  EXPECT_EQ(reason(unpack(Tar().file("a", "x").link("b", "../a"))), "layer_unsafe");
}

TEST_F(Hostile, SymbolicLinksAreNeverFollowed) {
  const std::string canary = dir_ / "canary";
  ASSERT_TRUE(replace_file(AT_FDCWD, canary, "untouched", 0600));
  Tar tar;
  tar.symlink("out", dir_.path()).file("out/canary", "x").symlink("f", canary).file("f", "new");
  tar.symlink("g", canary).link("h", "g").symlink("dir", dir_.path()).file("dir/.wh.canary", "");
  tar.symlink("o", dir_.path()).file("o/.wh..wh..opq", "").symlink("p", dir_.path()).dir("p", 0777);
  ASSERT_EQ(reason(unpack(tar)), "unpacked");
  EXPECT_EQ(*read_file(canary), "untouched");
  struct stat st{};
  ASSERT_EQ(::stat(canary.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0600u);
  EXPECT_EQ(st.st_nlink, 1u);
  EXPECT_EQ(content("out/canary"), "x");
  EXPECT_TRUE(S_ISLNK(stat_of("h").st_mode));
}

TEST_F(Hostile, HardLinksThroughSymbolicLinks) {
  ASSERT_TRUE(replace_file(AT_FDCWD, dir_ / "canary", "untouched", 0600));
  EXPECT_EQ(reason(unpack(Tar().symlink("s", dir_.path()).link("h", "s/canary"))), "layer_invalid");
}

TEST_F(Hostile, HardLinksToNothingAndToDirectories) {
  EXPECT_EQ(reason(unpack(Tar().link("h", "absent"))), "layer_invalid");
  std::filesystem::remove_all(dir_ / "staging/" + hex(count_));
  EXPECT_EQ(reason(unpack(Tar().dir("d").link("h", "d"))), "layer_invalid");
  std::filesystem::remove_all(dir_ / "staging/" + hex(count_));
  EXPECT_EQ(reason(unpack(Tar().link("h", "h"))), "layer_invalid");
  std::filesystem::remove_all(dir_ / "staging/" + hex(count_));
  EXPECT_EQ(reason(unpack(Tar().file("d/f", "x").link("d", "d/f"))), "system_call_failed");
}

TEST_F(Hostile, ALaterMemberTakesThePlaceOfALinksDirectory) {
  ASSERT_EQ(reason(unpack(Tar().file("below/f", "x"))), "unpacked");
  // Many, so that lists grow while they are read.
  Tar tar;
  for (int i = 0; i < 500; ++i) {
    const std::string dir = "d" + std::to_string(i) + std::string(100, 'd');
    tar.dir(dir).link(dir + "/l", "below/f").file(dir, "later");
  }
  ASSERT_EQ(reason(unpack(tar)), "unpacked");
  EXPECT_EQ(content("d7" + std::string(100, 'd')), "later");
}

TEST_F(Hostile, FilesOfLayersBelowAreCopiedOnce) {
  Tar below;
  below.file("big", std::string(100'000, 'x'));
  for (int i = 0; i < 50; ++i) below.link("same" + std::to_string(i), "big");
  ASSERT_EQ(reason(unpack(below)), "unpacked");
  Tar tar;
  for (int i = 0; i < 50; ++i) tar.link("l" + std::to_string(i), "same" + std::to_string(i));
  const auto ready = unpack(tar);
  ASSERT_EQ(reason(ready), "unpacked");
  EXPECT_LT(ready->disk_bytes, 300'000u);
  EXPECT_EQ(stat_of("l0").st_nlink, 50u);
  Tar many;
  for (int i = 0; i < 16'500; ++i) many.file("f" + std::to_string(i), "");
  ASSERT_EQ(reason(unpack(many)), "unpacked");
  Tar links;
  for (int i = 0; i < 16'500; ++i) links.link("l" + std::to_string(i), "f" + std::to_string(i));
  EXPECT_EQ(reason(unpack(links)), "layer_bomb");
}

TEST_F(Hostile, ReservedNames) {
  for (const char* name : {".wh.", ".wh..", ".wh...", ".wh.d/f"}) {
    EXPECT_EQ(reason(unpack(Tar().file(name, "x"))), "layer_unsafe") << name;
    std::filesystem::remove_all(dir_ / "staging/" + hex(count_));
  }
}

TEST_F(Hostile, Bombs) {
  const auto with = [&](const Tar& tar, auto change) {
    UnpackJob bomb = job(tar.bytes(), tar.bytes());
    change(bomb.caps);
    const Result<image::LayerReady> result = unpack(std::move(bomb));
    std::filesystem::remove_all(dir_ / "staging/" + hex(count_));
    return reason(result);
  };
  Tar many;
  for (int i = 0; i < 20; ++i) many.file(std::to_string(i), "");
  EXPECT_EQ(with(many, [](LayerCaps& caps) { caps.entries = 10; }), "layer_bomb");
  EXPECT_EQ(with(Tar().file("1/2/3/4/5/6/7/8/9", ""), [](LayerCaps& caps) { caps.entries = 5; }),
            "layer_bomb");
  EXPECT_EQ(with(Tar().file("big", std::string(100'000, 'x')),
                 [](LayerCaps& caps) { caps.bytes = 50'000; }),
            "layer_bomb");
  EXPECT_EQ(with(Tar().file("big", std::string(100'000, 'x')),
                 [](LayerCaps& caps) {
                   caps.ratio_floor = 1000;
                   caps.ratio = 1;
                 }),
            "unpacked");
  std::string deep;
  for (int i = 0; i < 300; ++i) deep += "d/";
  EXPECT_EQ(with(Tar().file(deep + "f", ""), [](LayerCaps&) {}), "layer_invalid");
  EXPECT_EQ(with(Tar().file(std::string(256, 'c'), ""), [](LayerCaps&) {}), "layer_invalid");
  std::string path = "p";
  for (int i = 0; i < 30; ++i) path += "/" + std::string(200, 'q');
  EXPECT_EQ(with(Tar().file(path, ""), [](LayerCaps&) {}), "layer_invalid");
}

TEST_F(Hostile, WrongDigestsAreToldFirst) {
  const std::string good = Tar().file("f", "x").bytes();
  UnpackJob wrong = job("garbage that is no tar at all", good);
  wrong.digest = digest_of("something else");
  EXPECT_EQ(reason(unpack(std::move(wrong))), "layer_digest_mismatch");
  wrong = job("garbage that is no gzip", good, spec::Compression::kGzip);
  wrong.digest = digest_of("something else");
  EXPECT_EQ(reason(unpack(std::move(wrong))), "layer_digest_mismatch");
  wrong = job(good, good);
  wrong.diff_id = digest_of("something else");
  EXPECT_EQ(reason(unpack(std::move(wrong))), "layer_diff_id_mismatch");
  std::filesystem::remove_all(dir_ / "staging/" + hex(count_));
  for (const std::uint64_t size : {good.size() - 1, good.size() + 1}) {
    wrong = job(good, good);
    wrong.size = size;
    EXPECT_EQ(reason(unpack(std::move(wrong))), "layer_size_mismatch");
    std::filesystem::remove_all(dir_ / "staging/" + hex(count_));
  }
}

TEST_F(Hostile, WhatIsNoTar) {
  const std::string garbage(4096, 'g');
  EXPECT_EQ(reason(unpack(job(garbage, garbage))), "layer_invalid");
  std::filesystem::remove_all(dir_ / "staging/" + hex(count_));
  std::string cut = Tar().file("f", std::string(5000, 'x')).bytes();
  cut.resize(3000);
  EXPECT_EQ(reason(unpack(job(cut, cut))), "layer_invalid");
  std::filesystem::remove_all(dir_ / "staging/" + hex(count_));
  EXPECT_EQ(reason(unpack(job(garbage, garbage, spec::Compression::kGzip))), "layer_invalid");
  EXPECT_EQ(reason(unpack(job(garbage, garbage, spec::Compression::kZstd))), "layer_invalid");
}

TEST_F(Hostile, IdsAndDevicesOutOfRange) {
  Tar ids;
  ids.add({.name = "f", .content = {}, .link = {}, .pax = {{"uid", "4294967295"}}});
  EXPECT_EQ(reason(unpack(ids)), "layer_invalid");
  std::filesystem::remove_all(dir_ / "staging/" + hex(count_));
  Tar device;
  device.add(
      {.name = "d", .type = '3', .content = {}, .link = {}, .major = 4096, .minor = 1, .pax = {}});
  EXPECT_EQ(reason(unpack(device)), "layer_invalid");
}

}  // namespace
}  // namespace caisson::fetch
