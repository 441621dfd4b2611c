#include "backend/protocol.h"

#include <nlohmann/json.hpp>

#include "spec/json.h"
#include "wire/cbor.h"

namespace caisson::backend {
namespace {

using nlohmann::json;

/// Reads members of a map; the first missing or mistyped one is the error.
class Fields final {
 public:
  explicit Fields(const json& object) : object_(object) {}

  std::string text(const char* name) {
    const json* value = find(name);
    if (value == nullptr || !value->is_string()) return fault(name), std::string();
    return value->get<std::string>();
  }
  std::int64_t integer(const char* name) {
    const json* value = find(name);
    if (value == nullptr || !value->is_number_integer()) return fault(name), 0;
    return value->get<std::int64_t>();
  }
  bool boolean(const char* name) {
    const json* value = find(name);
    if (value == nullptr || !value->is_boolean()) return fault(name), false;
    return value->get<bool>();
  }
  const json& member(const char* name) {
    static const json kNull;
    const json* value = find(name);
    if (value == nullptr) return fault(name), kNull;
    return *value;
  }
  const json* find(const char* name) const {
    const auto it = object_.find(name);
    return it == object_.end() ? nullptr : &*it;
  }
  Result<> result() const {
    if (fault_.empty()) return {};
    return make_error(Code::kInvalidArgument, "protocol_error",
                      format("decode message: field '{}' is missing or of the wrong type", fault_));
  }

 private:
  void fault(const char* name) {
    if (fault_.empty()) fault_ = name;
  }
  const json& object_;
  std::string fault_;
};

json encode_rootfs(const Rootfs& rootfs) {
  json views = json::array();
  for (const HostView& view : rootfs.views) views.push_back(view.path);
  return {{"lowers", rootfs.lowers},
          {"views", views},
          {"private_tmp", rootfs.private_tmp},
          {"workdir", rootfs.workdir}};
}

Result<Rootfs> decode_rootfs(const json& value) {
  if (!value.is_object())
    return make_error(Code::kInvalidArgument, "protocol_error",
                      "decode message: field 'rootfs' is not a map");
  Fields fields(value);
  Rootfs rootfs;
  rootfs.lowers = TRY(spec::decode_texts(fields.member("lowers")));
  for (std::string& path : TRY(spec::decode_texts(fields.member("views"))))
    rootfs.views.push_back({std::move(path)});
  rootfs.private_tmp = fields.boolean("private_tmp");
  rootfs.workdir = fields.text("workdir");
  TRY(fields.result());
  return rootfs;
}

Result<Request> decode_start(Fields& fields) {
  StartRequest request;
  request.id = fields.text("id");
  request.layout = {fields.text("home"), fields.text("run_dir")};
  request.attach = fields.boolean("attach");
  request.fail_at = static_cast<unsigned>(fields.integer("fail_at"));
  request.rootfs = TRY(decode_rootfs(fields.member("rootfs")));
  request.spec = TRY(spec::decode_box_spec(fields.member("spec"), spec::UnknownFields::kIgnore));
  TRY(fields.result());
  return Request(std::move(request));
}

struct Encode {
  json operator()(const StartRequest& r) const {
    return {{"op", "start"},
            {"id", r.id},
            {"home", r.layout.home},
            {"run_dir", r.layout.run_dir},
            {"attach", r.attach},
            {"fail_at", r.fail_at},
            {"rootfs", encode_rootfs(r.rootfs)},
            {"spec", spec::encode(r.spec)}};
  }
  json operator()(const ExecRequest& r) const {
    return {{"op", "exec"}, {"spec", spec::encode(r.spec)}};
  }
  json operator()(const AttachRequest&) const { return {{"op", "attach"}}; }
  json operator()(const WaitRequest&) const { return {{"op", "wait"}}; }
  json operator()(const SignalRequest& r) const { return {{"op", "signal"}, {"number", r.number}}; }
  json operator()(const KillRequest& r) const {
    return {{"op", "kill"}, {"reason", static_cast<int>(r.reason)}};
  }
  json operator()(const StopRequest& r) const {
    return {{"op", "stop"}, {"grace_ns", r.grace.count()}};
  }
  json operator()(const StatsRequest&) const { return {{"op", "stats"}}; }
  json operator()(const RemoveRequest& r) const {
    return {{"op", "remove"}, {"directory", r.directory}, {"name", r.name}};
  }
};

json encode_error(const Error& error) {
  // Messages quote names that need not be UTF-8; byte strings carry them unchanged.
  const auto bytes = [](const std::string& s) {
    return json::binary(std::vector<std::uint8_t>(s.begin(), s.end()));
  };
  return {{"code", static_cast<int>(error.code)},
          {"errno", error.sys_errno},
          {"reason", error.reason},
          {"message", bytes(error.message)},
          {"hint", bytes(error.hint)}};
}

Error decode_error(const json& value) {
  const auto text = [&](const char* name) {
    const auto it = value.find(name);
    if (it == value.end()) return std::string();
    if (it->is_binary()) return std::string(it->get_binary().begin(), it->get_binary().end());
    return it->is_string() ? it->get<std::string>() : std::string();
  };
  const auto number = [&](const char* name) {
    const auto it = value.find(name);
    return it != value.end() && it->is_number_integer() ? it->get<int>() : 0;
  };
  Error error =
      make_error(static_cast<Code>(number("code")), text("reason"), text("message"), text("hint"));
  error.sys_errno = number("errno");
  return error;
}

Result<Started> decode_started(const json& value) {
  Fields fields(value);
  Started started;
  started.init_pid = static_cast<int>(fields.integer("init_pid"));
  started.stages = TRY(spec::decode_stages(fields.member("stages")));
  started.warnings = TRY(spec::decode_texts(fields.member("warnings")));
  TRY(fields.result());
  return started;
}

Error unexpected() {
  return make_error(Code::kInvalidArgument, "protocol_error", "decode message: unexpected kind");
}

}  // namespace

std::string encode_request(const Request& request) {
  return wire::encode_cbor(std::visit(Encode{}, request));
}

Result<Request> decode_request(std::string_view payload) {
  const json document = TRY(wire::decode_cbor(payload));
  Fields fields(document);
  const std::string op = fields.text("op");
  TRY(fields.result());
  Request request;
  if (op == "start") return decode_start(fields);
  if (op == "exec")
    request = ExecRequest{
        TRY(spec::decode_exec_spec(fields.member("spec"), spec::UnknownFields::kIgnore))};
  else if (op == "attach")
    request = AttachRequest{};
  else if (op == "wait")
    request = WaitRequest{};
  else if (op == "signal")
    request = SignalRequest{static_cast<int>(fields.integer("number"))};
  else if (op == "kill")
    request = KillRequest{static_cast<ExitReason>(fields.integer("reason"))};
  else if (op == "stop")
    request = StopRequest{std::chrono::nanoseconds(fields.integer("grace_ns"))};
  else if (op == "stats")
    request = StatsRequest{};
  else if (op == "remove")
    request = RemoveRequest{fields.text("directory"), fields.text("name")};
  else
    return make_error(Code::kUnimplemented, "protocol_error",
                      format("decode message: unknown request '{}'", op));
  TRY(fields.result());
  return request;
}

std::string encode_reply(const Reply& reply) {
  if (reply.error) return wire::encode_cbor({{"error", encode_error(*reply.error)}});
  json ok = {{"fds", reply.fds}};
  if (reply.started)
    ok["started"] = {{"init_pid", reply.started->init_pid},
                     {"stages", spec::encode(reply.started->stages)},
                     {"warnings", spec::encode(reply.started->warnings)}};
  if (reply.usage) ok["usage"] = spec::encode(*reply.usage);
  return wire::encode_cbor({{"ok", ok}});
}

Result<Reply> decode_reply(std::string_view payload) {
  const json document = TRY(wire::decode_cbor(payload));
  Reply reply;
  if (const auto it = document.find("error"); it != document.end() && it->is_object()) {
    reply.error = decode_error(*it);
    return reply;
  }
  const auto it = document.find("ok");
  if (it == document.end() || !it->is_object()) return unexpected();
  Fields fields(*it);
  reply.fds = static_cast<int>(fields.integer("fds"));
  TRY(fields.result());
  if (const json* started = fields.find("started")) reply.started = TRY(decode_started(*started));
  if (const json* usage = fields.find("usage")) reply.usage = TRY(spec::decode_usage(*usage));
  return reply;
}

std::string encode_exit(const ExitInfo& exit) {
  return wire::encode_cbor({{"exit", spec::encode(exit)}});
}

Result<ExitInfo> decode_exit(std::string_view payload) {
  const json document = TRY(wire::decode_cbor(payload));
  const auto it = document.find("exit");
  if (it == document.end()) return unexpected();
  return spec::decode_exit_info(*it);
}

std::string encode_ended(const EndedRecord& record) {
  return json({{"exit", spec::encode(record.exit)}, {"finished_ns", record.finished_ns}}).dump();
}

Result<EndedRecord> decode_ended(std::string_view text) {
  const json document = TRY(spec::parse_json(text));
  const auto it = document.find("exit");
  if (it == document.end()) return unexpected();
  EndedRecord record;
  record.exit = TRY(spec::decode_exit_info(*it));
  if (const auto at = document.find("finished_ns"); at != document.end() && at->is_number_integer())
    record.finished_ns = at->get<std::int64_t>();
  return record;
}

}  // namespace caisson::backend
