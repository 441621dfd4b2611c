// BoxSpec, ExecSpec and what they hold.
#include "spec/json_reader.h"
#include "spec/mount_text.h"
#include "spec/state_json.h"

namespace caisson {
namespace spec {
namespace {

using nlohmann::json;

json encode(const std::set<std::string>& words) {
  return spec::encode(std::vector<std::string>(words.begin(), words.end()));
}

json encode(const OutputLimit& limit) {
  json object;
  object["max_bytes"] = limit.max_bytes;
  object["action"] = name_of(limit.action);
  return object;
}

json encode(const Mount& mount) {
  json object;
  object["type"] = name_of(mount.type);
  if (!mount.source.empty()) object["source"] = encode_text(mount.source);
  object["target"] = encode_text(mount.target);
  object["read_only"] = mount.read_only;
  if (mount.type != MountType::kTmpfs) object["idmap"] = name_of(mount.idmap);
  put(object, "size_bytes", mount.size_bytes);
  put(object, "inodes", mount.inodes);
  put(object, "mode", mount.mode);
  return object;
}

json encode(const SecurityOptions& security) {
  json object;
  object["seccomp"] = name_of(security.seccomp);
  if (!security.seccomp_policy.empty())
    object["seccomp_policy"] = encode_text(security.seccomp_policy);
  object["cap_add"] = encode(security.cap_add);
  object["cap_drop"] = encode(security.cap_drop);
  put(object, "no_new_privileges", security.no_new_privileges);
  return object;
}

json encode(const HostAccess& access) {
  return {{"read", spec::encode(access.read)},
          {"write", spec::encode(access.write)},
          {"execute", spec::encode(access.execute)},
          {"connect_ports", access.connect_ports},
          {"bind_ports", access.bind_ports}};
}

json encode(const MachineOptions& machine) {
  json object = {{"kernel", encode_text(machine.kernel)}, {"cold", machine.cold}};
  put(object, "ready_timeout_ns", machine.ready_timeout);
  return object;
}

json encode(const RestartPolicy& restart) {
  return {{"mode", name_of(restart.mode)}, {"max_retries", restart.max_retries}};
}

json encode(const HealthCheck& health) {
  return {{"command", spec::encode(health.command)},
          {"interval_ns", health.interval.count()},
          {"timeout_ns", health.timeout.count()},
          {"start_period_ns", health.start_period.count()},
          {"retries", health.retries}};
}

/// Of a tmpfs: a number, or octal digits as text.
struct Mode {
  unsigned bits = 0;
};

Result<> read_value(const json& value, Mode& out, const Context& context) {
  if (!value.is_string()) return spec::read_value(value, out.bits, context);
  const std::optional<unsigned> bits = parse_octal_mode(value.get_ref<const std::string&>());
  if (!bits) return unexpected_value(context, "a number, or octal digits such as \"1777\"");
  out.bits = *bits;
  return {};
}

template <class Range>
json encode_range(const Range& values) {
  json array = json::array();
  for (const auto& value : values) array.push_back(encode(value));
  return array;
}

template <class T>
Result<T> decode(const json& value, std::string_view name, UnknownFields unknown) {
  T result;
  TRY(read_value(value, result, Context{nullptr, name, {}, unknown}));
  return result;
}

}  // namespace

Result<> read_value(const json& value, OutputLimit& out, const Context& context) {
  ObjectReader in(value, context);
  in.field("max_bytes", out.max_bytes);
  in.field("action", out.action);
  return in.finish();
}

Result<> read_value(const json& value, Limits& out, const Context& context) {
  ObjectReader in(value, context);
  in.field("memory_bytes", out.memory_bytes);
  in.field("pids", out.pids);
  in.field("cpus", out.cpus);
  in.field("cpu_weight", out.cpu_weight);
  in.field("cpu_time_ns", out.cpu_time);
  in.field("wall_time_ns", out.wall_time);
  in.field("open_files", out.open_files);
  in.field("file_size_bytes", out.file_size_bytes);
  in.field("disk_bytes", out.disk_bytes);
  in.field("disk_bytes_per_second", out.disk_bytes_per_second);
  in.field("disk_operations_per_second", out.disk_operations_per_second);
  in.field("tmpfs_bytes", out.tmpfs_bytes);
  in.field("tmpfs_inodes", out.tmpfs_inodes);
  in.field("output", out.output);
  return in.finish();
}

Result<> read_value(const json& value, Mount& out, const Context& context) {
  if (value.is_string()) {  // the command line's -v
    Result<Mount> mount = parse_volume_as_written(value.get_ref<const std::string&>());
    if (!mount) return fault_in_text(context, std::move(mount).error());
    out = *std::move(mount);
    return {};
  }
  ObjectReader in(value, context);
  in.required("type", out.type);
  in.field("source", out.source);
  in.required("target", out.target);
  in.field("read_only", out.read_only);
  in.field("idmap", out.idmap);
  in.field("size_bytes", out.size_bytes);
  in.field("inodes", out.inodes);
  std::optional<Mode> mode;
  in.field("mode", mode);
  if (mode) out.mode = mode->bits;
  return in.finish();
}

Result<> read_value(const json& value, SecurityOptions& out, const Context& context) {
  ObjectReader in(value, context);
  in.field("seccomp", out.seccomp);
  in.field("seccomp_policy", out.seccomp_policy);
  in.field("cap_add", out.cap_add);
  in.field("cap_drop", out.cap_drop);
  in.field("no_new_privileges", out.no_new_privileges);
  return in.finish();
}

Result<> read_value(const json& value, HostAccess& out, const Context& context) {
  ObjectReader in(value, context);
  in.field("read", out.read);
  in.field("write", out.write);
  in.field("execute", out.execute);
  in.field("connect_ports", out.connect_ports);
  in.field("bind_ports", out.bind_ports);
  return in.finish();
}

Result<> read_value(const json& value, MachineOptions& out, const Context& context) {
  ObjectReader in(value, context);
  in.field("kernel", out.kernel);
  in.field("cold", out.cold);
  in.field("ready_timeout_ns", out.ready_timeout);
  return in.finish();
}

Result<> read_value(const json& value, RestartPolicy& out, const Context& context) {
  ObjectReader in(value, context);
  in.field("mode", out.mode);
  in.field("max_retries", out.max_retries);
  return in.finish();
}

Result<> read_value(const json& value, HealthCheck& out, const Context& context) {
  ObjectReader in(value, context);
  in.required("command", out.command);
  in.field("interval_ns", out.interval);
  in.field("timeout_ns", out.timeout);
  in.field("start_period_ns", out.start_period);
  in.field("retries", out.retries);
  return in.finish();
}

Result<> read_value(const json& value, BoxSpec& out, const Context& context) {
  ObjectReader in(value, context);
  in.field("name", out.name);
  in.field("source", out.source);
  in.field("pull", out.pull);
  in.field("platform", out.platform);
  in.field("rootfs", out.rootfs);
  in.field("isolation", out.isolation);
  in.field("profile", out.profile);
  in.field("command", out.command);
  in.field("entrypoint", out.entrypoint);
  in.field("env", out.env);
  in.field("workdir", out.workdir);
  in.field("user", out.user);
  in.field("groups", out.groups);
  in.field("hostname", out.hostname);
  in.field("read_only_root", out.read_only_root);
  in.field("mounts", out.mounts);
  in.field("protect", out.protect);
  in.field("protect_defaults", out.protect_defaults);
  in.field("access", out.access);
  in.field("machine", out.machine);
  in.field("limits", out.limits);
  in.field("network", out.network);
  in.field("security", out.security);
  in.field("tty", out.tty);
  in.field("open_stdin", out.open_stdin);
  in.field("auto_remove", out.auto_remove);
  in.field("labels", out.labels);
  in.field("stop_signal", out.stop_signal);
  in.field("idle_timeout_ns", out.idle_timeout);
  in.field("idle_action", out.idle_action);
  in.field("restart", out.restart);
  in.field("max_lifetime_ns", out.max_lifetime);
  in.field("health", out.health);
  in.field("replay_bytes", out.replay_bytes);
  in.field("allow_missing", out.allow_missing);
  return in.finish();
}

Result<> read_value(const json& value, ExecSpec& out, const Context& context) {
  ObjectReader in(value, context);
  in.field("command", out.command);
  in.field("env", out.env);
  in.field("workdir", out.workdir);
  in.field("user", out.user);
  in.field("tty", out.tty);
  in.field("open_stdin", out.open_stdin);
  in.field("wall_time_ns", out.wall_time);
  in.field("output", out.output);
  in.field("replay_bytes", out.replay_bytes);
  return in.finish();
}

json encode(const Limits& limits) {
  json object = json::object();
  put(object, "memory_bytes", limits.memory_bytes);
  put(object, "pids", limits.pids);
  put(object, "cpus", limits.cpus);
  put(object, "cpu_weight", limits.cpu_weight);
  put(object, "cpu_time_ns", limits.cpu_time);
  put(object, "wall_time_ns", limits.wall_time);
  put(object, "open_files", limits.open_files);
  put(object, "file_size_bytes", limits.file_size_bytes);
  put(object, "disk_bytes", limits.disk_bytes);
  put(object, "disk_bytes_per_second", limits.disk_bytes_per_second);
  put(object, "disk_operations_per_second", limits.disk_operations_per_second);
  put(object, "tmpfs_bytes", limits.tmpfs_bytes);
  put(object, "tmpfs_inodes", limits.tmpfs_inodes);
  object["output"] = encode(limits.output);
  return object;
}

json encode(const BoxSpec& spec) {
  json object;
  object["name"] = encode_text(spec.name);
  object["source"] = encode_text(spec.source);
  object["pull"] = name_of(spec.pull);
  object["platform"] = encode_text(spec.platform);
  object["rootfs"] = name_of(spec.rootfs);
  object["isolation"] = name_of(spec.isolation);
  object["profile"] = name_of(spec.profile);
  object["command"] = encode(spec.command);
  if (spec.entrypoint) object["entrypoint"] = encode(*spec.entrypoint);
  object["env"] = encode_text_map(spec.env);
  object["workdir"] = encode_text(spec.workdir);
  object["user"] = encode_text(spec.user);
  object["groups"] = encode(spec.groups);
  object["hostname"] = encode_text(spec.hostname);
  put(object, "read_only_root", spec.read_only_root);
  object["mounts"] = encode_range(spec.mounts);
  object["protect"] = encode(spec.protect);
  put(object, "protect_defaults", spec.protect_defaults);
  if (!spec.access.empty()) object["access"] = encode(spec.access);
  if (!spec.machine.empty()) object["machine"] = encode(spec.machine);
  object["limits"] = encode(spec.limits);
  object["network"] = name_of(spec.network);
  object["security"] = encode(spec.security);
  object["tty"] = spec.tty;
  object["open_stdin"] = spec.open_stdin;
  object["auto_remove"] = spec.auto_remove;
  object["labels"] = encode_text_map(spec.labels);
  object["stop_signal"] = encode_text(spec.stop_signal);
  put(object, "idle_timeout_ns", spec.idle_timeout);
  object["idle_action"] = name_of(spec.idle_action);
  object["restart"] = encode(spec.restart);
  put(object, "max_lifetime_ns", spec.max_lifetime);
  if (spec.health) object["health"] = encode(*spec.health);
  object["replay_bytes"] = spec.replay_bytes;
  object["allow_missing"] = encode(spec.allow_missing);
  return object;
}

json encode(const ExecSpec& spec) {
  json object;
  object["command"] = encode(spec.command);
  object["env"] = encode_text_map(spec.env);
  object["workdir"] = encode_text(spec.workdir);
  object["user"] = encode_text(spec.user);
  object["tty"] = spec.tty;
  object["open_stdin"] = spec.open_stdin;
  put(object, "wall_time_ns", spec.wall_time);
  object["output"] = encode(spec.output);
  put(object, "replay_bytes", spec.replay_bytes);
  return object;
}

Result<BoxSpec> decode_box_spec(const json& value, UnknownFields unknown) {
  return decode<BoxSpec>(value, "box spec", unknown);
}
Result<ExecSpec> decode_exec_spec(const json& value) {
  return decode<ExecSpec>(value, "exec spec", UnknownFields::kRefuse);
}

std::string to_json(const ExecSpec& spec) { return encode(spec).dump(); }

Result<BoxSpec> box_spec_from_state(std::string_view text) {
  return decode_box_spec(TRY(parse_json(text)), UnknownFields::kIgnore);
}
Result<ExecSpec> exec_spec_from_json(std::string_view text) {
  return decode_exec_spec(TRY(parse_json(text)));
}

}  // namespace spec

std::string to_json(const BoxSpec& spec) { return spec::encode(spec).dump(); }

Result<BoxSpec> box_spec_from_json(std::string_view json) {
  return spec::decode_box_spec(TRY(spec::parse_json(json)));
}

}  // namespace caisson
