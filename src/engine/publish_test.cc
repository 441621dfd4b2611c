#include "engine/publish.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/sha256.h"
#include "base/unit_test_support.h"
#include "engine/images_impl.h"

namespace caisson::engine {
namespace {

namespace fs = std::filesystem;

std::string digest_of(const std::string& text) { return "sha256:" + sha256_hex(text); }

/// An image of one layer, in the places where caisson-fetch leaves it.
class PublishTest : public testing::Test {
 protected:
  TestDirectory directory_;
  std::shared_ptr<const Runtime::Impl> runtime_;
  std::optional<Staging> staging_;
  const std::string blob_ = "a layer's blob";
  const std::string diff_id_ = digest_of("a layer's tar");
  std::string config_, manifest_;
  Fetched fetched_;

  void SetUp() override {
    OpenOptions options;
    options.home = directory_ / "home";
    backend::Layout layout = *open_layout(options);
    runtime_ = std::make_shared<const Runtime::Impl>(layout, "", options,
                                                     *store::State::open(layout.home), "boot");
    ASSERT_TRUE(open_fetch_directories(*runtime_));
    staging_.emplace(*Staging::make(*runtime_));
    fill();
  }
  void TearDown() override { staging_.reset(); }

  void fill() {
    config_ = format(R"({{"architecture":"amd64","os":"linux","config":{{"Cmd":["sh"]}},)"
                     R"("rootfs":{{"type":"layers","diff_ids":["{}"]}}}})",
                     diff_id_);
    manifest_ = format(
        R"({{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":)"
        R"({{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},)"
        R"("layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{}",)"
        R"("size":{}}}]}})",
        digest_of(config_), config_.size(), digest_of(blob_), blob_.size());
    for (const std::string& text : {config_, manifest_, blob_}) write_partial(text);
    fs::create_directories(staged() + "/etc");
    fetched_.layers = {{.digest = digest_of(blob_),
                        .diff_id = diff_id_,
                        .chain_id = diff_id_,
                        .size = blob_.size(),
                        .disk_bytes = 8192}};
    fetched_.images = {{.manifest_digest = digest_of(manifest_),
                        .config_digest = digest_of(config_),
                        .index_digests = {},
                        .names = {"docker.io/library/a:1"}}};
  }
  void write_partial(const std::string& text) const {
    std::ofstream(runtime_->path("fetch/partial/" + sha256_hex(text))) << text;
  }
  std::string hex() const { return diff_id_.substr(7); }
  std::string staged() const {
    return runtime_->path(format("fetch/staging/{}/{}", staging_->id(), hex()));
  }
  auto publish_now() { return publish(*runtime_, fetched_, staging_->id()); }
  bool nothing_visible() const { return runtime_->images.list()->empty(); }
};

TEST_F(PublishTest, WhatIsProvedBecomesVisible) {
  const auto ids = publish_now();
  ASSERT_TRUE(ids) << ids.error().message;
  const auto row = runtime_->images.find(ids->front());
  EXPECT_EQ((*row)->names.front(), "docker.io/library/a:1");
  EXPECT_EQ((*row)->layers.front().disk_bytes, 8192u);
  EXPECT_TRUE(fs::is_directory(runtime_->path("layers/" + hex() + "/etc")));
  struct stat info{};
  ASSERT_EQ(::stat(runtime_->path("blobs/sha256/" + sha256_hex(blob_)).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0444u);
  EXPECT_TRUE(fs::is_empty(runtime_->path("fetch/partial")));
  EXPECT_EQ(*read_document(*runtime_, digest_of(config_)), config_);
}

TEST_F(PublishTest, DocumentsThatAreNotTheirDigests) {
  std::ofstream(runtime_->path("fetch/partial/" + sha256_hex(manifest_)), std::ios::app) << " ";
  EXPECT_EQ(publish_now().error().reason, "digest_mismatch");
  EXPECT_TRUE(nothing_visible());
}

TEST_F(PublishTest, ADigestThatWasAskedForMustLeadThere) {
  fetched_.digest = digest_of("what was asked for");
  EXPECT_EQ(publish_now().error().reason, "image_mismatch");
  const std::string index = format(
      R"({{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":)"
      R"([{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":{}}}]}})",
      digest_of(manifest_), manifest_.size());
  write_partial(index);
  fetched_.images.front().index_digests = {digest_of(index)};
  EXPECT_EQ(publish_now().error().reason, "image_mismatch");
  EXPECT_TRUE(nothing_visible());
  fetched_.digest = digest_of(index);
  EXPECT_TRUE(publish_now());
  // An index that does not name the manifest.
  fetched_.images.front().index_digests = {digest_of(index), digest_of(index)};
  EXPECT_EQ(publish_now().error().reason, "image_mismatch");
}

TEST_F(PublishTest, ALayerThatUnpackedToSomethingElse) {
  fetched_.layers.front().diff_id = digest_of("another tar");
  EXPECT_FALSE(publish_now());
  fetched_.layers.front().diff_id = diff_id_;
  fetched_.layers.front().digest = digest_of("another blob");
  EXPECT_FALSE(publish_now());
  fetched_.layers.clear();
  EXPECT_EQ(publish_now().error().reason, "image_vanished");
  EXPECT_TRUE(nothing_visible());
  EXPECT_FALSE(fs::exists(runtime_->path("layers/" + hex())));
}

TEST_F(PublishTest, TheConfigurationIsTheManifestsOwn) {
  const std::string other = R"({"architecture":"amd64","os":"linux","rootfs":{"type":"layers",)"
                            R"("diff_ids":[]}})";
  write_partial(other);
  fetched_.images.front().config_digest = digest_of(other);
  EXPECT_EQ(publish_now().error().reason, "image_mismatch");
  EXPECT_TRUE(nothing_visible());
}

TEST_F(PublishTest, ALinkInPlaceOfABlobIsRefused) {
  const std::string path = runtime_->path("fetch/partial/" + sha256_hex(blob_));
  fs::remove(path);
  fs::create_symlink("/etc/passwd", path);
  EXPECT_FALSE(publish_now());
  EXPECT_TRUE(nothing_visible());
  fs::remove(path);
  write_partial(blob_);
  fs::create_hard_link(path, path + "-link");
  EXPECT_EQ(publish_now().error().reason, "image_mismatch");
  EXPECT_TRUE(nothing_visible());
}

TEST_F(PublishTest, WhatIsHereAlreadyNeedNotBeFetched) {
  ASSERT_TRUE(publish_now());
  fetched_.layers.clear();
  fetched_.images.front().names = {"docker.io/library/b:1"};
  ASSERT_TRUE(publish_now());
  EXPECT_EQ(runtime_->images.find(digest_of(manifest_))->value().names.size(), 2u);
  // Somebody has removed the tree since caisson-fetch looked.
  fs::remove_all(runtime_->path("layers/" + hex()));
  EXPECT_EQ(publish_now().error().reason, "image_vanished");
}

TEST_F(PublishTest, WhatAKilledPullLeftGoesWithTheNextPrune) {
  // Killed after the renames and before the commit.
  fs::rename(staged(), runtime_->path("layers/" + hex()));
  fs::rename(runtime_->path("fetch/partial/" + sha256_hex(blob_)),
             runtime_->path("blobs/sha256/" + sha256_hex(blob_)));
  const std::string dead = runtime_->path("fetch/staging/01j00000000000000000000000");
  fs::create_directories(dead + "/x/y");
  Images images(std::make_shared<const Images::Impl>(runtime_));
  ASSERT_TRUE(images.prune());
  EXPECT_FALSE(fs::exists(dead));
  EXPECT_TRUE(fs::exists(runtime_->path("fetch/staging/" + staging_->id())));
  EXPECT_TRUE(fs::exists(runtime_->path("layers/" + hex()))) << "it is younger than the grace";
  const auto report = images.prune({.grace = std::chrono::nanoseconds(0)});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_GT(report->freed_bytes, 0u);
  EXPECT_TRUE(fs::is_empty(runtime_->path("layers")));
  EXPECT_TRUE(fs::is_empty(runtime_->path("blobs/sha256")));
  EXPECT_TRUE(fs::is_empty(runtime_->path("fetch/trash")));
}

TEST_F(PublishTest, RemovingDeletesWhatOnlyThisImageHas) {
  ASSERT_TRUE(publish_now());
  Images images(std::make_shared<const Images::Impl>(runtime_));
  ASSERT_TRUE(images.tag("a:1", "b:2"));
  EXPECT_EQ(images.inspect("b:2")->config.command, std::vector<std::string>{"sh"});
  const std::string id = digest_of(manifest_);
  EXPECT_EQ(images.inspect(id.substr(7, 8))->id, id);
  EXPECT_EQ(images.inspect(digest_of(config_))->id, id);
  EXPECT_EQ(images.remove(id).error().reason, "image_in_use");
  EXPECT_TRUE(images.remove("a:1")->deleted.empty());
  EXPECT_EQ(images.remove("b:2")->deleted.front(), id);
  EXPECT_TRUE(fs::is_empty(runtime_->path("layers")));
  EXPECT_TRUE(fs::is_empty(runtime_->path("blobs/sha256")));
  EXPECT_EQ(images.inspect("b:2").error().reason, "image_not_found");
}

TEST_F(PublishTest, WatermarksTakeTheLeastRecentlyUsed) {
  ASSERT_TRUE(publish_now());
  Images images(std::make_shared<const Images::Impl>(runtime_));
  EXPECT_TRUE(images.prune({.high = 1u << 20})->deleted.empty());
  EXPECT_EQ(images.prune({.high = 4096, .low = 0})->deleted.size(), 1u);
}

TEST_F(PublishTest, SavedArchivesAreTheSameEveryTime) {
  ASSERT_TRUE(publish_now());
  Images images(std::make_shared<const Images::Impl>(runtime_));
  std::string first;
  for (int i = 0; i < 2; ++i) {
    const std::string path = directory_ / "saved.tar";
    const Fd out = *open_fd(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    ASSERT_TRUE(images.save({"a:1"}, out.get()));
    const std::string text = *read_file(path);
    if (i == 0) first = text;
    EXPECT_EQ(text, first);
  }
  EXPECT_NE(first.find(manifest_), std::string::npos);
  EXPECT_EQ(images.save({"none:1"}, -1).error().reason, "image_not_found");
}

}  // namespace
}  // namespace caisson::engine
