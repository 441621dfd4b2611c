// For tests: runs a compiled filter as the kernel would, without installing it.
#pragma once

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace caisson::sys {

struct FilterVerdict {
  std::uint32_t action = 0;     ///< SECCOMP_RET_*
  bool read_arguments = false;  ///< the verdict depends on more than number and architecture
  std::size_t steps = 0;
};

class FilterInterpreter final {
 public:
  explicit FilterInterpreter(std::string_view program)
      : code_(program.size() / sizeof(sock_filter)) {
    std::memcpy(code_.data(), program.data(), code_.size() * sizeof(sock_filter));
  }
  std::size_t size() const { return code_.size(); }

  FilterVerdict run(int number, std::array<std::uint64_t, 6> arguments = {},
                    std::uint32_t architecture = AUDIT_ARCH_X86_64) const {
    seccomp_data data{};
    data.nr = number;
    data.arch = architecture;
    std::memcpy(data.args, arguments.data(), sizeof data.args);
    FilterVerdict verdict;
    std::uint32_t accumulator = 0;
    for (std::size_t at = 0; at < code_.size(); ++at) {
      const sock_filter& step = code_[at];
      ++verdict.steps;
      const auto jump = [&](bool taken) { at += taken ? step.jt : step.jf; };
      switch (step.code) {
        case BPF_LD | BPF_W | BPF_ABS:
          if (step.k + sizeof accumulator > sizeof data) throw std::out_of_range("load");
          verdict.read_arguments |= step.k >= offsetof(seccomp_data, args);
          std::memcpy(&accumulator, reinterpret_cast<const char*>(&data) + step.k,
                      sizeof accumulator);
          break;
        case BPF_ALU | BPF_AND | BPF_K:
          accumulator &= step.k;
          break;
        case BPF_JMP | BPF_JA:
          at += step.k;
          break;
        case BPF_JMP | BPF_JEQ | BPF_K:
          jump(accumulator == step.k);
          break;
        case BPF_JMP | BPF_JGT | BPF_K:
          jump(accumulator > step.k);
          break;
        case BPF_JMP | BPF_JGE | BPF_K:
          jump(accumulator >= step.k);
          break;
        case BPF_JMP | BPF_JSET | BPF_K:
          jump((accumulator & step.k) != 0);
          break;
        case BPF_RET | BPF_K:
          verdict.action = step.k;
          return verdict;
        default:
          throw std::runtime_error("unknown instruction " + std::to_string(step.code));
      }
    }
    throw std::out_of_range("ran past the end");
  }

 private:
  std::vector<sock_filter> code_;
};

/// "ALLOW", "ENOSYS", "KILL_PROCESS", ...
inline std::string action_text(std::uint32_t action) {
  const int value = static_cast<int>(action & SECCOMP_RET_DATA);
  switch (action & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
      return "ALLOW";
    case SECCOMP_RET_KILL_PROCESS:
      return "KILL_PROCESS";
    case SECCOMP_RET_KILL_THREAD:
      return "KILL_THREAD";
    case SECCOMP_RET_TRAP:
      return "TRAP";
    case SECCOMP_RET_LOG:
      return "LOG";
    case SECCOMP_RET_TRACE:
      return "TRACE " + std::to_string(value);
    case SECCOMP_RET_ERRNO: {
      const char* name = strerrorname_np(value);
      return name != nullptr ? name : "errno " + std::to_string(value);
    }
    default:
      return "unknown";
  }
}

}  // namespace caisson::sys
