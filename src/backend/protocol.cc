#include "backend/protocol.h"

#include <algorithm>
#include <climits>
#include <nlohmann/json.hpp>

#include "spec/json.h"
#include "spec/json_reader.h"
#include "spec/names.h"
#include "wire/cbor.h"
#include "wire/fields.h"

namespace caisson::backend {
namespace {

using nlohmann::json;

constexpr int kLastSignal = 64;  // SIGRTMAX of Linux
constexpr int kMaxFds = 8;       // of one frame, see sys/socket.cc

using wire::bytes;
using wire::Fields;

json encode_rootfs(const Rootfs& rootfs) {
  std::vector<std::string> views;
  for (const HostView& view : rootfs.views) views.push_back(view.path);
  return {{"lowers", spec::encode(rootfs.lowers)},
          {"lower_parent", bytes(rootfs.lower_parent)},
          {"disk", bytes(rootfs.disk)},
          {"saved", bytes(rootfs.saved)},
          {"generation", bytes(rootfs.generation)},
          {"written_bytes", rootfs.written_bytes},
          {"strategy", std::string(to_string(rootfs.strategy))},
          {"volumes", spec::encode(rootfs.volumes)},
          {"views", spec::encode(views)},
          {"private_tmp", rootfs.private_tmp},
          {"workdir", bytes(rootfs.workdir)}};
}

Result<Rootfs> decode_rootfs(const json& value) {
  if (!value.is_object())
    return make_error(Code::kInvalidArgument, "protocol_error",
                      "decode message: field 'rootfs' is not a map");
  Fields fields(value);
  Rootfs rootfs;
  rootfs.lowers = TRY(spec::decode_texts(fields.member("lowers")));
  rootfs.lower_parent = fields.text("lower_parent");
  rootfs.disk = fields.text("disk");
  rootfs.saved = fields.text("saved");
  rootfs.generation = fields.text("generation");
  rootfs.written_bytes =
      static_cast<std::uint64_t>(fields.integer<std::int64_t>("written_bytes", 0, INT64_MAX));
  const std::string strategy = fields.text("strategy");
  rootfs.volumes = TRY(spec::decode_texts(fields.member("volumes")));
  for (std::string& path : TRY(spec::decode_texts(fields.member("views"))))
    rootfs.views.push_back({std::move(path)});
  rootfs.private_tmp = fields.boolean("private_tmp");
  rootfs.workdir = fields.text("workdir");
  TRY(fields.finish());
  rootfs.strategy = TRY(parse_rootfs_strategy(strategy));
  return rootfs;
}

Result<Request> decode_start(Fields& fields) {
  StartRequest request;
  request.id = fields.text("id");
  request.layout = {fields.text("home")};
  request.guest = fields.text("guest");
  request.attach = fields.boolean("attach");
  request.at_rest = fields.boolean("at_rest");
  request.fail_at = fields.integer("fail_at", 0u, UINT_MAX);
  if (const json* trial = fields.find("trial")) {
    Fields in(*trial);
    request.trial = Trial{in.text("target"), in.text("without")};
    TRY(in.finish());
  }
  request.rootfs = TRY(decode_rootfs(fields.member("rootfs")));
  request.spec = TRY(spec::decode_box_spec(fields.member("spec")));
  TRY(fields.finish());
  return Request(std::move(request));
}

/// Of a request that has one in it.
Result<StartRequest> decode_box(Fields& fields) {
  Fields box(fields.member("box"));
  if (box.text("op") != "start")
    return make_error(Code::kInvalidArgument, "protocol_error", "decode message: no box in it");
  return std::get<StartRequest>(TRY(decode_start(box)));
}

Result<Request> decode_warm(Fields& fields) {
  WarmRequest request;
  request.box = TRY(decode_box(fields));
  request.directory = fields.text("directory");
  TRY(fields.finish());
  return Request(std::move(request));
}

Result<Request> decode_compare(Fields& fields) {
  CompareRequest request;
  request.box = TRY(decode_box(fields));
  request.directory = fields.text("directory");
  request.old = fields.text("old");
  request.old_lowers = fields.integer("old_lowers", 0u, UINT_MAX);
  request.layer = fields.boolean("layer");
  TRY(fields.finish());
  return Request(std::move(request));
}

struct Encode {
  json operator()(const StartRequest& r) const {
    json request = {{"op", "start"},
                    {"id", bytes(r.id)},
                    {"home", bytes(r.layout.home)},
                    {"guest", bytes(r.guest)},
                    {"attach", r.attach},
                    {"at_rest", r.at_rest},
                    {"fail_at", r.fail_at},
                    {"rootfs", encode_rootfs(r.rootfs)},
                    {"spec", spec::encode(r.spec)}};
    if (r.trial)
      request["trial"] = {{"target", bytes(r.trial->target)}, {"without", r.trial->without}};
    return request;
  }
  json operator()(const ExecRequest& r) const {
    return {{"op", "exec"}, {"spec", spec::encode(r.spec)}};
  }
  json operator()(const FilesRequest&) const { return {{"op", "files"}}; }
  json operator()(const AttachRequest& r) const {
    json document = {{"op", "attach"}};
    if (r.options.exec) document["exec"] = *r.options.exec;
    if (r.options.stdout_offset) document["stdout"] = *r.options.stdout_offset;
    if (r.options.stderr_offset) document["stderr"] = *r.options.stderr_offset;
    return document;
  }
  json operator()(const WaitRequest&) const { return {{"op", "wait"}}; }
  json operator()(const SignalRequest& r) const { return {{"op", "signal"}, {"number", r.number}}; }
  json operator()(const KillRequest& r) const {
    return {{"op", "kill"}, {"reason", static_cast<int>(r.reason)}};
  }
  json operator()(const StopRequest& r) const {
    return {{"op", "stop"}, {"grace_ns", r.grace.count()}};
  }
  json operator()(const StatsRequest&) const { return {{"op", "stats"}}; }
  json operator()(const StartedRequest&) const { return {{"op", "started"}}; }
  json operator()(const PauseRequest& r) const { return {{"op", "pause"}, {"hold", r.hold}}; }
  json operator()(const ResumeRequest&) const { return {{"op", "resume"}}; }
  json operator()(const SaveRequest& r) const {
    return {
        {"op", "save"}, {"directory", bytes(r.directory)}, {"memory", r.memory}, {"stay", r.stay}};
  }
  json operator()(const RemoveRequest& r) const {
    return {{"op", "remove"}, {"directory", bytes(r.directory)}, {"name", bytes(r.name)}};
  }
  json operator()(const DiskRequest& r) const {
    return {{"op", "disk"},
            {"lowers", spec::encode(r.lowers)},
            {"lower_parent", bytes(r.lower_parent)},
            {"directory", bytes(r.directory)},
            {"name", bytes(r.name)},
            {"digest", bytes(r.digest)}};
  }
  json operator()(const CopyRequest& r) const {
    return {{"op", "copy"},
            {"trees", spec::encode(r.trees)},
            {"directory", bytes(r.directory)},
            {"name", bytes(r.name)}};
  }
  json operator()(const DiffRequest& r) const {
    return {{"op", "diff"}, {"before", spec::encode(r.before)}, {"after", spec::encode(r.after)}};
  }
  json operator()(const CompareRequest& r) const {
    return {{"op", "compare"},     {"box", (*this)(r.box)},      {"directory", bytes(r.directory)},
            {"old", bytes(r.old)}, {"old_lowers", r.old_lowers}, {"layer", r.layer}};
  }
  json operator()(const WarmRequest& r) const {
    return {{"op", "warm"}, {"box", (*this)(r.box)}, {"directory", bytes(r.directory)}};
  }
  json operator()(const LayerRequest& r) const {
    return {{"op", "layer"},
            {"before", spec::encode(r.before)},
            {"after", spec::encode(r.after)},
            {"swapped_uid", r.swapped_uid},
            {"swapped_gid", r.swapped_gid}};
  }
};

Result<Started> decode_started(const json& value) {
  Fields fields(value);
  Started started;
  started.shim_pid = fields.integer("shim_pid", 0, INT_MAX);
  started.init_pid = fields.integer("init_pid", 0, INT_MAX);
  started.started_ns = fields.integer<std::int64_t>("started_ns", 0, INT64_MAX);
  started.stages = TRY(spec::decode_stages(fields.member("stages")));
  started.warnings = TRY(spec::decode_texts(fields.member("warnings")));
  TRY(fields.finish());
  return started;
}

Error unexpected() {
  return make_error(Code::kInvalidArgument, "protocol_error", "decode message: unexpected kind");
}

/// Before anything else: another version may mean something else by the same words.
Result<> check_version(const json& document) {
  const auto it = document.find("version");
  if (it == document.end() || !it->is_number_integer() || *it == kProtocolVersion) return {};
  return make_error(
      Code::kFailedPrecondition, "protocol_version",
      format("decode message: its version is {}, this shim's {}", it->dump(), kProtocolVersion),
      "use the caisson that started the box");
}

AttachOptions decode_attach(Fields& fields, const json& document) {
  AttachOptions options;
  const auto number = [&](const char* name) -> std::optional<std::uint64_t> {
    if (!document.contains(name)) return std::nullopt;
    return static_cast<std::uint64_t>(fields.integer<std::int64_t>(name, 0, INT64_MAX));
  };
  if (document.contains("exec")) options.exec = fields.integer("exec", 1u, UINT32_MAX);
  options.stdout_offset = number("stdout");
  options.stderr_offset = number("stderr");
  return options;
}

Result<Request> request_of(const json& document) {
  Fields fields(document);
  fields.integer("version", kProtocolVersion, kProtocolVersion);
  const std::string op = fields.text("op");
  Request request;
  if (op == "start") return decode_start(fields);
  if (op == "compare") return decode_compare(fields);
  if (op == "warm") return decode_warm(fields);
  if (op == "exec")
    request = ExecRequest{TRY(spec::decode_exec_spec(fields.member("spec")))};
  else if (op == "files")
    request = FilesRequest{};
  else if (op == "attach")
    request = AttachRequest{decode_attach(fields, document)};
  else if (op == "wait")
    request = WaitRequest{};
  else if (op == "signal")
    request = SignalRequest{fields.integer("number", 1, kLastSignal)};
  else if (op == "kill")
    request = KillRequest{
        static_cast<ExitReason>(fields.integer("reason", static_cast<int>(ExitReason::kExited),
                                               static_cast<int>(ExitReason::kHibernated)))};
  else if (op == "stop")
    request = StopRequest{
        std::chrono::nanoseconds(fields.integer<std::int64_t>("grace_ns", 0, INT64_MAX))};
  else if (op == "stats")
    request = StatsRequest{};
  else if (op == "started")
    request = StartedRequest{};
  else if (op == "pause")
    request = PauseRequest{fields.boolean("hold")};
  else if (op == "resume")
    request = ResumeRequest{};
  else if (op == "save")
    request =
        SaveRequest{fields.text("directory"), fields.boolean("memory"), fields.boolean("stay")};
  else if (op == "remove")
    request = RemoveRequest{fields.text("directory"), fields.text("name")};
  else if (op == "disk")
    request =
        DiskRequest{TRY(spec::decode_texts(fields.member("lowers"))), fields.text("lower_parent"),
                    fields.text("directory"), fields.text("name"), fields.text("digest")};
  else if (op == "copy")
    request = CopyRequest{TRY(spec::decode_texts(fields.member("trees"))), fields.text("directory"),
                          fields.text("name")};
  else if (op == "diff")
    request = DiffRequest{TRY(spec::decode_texts(fields.member("before"))),
                          TRY(spec::decode_texts(fields.member("after")))};
  else if (op == "layer")
    request = LayerRequest{TRY(spec::decode_texts(fields.member("before"))),
                           TRY(spec::decode_texts(fields.member("after"))),
                           fields.integer<std::uint32_t>("swapped_uid", 0, UINT32_MAX),
                           fields.integer<std::uint32_t>("swapped_gid", 0, UINT32_MAX)};
  else
    return make_error(Code::kUnimplemented, "protocol_error",
                      format("decode message: unknown request '{}'", op));
  TRY(fields.finish());
  return request;
}

Result<Reply> reply_of(const json& document) {
  Reply reply;
  if (const auto it = document.find("error"); it != document.end() && it->is_object()) {
    TRY(wire::decode_error(*it, reply.error.emplace()));
    return reply;
  }
  const auto it = document.find("ok");
  if (it == document.end() || !it->is_object()) return unexpected();
  Fields fields(*it);
  reply.fds = fields.integer("fds", 0, kMaxFds);
  if (const json* started = fields.find("started")) reply.started = TRY(decode_started(*started));
  if (const json* exec = fields.find("exec"); exec != nullptr && exec->is_number_unsigned())
    reply.exec =
        static_cast<ProcessId>(std::min<std::uint64_t>(exec->get<std::uint64_t>(), UINT32_MAX));
  for (std::size_t i = 0; i < 2; ++i)
    if (const char* name = i == 0 ? "stdout" : "stderr"; it->contains(name))
      reply.offsets[i] =
          static_cast<std::uint64_t>(fields.integer<std::int64_t>(name, 0, INT64_MAX));
  if (const json* usage = fields.find("usage")) reply.usage = TRY(spec::decode_usage(*usage));
  TRY(fields.finish());
  return reply;
}

}  // namespace

std::string encode_request(const Request& request) {
  json document = std::visit(Encode{}, request);
  document["version"] = kProtocolVersion;
  return wire::encode_cbor(document);
}

Result<Request> decode_request(std::string_view payload) {
  const json document = TRY(wire::decode_cbor(payload));
  TRY(check_version(document));
  return wire::as_protocol_error(request_of(document));
}

std::string encode_reply(const Reply& reply) {
  if (reply.error) return wire::encode_cbor({{"error", wire::encode_error(*reply.error)}});
  json ok = {{"fds", reply.fds}};
  if (reply.started)
    ok["started"] = {{"shim_pid", reply.started->shim_pid},
                     {"init_pid", reply.started->init_pid},
                     {"started_ns", reply.started->started_ns},
                     {"stages", spec::encode(reply.started->stages)},
                     {"warnings", spec::encode(reply.started->warnings)}};
  if (reply.exec) ok["exec"] = *reply.exec;
  if (reply.offsets[0] != 0) ok["stdout"] = reply.offsets[0];
  if (reply.offsets[1] != 0) ok["stderr"] = reply.offsets[1];
  if (reply.usage) ok["usage"] = spec::encode(*reply.usage);
  return wire::encode_cbor({{"ok", ok}});
}

Result<Reply> decode_reply(std::string_view payload) {
  return wire::as_protocol_error(reply_of(TRY(wire::decode_cbor(payload))));
}

std::string encode_exit(const ExitInfo& exit) {
  return wire::encode_cbor({{"exit", spec::encode(exit)}});
}

Result<ExitInfo> decode_exit(std::string_view payload) {
  const json document = TRY(wire::decode_cbor(payload));
  const auto it = document.find("exit");
  if (it == document.end()) return unexpected();
  return wire::as_protocol_error(spec::decode_exit_info(*it));
}

std::string encode_status(const Status& status) {
  return json({{"restarts", status.restarts},
               {"restarting", status.restarting},
               {"init_pid", status.init_pid},
               {"started_ns", status.started_ns},
               {"health", std::string(to_string(status.health))},
               {"health_output", spec::encode_text(status.health_output)}})
      .dump();
}

Result<Status> decode_status(std::string_view text) {
  const json document = TRY(spec::parse_json(text));
  Fields fields(document);
  Status status;
  status.restarts = fields.integer("restarts", 0u, UINT_MAX);
  status.restarting = fields.boolean("restarting");
  status.init_pid = fields.integer("init_pid", 0, INT_MAX);
  status.started_ns = fields.integer<std::int64_t>("started_ns", 0, INT64_MAX);
  const std::optional<HealthState> health = spec::find_named<HealthState>(fields.text("health"));
  status.health_output = fields.text("health_output");
  TRY(fields.result());
  if (!health) return unexpected();
  status.health = *health;
  return status;
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
  Fields fields(document);
  if (document.contains("finished_ns"))
    record.finished_ns = fields.integer("finished_ns", INT64_MIN, INT64_MAX);
  TRY(fields.result());
  return record;
}

}  // namespace caisson::backend
