// Pulls with a program in caisson-fetch's place.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "base/sha256.h"
#include "base/unit_test_support.h"
#include "engine/images_impl.h"

namespace caisson::engine {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::string digest_of(const std::string& text) { return "sha256:" + sha256_hex(text); }

/// What the program does first: it takes the request and its descriptors.
constexpr const char* kBegin = R"(#!/usr/bin/python3 -I
import array, json, os, socket, sys, time
s = socket.socket(fileno=3)
data, ancillary, _, _ = s.recvmsg(1 << 18, 1024)
fds = array.array('i')
for level, kind, value in ancillary:
    fds.frombytes(value[:len(value) - len(value) % 4])
request = json.loads(data)
def say(text): s.send(text.encode())
)";

class PullTest : public testing::Test {
 protected:
  TestDirectory directory_;
  std::shared_ptr<const Runtime::Impl> runtime_;
  std::optional<Images> images_;
  const std::string blob_ = "blob";
  const std::string diff_id_ = digest_of("tar");
  const std::string config_ =
      format(R"({{"architecture":"amd64","os":"linux","config":{{"Cmd":["sh"]}},)"
             R"("rootfs":{{"type":"layers","diff_ids":["{}"]}}}})",
             diff_id_);
  const std::string manifest_ = format(
      R"({{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":)"
      R"({{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":{}}},)"
      R"("layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{}",)"
      R"("size":{}}}]}})",
      digest_of(config_), config_.size(), digest_of(blob_), blob_.size());

  void SetUp() override {
    OpenOptions options;
    options.home = directory_ / "home";
    options.fetch_path = directory_ / "fetch";
    backend::Layout layout = *open_layout(options);
    runtime_ = std::make_shared<const Runtime::Impl>(layout, "", options,
                                                     *store::State::open(layout.home), "boot");
    images_.emplace(std::make_shared<const Images::Impl>(runtime_));
  }

  void program(const std::string& rest) const {
    const std::string path = directory_ / "fetch";
    std::ofstream(path) << kBegin << rest;
    ::chmod(path.c_str(), 0755);
  }
  static std::string say(const image::FetchMessage& message) {
    return format("say(r'''{}''')\n", image::encode(message));
  }
  /// Brings the image: its documents, its blob and its tree.
  std::string bring() const {
    std::string text;
    for (const std::string& document : {config_, manifest_, blob_})
      text += format("open('/proc/self/fd/%d/partial/{}' % fds[0], 'w').write(r'''{}''')\n",
                     sha256_hex(document), document);
    text += format(
        "os.makedirs('/proc/self/fd/%d/staging/%s/{}' % (fds[0], request['id']), exist_ok=True)\n",
        diff_id_.substr(7));
    PullEvent event;
    event.kind = PullEvent::Kind::kResolved;
    event.digest = digest_of(manifest_);
    event.layers = 1;
    text += say(event);
    text += say(image::LayerReady{.digest = digest_of(blob_),
                                  .diff_id = diff_id_,
                                  .chain_id = diff_id_,
                                  .size = blob_.size(),
                                  .disk_bytes = 4096,
                                  .problem = {}});
    return text +
           say(image::ImageReady{
               digest_of(manifest_), digest_of(config_), {}, {"docker.io/library/hostile:1"}});
  }
  bool staging_is_empty() const { return fs::is_empty(runtime_->path("fetch/staging")); }
};

constexpr const char* kName = "127.0.0.1:1/test/a:1";

TEST_F(PullTest, EventsThenImages) {
  program(bring() + say(image::FetchDone{}));
  auto pull = images_->pull({.source = kName});
  ASSERT_TRUE(pull) << pull.error().message;
  pollfd polled{pull->fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&polled, 1, 10'000), 1);
  const auto event = pull->next_event(in(std::chrono::seconds(10)));
  ASSERT_TRUE(event && *event) << event.error().message;
  EXPECT_EQ((*event)->digest, digest_of(manifest_));
  EXPECT_EQ(*pull->next_event(), std::nullopt);
  EXPECT_EQ(::poll(&polled, 1, 0), 1);
  const auto images = pull->wait();
  ASSERT_TRUE(images) << images.error().message;
  ASSERT_EQ(images->size(), 1u);
  EXPECT_EQ(images->front().id, digest_of(manifest_));
  // Not the name that the source would have liked.
  EXPECT_THAT(images->front().names, testing::ElementsAre(kName));
  EXPECT_TRUE(staging_is_empty());
  // It is known now, so that nothing has to be started.
  fs::remove(directory_ / "fetch");
  auto again = images_->pull({.source = kName, .policy = PullPolicy::kMissing});
  EXPECT_EQ(again->wait()->front().id, digest_of(manifest_));
}

TEST_F(PullTest, WithoutTheProgram) {
  EXPECT_EQ(images_->pull({.source = kName}).error().reason, "fetch_missing");
  EXPECT_EQ(images_->pull({.source = kName, .policy = PullPolicy::kNever}).error().reason,
            "image_not_found");
}

TEST_F(PullTest, ItsErrorsArePassedOn) {
  program(say(make_error(Code::kNotFound, "manifest_unknown", "pull 'x': there is none")) +
          "sys.exit(0)\n");
  auto pull = images_->pull({.source = kName});
  EXPECT_EQ(*pull->next_event(), std::nullopt);
  EXPECT_EQ(pull->wait().error().reason, "manifest_unknown");
  EXPECT_EQ(pull->wait().error().reason, "manifest_unknown") << "however often one asks";
  EXPECT_TRUE(staging_is_empty());
}

TEST_F(PullTest, ADeathIsAnError) {
  program(bring() + "os.kill(os.getpid(), 9)\n");
  EXPECT_THAT(images_->pull({.source = kName})->wait().error().message, HasSubstr("signal 9"));
  program(bring() + say(image::FetchDone{}) + "sys.exit(3)\n");
  const auto failed = images_->pull({.source = kName})->wait();
  EXPECT_THAT(failed.error().message, HasSubstr("status 3"));
  program("say('nonsense')\n");
  EXPECT_FALSE(images_->pull({.source = kName})->wait());
  EXPECT_TRUE(images_->list()->empty());
  EXPECT_TRUE(staging_is_empty());
}

TEST_F(PullTest, DeadlinesLoseNothing) {
  program("time.sleep(0.3)\n" + bring() + say(image::FetchDone{}));
  auto pull = images_->pull({.source = kName});
  int deadlines = 0;
  Result<std::vector<ImageInfo>> images = pull->wait(in(std::chrono::milliseconds(20)));
  for (; !images && images.error().code == Code::kDeadlineExceeded; ++deadlines)
    images = pull->wait(in(std::chrono::milliseconds(20)));
  EXPECT_GT(deadlines, 1);
  ASSERT_TRUE(images) << images.error().message;
}

TEST_F(PullTest, DroppingItEndsTheProgram) {
  program("open(sys.argv[0] + '.pid', 'w').write(str(os.getpid()))\n" + say(PullEvent{}) +
          "time.sleep(600)\n");
  {
    auto pull = images_->pull({.source = kName});
    ASSERT_TRUE(pull->next_event());
  }
  const std::string pid = *read_file(directory_ / "fetch.pid");
  EXPECT_FALSE(fs::exists("/proc/" + pid));
  EXPECT_TRUE(staging_is_empty());
}

TEST_F(PullTest, WhatWasRemovedMeanwhileIsFetchedOnceMore) {
  // The first time it says that the layer need not be unpacked.
  program(
      "first = not os.path.exists(sys.argv[0] + '.tried')\n"
      "open(sys.argv[0] + '.tried', 'w')\n"
      "if first:\n" +
      format("    say(r'''{}''')\n", image::encode(image::FetchMessage(image::ImageReady{
                                         digest_of(manifest_), digest_of(config_), {}, {}}))) +
      format("    say(r'''{}''')\n    sys.exit(0)\n",
             image::encode(image::FetchMessage(image::FetchDone{}))) +
      bring() + say(image::FetchDone{}));
  const auto images = images_->pull({.source = kName})->wait();
  ASSERT_TRUE(images) << images.error().message;
  EXPECT_EQ(images->size(), 1u);
}

TEST_F(PullTest, AnArchivesNamesAreTaken) {
  program(bring() + say(image::FetchDone{}));
  std::ofstream(directory_ / "a.tar") << "x";
  const auto images = images_->pull({.source = "docker-archive:" + (directory_ / "a.tar")})->wait();
  ASSERT_TRUE(images) << images.error().message;
  EXPECT_THAT(images->front().names, testing::ElementsAre("docker.io/library/hostile:1"));
  EXPECT_EQ(images_->pull({.source = "oci:/nowhere"}).error().reason, "source_missing");
}

}  // namespace
}  // namespace caisson::engine
