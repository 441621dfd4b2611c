#include "sys/seccomp_table.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <span>

#include "base/error.h"

namespace caisson::sys {
namespace {

constexpr std::uint32_t kX32 = 0x40000000;      // the bit that marks a call of x32
constexpr std::uint32_t kSkipped = 0xffffffff;  // -1: a call that a tracer cancelled

std::uint32_t native(SeccompDecision decision) {
  switch (decision.action) {
    case SeccompAction::kAllow:
      return SECCOMP_RET_ALLOW;
    case SeccompAction::kErrno:
      return SECCOMP_RET_ERRNO | decision.value;
    case SeccompAction::kKillProcess:
      return SECCOMP_RET_KILL_PROCESS;
    case SeccompAction::kKillThread:
      return SECCOMP_RET_KILL_THREAD;
    case SeccompAction::kNotify:
      return SECCOMP_RET_USER_NOTIF;
    case SeccompAction::kTrap:
      return SECCOMP_RET_TRAP;
    case SeccompAction::kTrace:
      return SECCOMP_RET_TRACE | decision.value;
    case SeccompAction::kLog:
      return SECCOMP_RET_LOG;
  }
  return SECCOMP_RET_KILL_PROCESS;
}

/// Writes a program from its end to its start: jumps only go forward, so that every target is
/// known when a jump to it is written. A label counts instructions from the end.
class BackwardWriter final {
 public:
  using Label = std::size_t;

  Label load(std::size_t offset) {
    return write({BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<std::uint32_t>(offset)});
  }
  Label mask(std::uint32_t bits) { return write({BPF_ALU | BPF_AND | BPF_K, 0, 0, bits}); }

  /// One `return` for each action, shared while it is near.
  Label finish(std::uint32_t action) {
    const auto known = returns_.find(action);
    if (known != returns_.end() && distance(known->second) <= kNear) return known->second;
    return returns_[action] = write({BPF_RET | BPF_K, 0, 0, action});
  }

  Label branch(std::uint16_t test, std::uint32_t value, Label yes, Label no) {
    yes = near(yes);
    no = near(no);
    return write({static_cast<std::uint16_t>(BPF_JMP | test | BPF_K), jump(yes), jump(no), value});
  }

  std::string program() && {
    std::reverse(code_.begin(), code_.end());
    return std::string(reinterpret_cast<const char*>(code_.data()),
                       code_.size() * sizeof(sock_filter));
  }
  std::size_t size() const { return code_.size(); }

 private:
  // A conditional jump reaches 255; two more may be written between the check and the jump.
  static constexpr std::size_t kNear = 250;

  Label write(sock_filter instruction) {
    code_.push_back(instruction);
    return code_.size() - 1;
  }
  std::size_t distance(Label label) const { return code_.size() - 1 - label; }
  std::uint8_t jump(Label label) const { return static_cast<std::uint8_t>(distance(label)); }
  Label near(Label label) {
    if (distance(label) <= kNear) return label;
    return write({BPF_JMP | BPF_JA, 0, 0, static_cast<std::uint32_t>(distance(label))});
  }

  std::vector<sock_filter> code_;
  std::map<std::uint32_t, Label> returns_;
};

using Label = BackwardWriter::Label;

/// From `first` up to the next run, every number has the same target.
struct Run {
  std::uint32_t first;
  Label target;
};

Label write_case(BackwardWriter& writer, const SeccompCase& one, Label otherwise) {
  Label start = writer.finish(native(one.decision));
  for (auto bits = one.when.rbegin(); bits != one.when.rend(); ++bits) {
    start = writer.branch(BPF_JEQ, bits->value, start, otherwise);
    if (bits->mask != 0xffffffff) writer.mask(bits->mask);
    // Little endian: the lower half comes first.
    start = writer.load(offsetof(seccomp_data, args) + bits->argument * sizeof(std::uint64_t));
  }
  return start;
}

Label write_call(BackwardWriter& writer, const SeccompCall& call) {
  Label start = writer.finish(native(call.otherwise));
  for (auto one = call.cases.rbegin(); one != call.cases.rend(); ++one)
    start = write_case(writer, *one, start);
  return start;
}

/// A binary search over the runs.
Label write_search(BackwardWriter& writer, std::span<const Run> runs) {
  if (runs.size() == 1) return runs[0].target;
  const std::size_t middle = runs.size() / 2;
  const Label upper = write_search(writer, runs.subspan(middle));
  const Label lower = write_search(writer, runs.first(middle));
  return writer.branch(BPF_JGE, runs[middle].first, upper, lower);
}

Error table_error(const SeccompCall& call, std::string_view cause) {
  return make_error(Code::kInternal, "seccomp_table_invalid",
                    format("compile seccomp table: system call '{}': {}", call.name, cause));
}

Result<std::map<std::uint32_t, const SeccompCall*>> by_number(const SeccompTable& table) {
  std::map<std::uint32_t, const SeccompCall*> calls;
  for (const SeccompCall& call : table.calls) {
    const int number = syscall_number(call.name);
    if (number < 0) return table_error(call, "unknown");
    if (!calls.emplace(number, &call).second) return table_error(call, "listed twice");
  }
  return calls;
}

void append(std::vector<Run>& runs, std::uint32_t first, Label target) {
  if (!runs.empty() && runs.back().first == first) runs.pop_back();
  if (runs.empty() || runs.back().target != target) runs.push_back({first, target});
}

}  // namespace

Result<std::string> compile_seccomp_table(const SeccompTable& table) {
  const auto calls = TRY(by_number(table));
  BackwardWriter writer;
  const Label kill = writer.finish(SECCOMP_RET_KILL_PROCESS);
  const Label unlisted = writer.finish(native(table.default_decision));
  std::vector<Run> runs = {{0, unlisted}};
  for (const auto& [number, call] : calls) {
    append(runs, number, write_call(writer, *call));
    append(runs, number + 1, unlisted);
  }
  append(runs, kX32, kill);
  append(runs, kSkipped, unlisted);
  write_search(writer, runs);  // at least two runs: its first comparison is written last
  const Label start = writer.load(offsetof(seccomp_data, nr));
  writer.branch(BPF_JEQ, AUDIT_ARCH_X86_64, start, kill);
  writer.load(offsetof(seccomp_data, arch));
  if (writer.size() > BPF_MAXINSNS)
    return make_error(Code::kInternal, "seccomp_table_invalid",
                      format("compile seccomp table: {} instructions", writer.size()));
  return std::move(writer).program();
}

}  // namespace caisson::sys
