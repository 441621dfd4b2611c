#include "engine/record.h"

#include <optional>
#include <utility>

#include "engine/box_state.h"
#include "spec/names.h"
#include "spec/state_json.h"

namespace caisson::engine {
namespace {

Error corrupt(const store::BoxRow& row, std::string_view column, std::string_view cause) {
  return make_error(Code::kDataLoss, "state_corrupt",
                    format("read record of box '{}': column '{}': {}", row.id, column, cause),
                    format("caisson rm -f {} removes the box", row.id));
}

template <class T>
Result<T> readable(const store::BoxRow& row, std::string_view column, Result<T> value) {
  if (value) return value;
  return corrupt(row, column, value.error().message);
}

/// As much of a row as can be read, and the first fault.
struct Reading {
  BoxInfo info;
  std::optional<Error> fault;

  template <class T, class Target>
  void take(Result<T> value, Target& target) {
    if (value)
      target = std::move(*value);
    else if (!fault)
      fault = value.error();
  }
};

Result<BoxState> state_of(const store::BoxRow& row) {
  if (const auto state = spec::find_named<BoxState>(row.state)) return *state;
  return corrupt(row, "state", format("'{}' is no state of a box", row.state));
}

Reading read(const store::BoxRow& row) {
  Reading reading;
  BoxInfo& info = reading.info;
  info.id = row.id;
  info.name = row.name;
  info.error_reason = row.error_reason;
  info.image_id = row.image;
  info.created_ns = row.created_ns;
  info.started_ns = row.started_ns;
  info.finished_ns = row.finished_ns;
  reading.take(state_of(row), info.state);
  reading.take(spec_of(row), info.spec);
  if (!row.exit_json.empty()) reading.take(exit_of(row), info.exit);
  if (!row.stages_json.empty())
    reading.take(readable(row, "stages_json", spec::stages_from_json(row.stages_json)),
                 info.stages);
  if (!row.warnings_json.empty())
    reading.take(readable(row, "warnings_json", spec::texts_from_json(row.warnings_json)),
                 info.warnings);
  // Later the numbers may be other processes'.
  if (is_live(row.state)) {
    info.shim_pid = row.shim_pid;
    info.init_pid = row.init_pid;
  }
  return reading;
}

}  // namespace

Result<BoxSpec> spec_of(const store::BoxRow& row) {
  BoxSpec spec = TRY(readable(row, "spec_json", spec::box_spec_from_state(row.spec_json)));
  // Absent fields are defaults, but no box was ever made without a source.
  if (spec.source.empty()) return corrupt(row, "spec_json", "there is no source");
  return spec;
}

Result<ExitInfo> exit_of(const store::BoxRow& row) {
  if (row.exit_json.empty()) return ExitInfo{};
  return readable(row, "exit_json", spec::exit_info_from_json(row.exit_json));
}

Result<BoxInfo> info_of(const store::BoxRow& row) {
  Reading reading = read(row);
  if (reading.fault) return std::move(*reading.fault);
  return std::move(reading.info);
}

BoxInfo listed_info_of(const store::BoxRow& row) {
  Reading reading = read(row);
  if (!reading.fault) return std::move(reading.info);
  if (!is_live(row.state)) reading.info.state = BoxState::kFailed;
  reading.info.error_reason = std::move(reading.fault->message);
  return std::move(reading.info);
}

}  // namespace caisson::engine
