#include "sys/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/capability_names.h"

namespace caisson::sys {

int set_capabilities(CapMask effective, CapMask permitted, CapMask inheritable) noexcept {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  for (int i = 0; i < 2; ++i) {
    data[i].effective = static_cast<std::uint32_t>(effective >> (32 * i));
    data[i].permitted = static_cast<std::uint32_t>(permitted >> (32 * i));
    data[i].inheritable = static_cast<std::uint32_t>(inheritable >> (32 * i));
  }
  return ::syscall(SYS_capset, &header, data) < 0 ? errno : 0;
}

int raise_effective() noexcept {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  if (::syscall(SYS_capget, &header, data) < 0) return errno;
  for (auto& word : data) word.effective = word.permitted;
  return ::syscall(SYS_capset, &header, data) < 0 ? errno : 0;
}

int drop_bounding(CapMask keep) noexcept {
  // A capability the kernel does not know answers EINVAL: then there are no more.
  for (int cap = 0; cap < 64; ++cap) {
    if (keep & cap_bit(cap)) continue;
    if (::prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) return errno == EINVAL && cap > 0 ? 0 : errno;
  }
  return 0;
}

std::string_view capability_name(int cap) {
  return cap >= 0 && cap <= kLastCap ? kCapabilityNames[static_cast<std::size_t>(cap)]
                                     : "CAP_UNKNOWN";
}

std::vector<std::string> capability_names(CapMask mask) {
  std::vector<std::string> names;
  for (int cap = 0; cap <= kLastCap; ++cap)
    if (mask & cap_bit(cap)) names.emplace_back(capability_name(cap));
  return names;
}

}  // namespace caisson::sys
