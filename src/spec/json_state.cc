// What a record holds beside its spec: the ending, the figures, the timings.
#include "caisson/runtime.h"
#include "spec/json_reader.h"
#include "spec/state_json.h"

namespace caisson {
namespace spec {
namespace {

using nlohmann::json;

Context state(std::string_view name) { return {nullptr, name, {}, UnknownFields::kIgnore}; }

/// Both for programs (`started_ns`) and for people (`started`).
void put_time(json& object, const std::string& name, const std::optional<std::int64_t>& ns) {
  if (!ns) return;
  object[name] = rfc3339(*ns);
  object[name + "_ns"] = *ns;
}

}  // namespace

Result<> read_value(const json& value, Usage& out, const Context& context) {
  ObjectReader in(value, context);
  in.field("peak_memory_bytes", out.peak_memory_bytes);
  in.field("memory_bytes", out.memory_bytes);
  in.field("cpu_user_ns", out.cpu_user);
  in.field("cpu_system_ns", out.cpu_system);
  in.field("wall_ns", out.wall);
  in.field("read_bytes", out.read_bytes);
  in.field("write_bytes", out.write_bytes);
  in.field("max_pids", out.max_pids);
  in.field("pids", out.pids);
  in.field("oom_kills", out.oom_kills);
  in.field("vmm_memory_bytes", out.vmm_memory_bytes);
  in.field("vmm_cpu_ns", out.vmm_cpu);
  return in.finish();
}

Result<> read_value(const json& value, ExitInfo& out, const Context& context) {
  ObjectReader in(value, context);
  in.required("reason", out.reason);
  in.field("exit_code", out.exit_code);
  in.field("signal", out.signal);
  in.field("duration_ns", out.duration);
  in.field("output_bytes", out.output_bytes);
  in.field("output_dropped_bytes", out.output_dropped_bytes);
  in.field("usage", out.usage);
  return in.finish();
}

Result<> read_value(const json& value, StageTiming& out, const Context& context) {
  ObjectReader in(value, context);
  in.required("name", out.name);
  in.field("duration_ns", out.duration);
  return in.finish();
}

json encode(const Usage& usage) {
  json object = json::object();
  put(object, "peak_memory_bytes", usage.peak_memory_bytes);
  put(object, "memory_bytes", usage.memory_bytes);
  put(object, "cpu_user_ns", usage.cpu_user);
  put(object, "cpu_system_ns", usage.cpu_system);
  put(object, "wall_ns", usage.wall);
  put(object, "read_bytes", usage.read_bytes);
  put(object, "write_bytes", usage.write_bytes);
  put(object, "max_pids", usage.max_pids);
  put(object, "pids", usage.pids);
  put(object, "oom_kills", usage.oom_kills);
  put(object, "vmm_memory_bytes", usage.vmm_memory_bytes);
  put(object, "vmm_cpu_ns", usage.vmm_cpu);
  return object;
}

json encode(const ExitInfo& info) {
  json object;
  object["reason"] = name_of(info.reason);
  put(object, "exit_code", info.exit_code);
  put(object, "signal", info.signal);
  object["duration_ns"] = info.duration.count();
  object["output_bytes"] = info.output_bytes;
  object["output_dropped_bytes"] = info.output_dropped_bytes;
  object["usage"] = encode(info.usage);
  return object;
}

json encode(const std::vector<StageTiming>& stages) {
  json array = json::array();
  for (const StageTiming& stage : stages) {
    json object;
    object["name"] = encode_text(stage.name);
    object["duration_ns"] = stage.duration.count();
    array.push_back(std::move(object));
  }
  return array;
}

json encode(const std::vector<std::string>& texts) {
  json array = json::array();
  for (const std::string& text : texts) array.push_back(encode_text(text));
  return array;
}

json encode(const BoxInfo& info) {
  json object;
  object["id"] = encode_text(info.id);
  object["name"] = encode_text(info.name);
  object["state"] = name_of(info.state);
  if (!info.spec.source.empty()) {  // a record that cannot be read shows no invented spec
    object["source"] = encode_text(info.spec.source);
    object["isolation"] = name_of(info.spec.isolation);
    object["spec"] = encode(info.spec);
  }
  if (!info.image_id.empty()) object["image_id"] = encode_text(info.image_id);
  if (!info.error_reason.empty()) object["error_reason"] = encode_text(info.error_reason);
  if (info.exit) object["exit"] = encode(*info.exit);
  put_time(object, "created", info.created_ns);
  put_time(object, "started", info.started_ns);
  put_time(object, "finished", info.finished_ns);
  put(object, "shim_pid", info.shim_pid);
  put(object, "init_pid", info.init_pid);
  object["restarts"] = info.restarts;
  if (info.restarting) object["restarting"] = true;
  if (info.health != HealthState::kNone) {
    object["health"] = name_of(info.health);
    object["health_output"] = encode_text(info.health_output);
  }
  object["stages"] = encode(info.stages);
  object["warnings"] = encode(info.warnings);
  return object;
}

Result<ExitInfo> decode_exit_info(const json& value) {
  ExitInfo info;
  TRY(read_value(value, info, state("exit info")));
  return info;
}

Result<Usage> decode_usage(const json& value) {
  Usage usage;
  TRY(read_value(value, usage, state("usage")));
  return usage;
}

Result<std::vector<StageTiming>> decode_stages(const json& value) {
  std::vector<StageTiming> stages;
  TRY(read_value(value, stages, state("stages")));
  return stages;
}

Result<std::vector<std::string>> decode_texts(const json& value) {
  std::vector<std::string> texts;
  TRY(read_value(value, texts, state("texts")));
  return texts;
}

std::string to_json(const std::vector<StageTiming>& stages) { return encode(stages).dump(); }
std::string to_json(const std::vector<std::string>& texts) { return encode(texts).dump(); }

Result<ExitInfo> exit_info_from_json(std::string_view text) {
  return decode_exit_info(TRY(parse_json(text)));
}
Result<Usage> usage_from_json(std::string_view text) { return decode_usage(TRY(parse_json(text))); }
Result<std::vector<StageTiming>> stages_from_json(std::string_view text) {
  return decode_stages(TRY(parse_json(text)));
}
Result<std::vector<std::string>> texts_from_json(std::string_view text) {
  return decode_texts(TRY(parse_json(text)));
}

std::string rfc3339(std::int64_t ns) {
  // In seconds first: the day before the earliest nanosecond does not fit 64 bits of them.
  const std::chrono::nanoseconds since{ns};
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  const std::chrono::sys_seconds time{seconds};
  const std::chrono::sys_days day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss<std::chrono::seconds> clock(time - day);
  const std::int64_t fraction = (ns % 1'000'000'000 + 1'000'000'000) % 1'000'000'000;
  return format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                clock.hours().count(), clock.minutes().count(), clock.seconds().count(), fraction);
}

}  // namespace spec

std::string to_json(const BoxInfo& info) { return spec::encode(info).dump(); }
std::string to_json(const SnapshotInfo& info) {
  const nlohmann::json object = {{"id", info.id},
                                 {"box_id", info.box_id},
                                 {"name", spec::encode_text(info.name)},
                                 {"note", spec::encode_text(info.note)},
                                 {"created", spec::rfc3339(info.created_ns)},
                                 {"bytes", info.bytes}};
  return object.dump();
}
std::string to_json(const Health& health) {
  nlohmann::json object = {{"boxes", health.boxes},
                           {"active", health.active},
                           {"failed", health.failed},
                           {"disk_free_bytes", health.disk_free_bytes},
                           {"disk_total_bytes", health.disk_total_bytes},
                           {"warnings", spec::encode(health.warnings)}};
  if (health.last_created_ns) {
    object["last_created"] = spec::rfc3339(*health.last_created_ns);
    object["last_created_ns"] = *health.last_created_ns;
  }
  return object.dump();
}
std::string to_json(const ExitInfo& info) { return spec::encode(info).dump(); }
std::string to_json(const Usage& usage) { return spec::encode(usage).dump(); }

}  // namespace caisson
