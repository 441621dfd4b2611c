#include "image/fetch_protocol.h"

#include <gtest/gtest.h>

namespace caisson::image {
namespace {

const std::string kDigest = "sha256:" + std::string(64, 'a');

TEST(FetchProtocol, requests_come_back_as_they_were) {
  PullRequest pull{.id = "01h",
                   .kind = SourceKind::kOciArchive,
                   .reference = "oci-archive:/a",
                   .name = "docker.io/library/a:1",
                   .tag = "1",
                   .all_images = true,
                   .os = "linux",
                   .architecture = "arm64",
                   .variant = "v8",
                   .endpoints = {{.host = "h:5000",
                                  .repository = "a/b",
                                  .plain_http = true,
                                  .ca = "PEM",
                                  .username = "u",
                                  .password = "p\xff"}},
                   .no_proxy = "x",
                   .parallel = 7};
  EXPECT_EQ(decode_fetch_request(encode(FetchRequest(pull))), FetchRequest(pull));
  VerifyRequest verify{"01h", {{kDigest, kDigest, kDigest, "t", 1ull << 40, {kDigest}}}};
  EXPECT_EQ(decode_fetch_request(encode(FetchRequest(verify))), FetchRequest(verify));
  UnpackRequest unpack{verify.layers[0], {kDigest, kDigest}, false, 2, 3};
  EXPECT_EQ(decode_fetch_request(encode(FetchRequest(unpack))), FetchRequest(unpack));
  unpack.below = {"sha256:../../x"};
  EXPECT_FALSE(decode_fetch_request(encode(FetchRequest(unpack))));
  EXPECT_EQ(decode_fetch_request(encode(FetchRequest(LoginRequest{}))),
            FetchRequest(LoginRequest{}));
}

TEST(FetchProtocol, messages_come_back_as_they_were) {
  for (const FetchMessage& message : std::vector<FetchMessage>{
           PullEvent{.state = PullEvent::State::kCached, .layer = 3, .digest = kDigest, .total = 9},
           LayerReady{kDigest, kDigest, kDigest, 5, 6, false, "differs"},
           ImageReady{kDigest, kDigest, {kDigest}, {"a", "b"}},
           make_error(Code::kNotFound, "layer_invalid", "m", "h"), FetchDone{}}) {
    EXPECT_EQ(decode_fetch_message(encode(message)), message) << encode(message);
  }
}

TEST(FetchProtocol, what_does_not_fit_is_refused) {
  const std::string good = encode(FetchMessage(LayerReady{kDigest, kDigest, kDigest}));
  const auto with = [&](std::string_view from, std::string_view to) {
    std::string text = good;
    return text.replace(text.find(from), from.size(), to);
  };
  ASSERT_TRUE(decode_fetch_message(good));
  EXPECT_FALSE(decode_fetch_message(with("\"version\":1", "\"version\":2")));
  EXPECT_FALSE(decode_fetch_message(with("\"size\":0", "\"size\":-1")));
  EXPECT_FALSE(decode_fetch_message(with("\"size\":0", "\"size\":0,\"more\":1")));
  EXPECT_FALSE(decode_fetch_message(with("\"size\":0", "\"sise\":0")));
  EXPECT_FALSE(decode_fetch_message(with("layer_ready", "layer_reedy")));
  EXPECT_FALSE(decode_fetch_message(with("aaaa\"", "../x\"")));
  EXPECT_FALSE(decode_fetch_message("[]"));
  EXPECT_FALSE(decode_fetch_message("{}"));
  EXPECT_FALSE(decode_fetch_message(""));
  EXPECT_FALSE(decode_fetch_message(std::string(kMaxMessage + 1, ' ')));
  EXPECT_FALSE(decode_fetch_request(good));
}

}  // namespace
}  // namespace caisson::image
