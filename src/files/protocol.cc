#include "files/protocol.h"

#include <array>
#include <nlohmann/json.hpp>

#include "wire/cbor.h"
#include "wire/fields.h"

namespace caisson::files {
namespace {

using nlohmann::json;
using wire::bytes;
using wire::Fields;

constexpr std::array<const char*, 9> kOps = {"stat",   "list",  "read", "write", "mkdir",
                                             "remove", "watch", "pack", "unpack"};

Error malformed(std::string_view cause) {
  return make_error(Code::kInvalidArgument, "protocol_error", format("decode message: {}", cause));
}

void put(json& document, const char* name, const std::optional<std::uint32_t>& value) {
  if (value) document[name] = *value;
}

std::optional<std::uint32_t> optional(Fields& fields, const json& document, const char* name) {
  if (!document.contains(name)) return std::nullopt;
  return fields.integer(name, 0u, UINT32_MAX - 1);
}

json encode_info(const FileInfo& info) {
  return {{"name", bytes(info.name)},  {"kind", static_cast<int>(info.kind)},
          {"mode", info.mode},         {"uid", info.uid},
          {"gid", info.gid},           {"size", info.size},
          {"mtime_ns", info.mtime_ns}, {"link", bytes(info.link)}};
}

Result<FileInfo> decode_info(const json& value) {
  if (!value.is_object()) return malformed("a file is not a map");
  Fields fields(value);
  FileInfo info;
  info.name = fields.text("name");
  info.kind = static_cast<FileKind>(fields.integer("kind", 0, 127));
  info.mode = fields.integer("mode", 0u, 07777u);
  info.uid = fields.integer("uid", 0u, UINT32_MAX);
  info.gid = fields.integer("gid", 0u, UINT32_MAX);
  info.size = static_cast<std::uint64_t>(fields.integer<std::int64_t>("size", 0, INT64_MAX));
  info.mtime_ns = fields.integer<std::int64_t>("mtime_ns", INT64_MIN, INT64_MAX);
  info.link = fields.text("link");
  TRY(fields.finish());
  if (std::string_view("fdlpscb").find(static_cast<char>(info.kind)) == std::string_view::npos)
    return malformed("a file is of no kind");
  // What comes from a box must not become a path where a name is expected.
  if (info.name.find('/') != std::string::npos && info.name != "/")
    return malformed("a file's name is a path");
  return info;
}

}  // namespace

std::string encode_request(const Request& request) {
  json document = {{"op", kOps[static_cast<std::size_t>(request.op)]},
                   {"path", bytes(request.path)},
                   {"name", bytes(request.name)},
                   {"as", bytes(request.as)},
                   {"follow", request.follow},
                   {"deep", request.deep},
                   {"keep_owners", request.keep_owners},
                   {"offset", request.offset},
                   {"length", request.length}};
  put(document, "mode", request.mode);
  put(document, "uid", request.uid);
  put(document, "gid", request.gid);
  return wire::encode_cbor(document);
}

Result<Request> decode_request(std::string_view payload) {
  const json document = TRY(wire::decode_cbor(payload));
  Fields fields(document);
  Request request;
  const std::string op = fields.text("op");
  const auto* const found =
      std::ranges::find_if(kOps, [&](const char* name) { return op == name; });
  if (found == kOps.end()) return malformed(format("unknown request '{}'", op));
  request.op = static_cast<Op>(found - kOps.begin());
  request.path = fields.text("path");
  request.name = fields.text("name");
  request.as = fields.text("as");
  request.follow = fields.boolean("follow");
  request.deep = fields.boolean("deep");
  request.keep_owners = fields.boolean("keep_owners");
  request.offset = static_cast<std::uint64_t>(fields.integer<std::int64_t>("offset", 0, INT64_MAX));
  request.length = static_cast<std::uint64_t>(fields.integer<std::int64_t>("length", 0, INT64_MAX));
  request.mode = optional(fields, document, "mode");
  request.uid = optional(fields, document, "uid");
  request.gid = optional(fields, document, "gid");
  TRY(fields.finish());
  for (const std::string* text : {&request.path, &request.name, &request.as})
    if (text->find('\0') != std::string::npos) return malformed("a path has a NUL byte");
  return request;
}

std::string encode_answer(const Answer& answer) {
  if (answer.error) return wire::encode_cbor({{"error", wire::encode_error(*answer.error)}});
  json ok = {{"files", answer.copied.files},
             {"bytes", answer.copied.bytes},
             {"skipped", answer.copied.skipped}};
  if (answer.info) ok["info"] = encode_info(*answer.info);
  return wire::encode_cbor({{"ok", ok}});
}

Result<Answer> decode_answer(std::string_view payload) {
  const json document = TRY(wire::decode_cbor(payload));
  Answer answer;
  if (const auto it = document.find("error"); it != document.end() && it->is_object()) {
    TRY(wire::decode_error(*it, answer.error.emplace()));
    return answer;
  }
  const auto it = document.find("ok");
  if (it == document.end() || !it->is_object()) return malformed("unexpected kind");
  Fields fields(*it);
  const auto count = [&](const char* name) {
    return static_cast<std::uint64_t>(fields.integer<std::int64_t>(name, 0, INT64_MAX));
  };
  answer.copied = {count("files"), count("bytes"), count("skipped")};
  if (const json* info = fields.find("info")) answer.info = TRY(decode_info(*info));
  TRY(fields.finish());
  return answer;
}

std::string encode_infos(const std::vector<FileInfo>& infos) {
  json list = json::array();
  for (const FileInfo& info : infos) list.push_back(encode_info(info));
  return wire::encode_cbor({{"files", list}});
}

Result<std::vector<FileInfo>> decode_infos(std::string_view payload) {
  const json document = TRY(wire::decode_cbor(payload));
  const auto it = document.find("files");
  if (it == document.end() || !it->is_array()) return malformed("unexpected kind");
  std::vector<FileInfo> infos;
  for (const json& value : *it) infos.push_back(TRY(decode_info(value)));
  return infos;
}

std::string encode_event(const FileEvent& event) {
  return wire::encode_cbor({{"kind", static_cast<int>(event.kind)},
                            {"path", bytes(event.path)},
                            {"directory", event.is_directory}});
}

Result<FileEvent> decode_event(std::string_view payload) {
  const json document = TRY(wire::decode_cbor(payload));
  Fields fields(document);
  FileEvent event;
  event.kind = static_cast<FileEventKind>(
      fields.integer("kind", 0, static_cast<int>(FileEventKind::kOverflow)));
  event.path = fields.text("path");
  event.is_directory = fields.boolean("directory");
  TRY(fields.finish());
  return event;
}

}  // namespace caisson::files
