#include "files/protocol.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "wire/cbor.h"

namespace caisson::files {
namespace {

TEST(FilesProtocol, RequestsComeBackAsTheyWere) {
  Request request{.op = Op::kUnpack, .path = "/a\xff", .name = "root", .as = "b"};
  request.follow = request.deep = request.keep_owners = true;
  request.offset = 7;
  request.mode = 0600;
  request.gid = 5;
  EXPECT_EQ(decode_request(encode_request(request)).value(), request);
  EXPECT_EQ(decode_request(encode_request({})).value(), Request{});
}

TEST(FilesProtocol, RequestsWithWhatIsNotKnownAreRefused) {
  nlohmann::json document = wire::decode_cbor(encode_request({.path = "/"})).value();
  document["more"] = 1;
  EXPECT_FALSE(decode_request(wire::encode_cbor(document)));
  document.erase("more");
  document["op"] = "chroot";
  EXPECT_FALSE(decode_request(wire::encode_cbor(document)));
  document["op"] = "stat";
  document["path"] = nlohmann::json::binary({'/', 0, 'a'});
  EXPECT_FALSE(decode_request(wire::encode_cbor(document)));
  document["path"] = "/";
  document["mode"] = -1;
  EXPECT_FALSE(decode_request(wire::encode_cbor(document)));
}

TEST(FilesProtocol, AnswersComeBackAsTheyWere) {
  Answer answer;
  answer.info = FileInfo{"a\xff", FileKind::kSymlink, 0777, 1, 2, 3, -4, "/b"};
  answer.copied = {1, 2, 3};
  const Answer back = decode_answer(encode_answer(answer)).value();
  EXPECT_EQ(back.info, answer.info);
  EXPECT_EQ(back.copied.bytes, 2u);
  answer.error = make_error(Code::kNotFound, "path_not_found", "no\xff", "hint");
  EXPECT_EQ(decode_answer(encode_answer(answer)).value().error, answer.error);
}

TEST(FilesProtocol, ANameIsNoPath) {
  const std::vector<FileInfo> list = {{.name = "../../etc/passwd"}};
  EXPECT_FALSE(decode_infos(encode_infos(list)));
  EXPECT_EQ(decode_infos(encode_infos({{.name = "a"}, {.name = "b"}})).value().size(), 2u);
}

TEST(FilesProtocol, EventsComeBackAsTheyWere) {
  const FileEvent event{FileEventKind::kRemoved, "/a\xff", true};
  EXPECT_EQ(decode_event(encode_event(event)).value(), event);
}

}  // namespace
}  // namespace caisson::files
