// What a probe found, as a value.
#include <algorithm>
#include <array>

#include "caisson/runtime.h"
#include "spec/json_reader.h"
#include "spec/state_json.h"

namespace caisson {
namespace {

template <std::size_t N>
bool all_proved(const Capabilities& all, Isolation isolation,
                const std::array<std::string_view, N>& names) {
  return std::ranges::all_of(names, [&](std::string_view name) {
    const Capability* row = all.find(isolation, name);
    return row != nullptr && row->proof == Proof::kProved;
  });
}

}  // namespace

const Capability* Capabilities::find(Isolation isolation, std::string_view name) const {
  for (const Capability& row : rows)
    if (row.isolation == to_string(isolation) && row.name == name) return &row;
  return nullptr;
}

bool Capabilities::is_fully_isolated(Isolation isolation) const {
  bool any = false;
  for (const Capability& row : rows) {
    if (row.isolation != to_string(isolation) || !row.required) continue;
    if (row.proof != Proof::kProved) return false;
    any = true;
  }
  return any;
}

bool Capabilities::isolates_files(Isolation isolation) const {
  return all_proved(*this, isolation,
                    std::array<std::string_view, 3>{"files", "attributes", "mounts"});
}
bool Capabilities::isolates_processes(Isolation isolation) const {
  return all_proved(*this, isolation,
                    std::array<std::string_view, 3>{"signals", "tracing", "shared_memory"});
}
bool Capabilities::isolates_network(Isolation isolation) const {
  return all_proved(*this, isolation, std::array<std::string_view, 2>{"network", "unix_sockets"});
}
bool Capabilities::filters_system_calls(Isolation isolation) const {
  return all_proved(*this, isolation, std::array<std::string_view, 1>{"system_calls"});
}

std::string to_json(const Capabilities& capabilities) {
  nlohmann::json rows = nlohmann::json::array();
  for (const Capability& row : capabilities.rows)
    rows.push_back({{"isolation", row.isolation},
                    {"name", row.name},
                    {"proof", to_string(row.proof)},
                    {"required", row.required},
                    {"detail", spec::encode_text(row.detail)},
                    {"hint", spec::encode_text(row.hint)}});
  nlohmann::json isolations;
  for (Isolation isolation : {Isolation::kContainer, Isolation::kProcess, Isolation::kMicroVm})
    isolations[std::string(to_string(isolation))] = capabilities.is_fully_isolated(isolation);
  return nlohmann::json{{"fully_isolated", isolations}, {"rows", rows}}.dump();
}

Result<Capabilities> spec::capabilities_from_json(std::string_view text) {
  const nlohmann::json document = TRY(parse_json(text));
  const auto rows = document.find("rows");
  const Context top{nullptr, "capabilities", {}, UnknownFields::kIgnore};
  if (rows == document.end() || !rows->is_array()) return unexpected_value(top, "rows");
  Capabilities all;
  for (const nlohmann::json& value : *rows) {
    Capability row;
    ObjectReader in(value, top);
    in.required("isolation", row.isolation);
    in.required("name", row.name);
    in.required("proof", row.proof);
    in.required("required", row.required);
    in.required("detail", row.detail);
    in.required("hint", row.hint);
    TRY(in.finish());
    all.rows.push_back(std::move(row));
  }
  return all;
}

}  // namespace caisson
