#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "caisson/image.h"

namespace caisson {
namespace {

using nlohmann::json;

TEST(ImageJson, ShowsWhatInspectPromises) {
  ImageInfo info;
  info.id = "sha256:1";
  info.names = {"docker.io/library/a:1"};
  info.os = "linux";
  info.pulled_ns = 1;
  info.config.command = {"sh", "\xff"};
  info.config.labels = {{"k", "v"}};
  info.layers = {{.digest = "sha256:2", .size = 3, .disk_bytes = 4}};
  info.history = {{.created_by = "x", .empty_layer = true}};
  info.own_bytes = 5;
  const json value = json::parse(to_json(info));
  EXPECT_EQ(value["id"], "sha256:1");
  EXPECT_EQ(value["names"][0], "docker.io/library/a:1");
  EXPECT_EQ(value["pulled"], "1970-01-01T00:00:00.000000001Z");
  EXPECT_EQ(value["config"]["command"][1]["base64"], "/w==");
  EXPECT_EQ(value["config"]["labels"]["k"], "v");
  EXPECT_EQ(value["layers"][0]["disk_bytes"], 4);
  EXPECT_EQ(value["history"][0]["empty_layer"], true);
  EXPECT_EQ(value["own_bytes"], 5);
  EXPECT_EQ(to_json(info).find('\n'), std::string::npos);
}

TEST(PullEventJson, HasWhatItsKindHas) {
  PullEvent event;
  event.kind = PullEvent::Kind::kResolved;
  event.digest = "sha256:1";
  event.layers = 2;
  EXPECT_EQ(json::parse(to_json(event)),
            json({{"event", "resolved"}, {"digest", "sha256:1"}, {"layers", 2}}));
  event.kind = PullEvent::Kind::kLayer;
  event.state = PullEvent::State::kUnpacking;
  event.layer = 1;
  event.current = 3;
  event.total = 4;
  EXPECT_EQ(json::parse(to_json(event)), json({{"event", "layer"},
                                               {"layer", 1},
                                               {"digest", "sha256:1"},
                                               {"state", "unpacking"},
                                               {"current", 3},
                                               {"total", 4}}));
  event.kind = PullEvent::Kind::kRetry;
  event.text = "x";
  EXPECT_EQ(json::parse(to_json(event)), json({{"event", "retry"}, {"text", "x"}}));
}

}  // namespace
}  // namespace caisson
