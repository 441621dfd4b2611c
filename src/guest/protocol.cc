#include "guest/protocol.h"

#include <climits>
#include <nlohmann/json.hpp>

#include "spec/json.h"
#include "wire/cbor.h"
#include "wire/fields.h"

namespace caisson::guest {
namespace {

using nlohmann::json;
using wire::bytes;
using wire::Fields;

constexpr int kLastSignal = 64;  // SIGRTMAX of Linux

Error protocol_error(std::string message) {
  return make_error(Code::kInvalidArgument, "protocol_error", std::move(message));
}

json encode_process(const backend::ProcessSpec& spec) {
  std::vector<std::string> env;
  for (const auto& [key, value] : spec.env) env.push_back(key + "=" + value);
  return {{"argv", spec::encode(spec.argv)},
          {"env", spec::encode(env)},
          {"workdir", bytes(spec.workdir)},
          {"user", bytes(spec.user)},
          {"groups", spec::encode(spec.groups)},
          {"terminal", spec.terminal},
          {"attacks", spec.attacks}};
}

Result<backend::ProcessSpec> decode_process(const json& value) {
  Fields fields(value);
  backend::ProcessSpec spec;
  spec.argv = TRY(spec::decode_texts(fields.member("argv")));
  for (const std::string& pair : TRY(spec::decode_texts(fields.member("env")))) {
    const std::size_t equals = pair.find('=', 1);
    if (equals == std::string::npos) return protocol_error("decode message: a variable without =");
    spec.env[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  spec.workdir = fields.text("workdir");
  spec.user = fields.text("user");
  spec.groups = TRY(spec::decode_texts(fields.member("groups")));
  spec.terminal = fields.boolean("terminal");
  spec.attacks = fields.boolean("attacks");
  TRY(fields.finish());
  if (spec.argv.empty()) return protocol_error("decode message: no program");
  return spec;
}

json encode_window(const WindowSize& window) {
  return {{"rows", window.rows}, {"columns", window.columns}};
}

Result<WindowSize> decode_window(const json& value) {
  Fields fields(value);
  const WindowSize window{fields.integer<std::uint16_t>("rows", 0, UINT16_MAX),
                          fields.integer<std::uint16_t>("columns", 0, UINT16_MAX)};
  TRY(fields.finish());
  return window;
}

backend::ProcessId id_of(Fields& fields) {
  return fields.integer<backend::ProcessId>("id", 1, kMostProcesses);
}

std::uint64_t count_of(Fields& fields, const char* name) {
  return static_cast<std::uint64_t>(fields.integer<std::int64_t>(name, 0, INT64_MAX));
}

json encode_figures(const Figures& figures) {
  json value = {{"usage", spec::encode(figures.usage)},
                {"oom_kills", figures.oom_kills},
                {"pid_limit_hits", figures.pid_limit_hits}};
  if (figures.disk_bytes) value["disk_bytes"] = *figures.disk_bytes;
  return value;
}

Result<Figures> decode_figures(const json& value) {
  Fields fields(value);
  Figures figures;
  figures.usage = TRY(spec::decode_usage(fields.member("usage")));
  figures.oom_kills = count_of(fields, "oom_kills");
  figures.pid_limit_hits = count_of(fields, "pid_limit_hits");
  if (value.contains("disk_bytes")) figures.disk_bytes = count_of(fields, "disk_bytes");
  TRY(fields.finish());
  return figures;
}

struct EncodeToGuest {
  json operator()(const Wake& m) const {
    return {{"op", "wake"},
            {"version", kVersion},
            {"time_ns", m.time_ns},
            {"seed", bytes(m.seed)},
            {"hostname", bytes(m.hostname)},
            {"machine_id", bytes(m.machine_id)},
            {"resumed", m.resumed}};
  }
  json operator()(const Start& m) const {
    return {{"op", "start"},
            {"box", bytes(backend::encode_request(m.box))},
            {"base", m.base},
            {"share", m.share},
            {"views", spec::encode(m.views)}};
  }
  json operator()(const Compare& m) const {
    return {{"op", "compare"},
            {"base", m.base},
            {"box", m.box},
            {"old", m.old},
            {"share", m.share},
            {"lowers", spec::encode(m.lowers)},
            {"old_lowers", m.old_lowers},
            {"layer", m.layer}};
  }
  json operator()(const Spawn& m) const {
    return {{"op", "spawn"},
            {"id", m.id},
            {"process", encode_process(m.spec)},
            {"window", encode_window(m.window)}};
  }
  json operator()(const ServeFiles& m) const { return {{"op", "files"}, {"id", m.id}}; }
  json operator()(const Signal& m) const {
    return {{"op", "signal"}, {"id", m.id}, {"number", m.number}, {"group", m.group}};
  }
  json operator()(const Resize& m) const {
    return {{"op", "resize"}, {"id", m.id}, {"window", encode_window(m.window)}};
  }
  json operator()(const AskFigures&) const { return {{"op", "figures"}}; }
  json operator()(const Freeze& m) const { return {{"op", "freeze"}, {"number", m.number}}; }
  json operator()(const Thaw&) const { return {{"op", "thaw"}}; }
  json operator()(const End& m) const { return {{"op", "end"}, {"force", m.force}}; }
  json operator()(const PowerOff&) const { return {{"op", "power_off"}}; }
};

Result<ToGuest> decode_start(Fields& fields) {
  Start start;
  backend::Request request = TRY(backend::decode_request(fields.text("box")));
  start.base = fields.boolean("base");
  start.share = fields.boolean("share");
  start.views = TRY(spec::decode_texts(fields.member("views")));
  TRY(fields.finish());
  auto* box = std::get_if<backend::StartRequest>(&request);
  if (box == nullptr) return protocol_error("decode message: no box in it");
  start.box = std::move(*box);
  return ToGuest(std::move(start));
}

Result<ToGuest> decode_compare(Fields& fields) {
  Compare compare{fields.boolean("base"), fields.boolean("box"), fields.boolean("old"),
                  fields.boolean("share")};
  compare.lowers = TRY(spec::decode_texts(fields.member("lowers")));
  compare.old_lowers = fields.integer("old_lowers", 0u, UINT32_MAX);
  compare.layer = fields.boolean("layer");
  TRY(fields.finish());
  if (compare.old_lowers <= compare.lowers.size()) return ToGuest(std::move(compare));
  return protocol_error("decode message: more trees were there than are");
}

Result<ToGuest> to_guest_of(const json& document) {
  Fields fields(document);
  const std::string op = fields.text("op");
  ToGuest message;
  if (op == "start") return decode_start(fields);
  if (op == "compare") return decode_compare(fields);
  if (op == "wake") {
    fields.integer("version", kVersion, kVersion);
    message = Wake{fields.integer<std::int64_t>("time_ns", 0, INT64_MAX), fields.text("seed"),
                   fields.text("hostname"), fields.text("machine_id"), fields.boolean("resumed")};
  } else if (op == "spawn") {
    Spawn spawn{id_of(fields), {}, {}};
    spawn.spec = TRY(decode_process(fields.member("process")));
    spawn.window = TRY(decode_window(fields.member("window")));
    message = std::move(spawn);
  } else if (op == "files") {
    message = ServeFiles{id_of(fields)};
  } else if (op == "signal") {
    message =
        Signal{id_of(fields), fields.integer("number", 1, kLastSignal), fields.boolean("group")};
  } else if (op == "resize") {
    Resize resize{id_of(fields), {}};
    resize.window = TRY(decode_window(fields.member("window")));
    message = resize;
  } else if (op == "figures") {
    message = AskFigures{};
  } else if (op == "end") {
    message = End{fields.boolean("force")};
  } else if (op == "freeze") {
    message = Freeze{fields.integer<std::uint32_t>("number", 0, UINT32_MAX)};
  } else if (op == "thaw") {
    message = Thaw{};
  } else if (op == "power_off") {
    message = PowerOff{};
  } else {
    return protocol_error(format("decode message: unknown request '{}'", op));
  }
  TRY(fields.finish());
  return message;
}

struct EncodeFromGuest {
  json operator()(const Hello& m) const {
    return {{"op", "hello"}, {"version", kVersion}, {"kernel", bytes(m.kernel)}};
  }
  json operator()(const Awake& m) const {
    json processes = json::array();
    for (const Running& running : m.processes)
      processes.push_back(
          {{"id", running.id}, {"in", running.in}, {"out", running.out}, {"err", running.err}});
    return {{"op", "awake"}, {"processes", std::move(processes)}};
  }
  json operator()(const Frozen& m) const { return {{"op", "frozen"}, {"number", m.number}}; }
  json operator()(const Started& m) const {
    backend::Reply reply{.error = m.error, .started = m.started};
    return {{"op", "started"}, {"reply", bytes(backend::encode_reply(reply))}};
  }
  json operator()(const Figures& m) const {
    return {{"op", "figures"}, {"figures", encode_figures(m)}};
  }
  json operator()(const Event& m) const {
    json value = {{"op", "event"},
                  {"id", m.event.id},
                  {"kind", static_cast<int>(m.event.kind)},
                  {"status", m.event.status},
                  {"cpu_user_ns", m.event.cpu_user.count()},
                  {"cpu_system_ns", m.event.cpu_system.count()},
                  {"oom_kills", m.oom_kills},
                  {"pid_limit_hits", m.pid_limit_hits}};
    if (m.event.error) value["error"] = wire::encode_error(*m.event.error);
    return value;
  }
  json operator()(const Gone& m) const {
    return {{"op", "gone"}, {"figures", encode_figures(m.figures)}};
  }
};

Result<FromGuest> decode_event(Fields& fields, const json& document) {
  using Kind = backend::ProcessEvent::Kind;
  Event event;
  event.event.id = id_of(fields);
  event.event.kind = static_cast<Kind>(
      fields.integer("kind", static_cast<int>(Kind::kStarted), static_cast<int>(Kind::kEnded)));
  event.event.status = fields.integer("status", 0, 0xffff);
  event.event.cpu_user =
      std::chrono::nanoseconds(fields.integer<std::int64_t>("cpu_user_ns", 0, INT64_MAX));
  event.event.cpu_system =
      std::chrono::nanoseconds(fields.integer<std::int64_t>("cpu_system_ns", 0, INT64_MAX));
  event.oom_kills = count_of(fields, "oom_kills");
  event.pid_limit_hits = count_of(fields, "pid_limit_hits");
  if (document.contains("error"))
    TRY(wire::decode_error(fields.member("error"), event.event.error.emplace()));
  TRY(fields.finish());
  if ((event.event.kind == Kind::kFailed) != event.event.error.has_value())
    return protocol_error("decode message: a failure without an error, or the other way round");
  return FromGuest(std::move(event));
}

/// In the order of their numbers, which differ.
Result<FromGuest> decode_awake(Fields& fields) {
  const json& processes = fields.member("processes");
  TRY(fields.finish());
  if (!processes.is_array()) return protocol_error("decode message: no list of processes");
  Awake awake;
  for (const json& process : processes) {
    Fields of_one(process);
    const Running running{id_of(of_one), of_one.boolean("in"), of_one.boolean("out"),
                          of_one.boolean("err")};
    TRY(of_one.finish());
    if (!awake.processes.empty() && awake.processes.back().id >= running.id)
      return protocol_error("decode message: processes out of order");
    awake.processes.push_back(running);
  }
  return FromGuest(std::move(awake));
}

Result<FromGuest> decode_started(Fields& fields) {
  backend::Reply reply = TRY(backend::decode_reply(fields.text("reply")));
  TRY(fields.finish());
  if (!reply.error && !reply.started) return protocol_error("decode message: neither nor");
  return FromGuest(
      Started{std::move(reply.error), std::move(reply.started).value_or(backend::Started{})});
}

Result<FromGuest> from_guest_of(const json& document) {
  Fields fields(document);
  const std::string op = fields.text("op");
  FromGuest message;
  if (op == "event") return decode_event(fields, document);
  if (op == "started") return decode_started(fields);
  if (op == "awake") return decode_awake(fields);
  if (op == "hello") {
    fields.integer("version", kVersion, kVersion);
    message = Hello{fields.text("kernel")};
  } else if (op == "frozen") {
    message = Frozen{fields.integer<std::uint32_t>("number", 0, UINT32_MAX)};
  } else if (op == "figures") {
    message = TRY(decode_figures(fields.member("figures")));
  } else if (op == "gone") {
    message = Gone{TRY(decode_figures(fields.member("figures")))};
  } else {
    return protocol_error(format("decode message: unknown event '{}'", op));
  }
  TRY(fields.finish());
  return message;
}

}  // namespace

std::string encode(const ToGuest& message) {
  return wire::encode_cbor(std::visit(EncodeToGuest{}, message));
}

std::string encode(const FromGuest& message) {
  return wire::encode_cbor(std::visit(EncodeFromGuest{}, message));
}

Result<ToGuest> decode_to_guest(std::string_view payload) {
  return wire::as_protocol_error(to_guest_of(TRY(wire::decode_cbor(payload))));
}

Result<FromGuest> decode_from_guest(std::string_view payload) {
  return wire::as_protocol_error(from_guest_of(TRY(wire::decode_cbor(payload))));
}

}  // namespace caisson::guest
