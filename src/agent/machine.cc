#include "agent/machine.h"

#include <fcntl.h>
#include <linux/random.h>
#include <linux/reboot.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <vector>

#include "base/clock.h"

namespace caisson::agent {
namespace {

constexpr const char* kAutoprobe = "/sys/bus/virtio/drivers_autoprobe";

Result<> make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0755) < 0 && errno != EEXIST)
    return sys_error("create directory", path);
  return {};
}

Result<> mount_at(const char* source, const std::string& target, const char* type,
                  unsigned long flags = 0, const char* options = "") {
  TRY(make_directory(target));
  if (::mount(source, target.c_str(), type, flags, options) < 0)
    return sys_error(format("mount {} on", type), target);
  return {};
}

Result<> write_knob(const char* path, std::string_view text) {
  const Fd file = TRY(open_fd(path, O_WRONLY));
  return write_all(file.get(), text, path);
}

/// One line of a file of sysfs.
std::string line_of(const std::string& path) {
  std::string text = read_file(path, 4096).value_or("");
  while (!text.empty() && (text.back() == '\n' || text.back() == '\0')) text.pop_back();
  return text;
}

/// Those that the file names, one a line, in that order; what is there already is passed over.
Result<> load_list(const std::string& list) {
  const std::string names = TRY(read_file(list));
  const std::string folder = list.substr(0, list.rfind('/') + 1);
  for (std::size_t at = 0; at < names.size();) {
    const std::size_t end = std::min(names.find('\n', at), names.size());
    const std::string name = names.substr(at, end - at);
    at = end + 1;
    if (name.empty()) continue;
    const Fd module = TRY(open_fd(folder + name, O_RDONLY));
    if (::syscall(SYS_finit_module, module.get(), "", 0) < 0 && errno != EEXIST)
      return sys_error("load module", name);
  }
  return {};
}

/// Devices appear while the machine runs: those of a driver that was loaded a moment ago too.
Result<> await(const std::function<bool()>& is_there, std::string_view reason,
               std::string_view what) {
  constexpr std::int64_t kPatience = 5'000'000'000;
  const std::int64_t begun = boot_ns();
  while (!is_there()) {
    if (boot_ns() - begun > kPatience)
      return make_error(Code::kUnavailable, std::string(reason),
                        format("find {}: it did not appear within 5 s", what));
    ::usleep(1000);
  }
  return {};
}

}  // namespace

Result<> mount_basics() {
  constexpr const char* kNewRoot = "/newroot";
  TRY(mount_at("tmpfs", kNewRoot, "tmpfs", 0, "mode=755"));
  const std::string root = kNewRoot;
  TRY(mount_at("devtmpfs", root + "/dev", "devtmpfs"));
  TRY(mount_at("proc", root + "/proc", "proc"));
  TRY(mount_at("sysfs", root + "/sys", "sysfs"));
  TRY(mount_at("tmpfs", root + "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755"));
  TRY(mount_at("tmpfs", root + "/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"));
  TRY(mount_at("cgroup2", root + "/sys/fs/cgroup", "cgroup2"));
  TRY(make_directory(root + "/modules"));
  if (::mount("/modules", (root + "/modules").c_str(), nullptr, MS_BIND, nullptr) < 0)
    return sys_error("bind", "/modules");
  if (::chdir(kNewRoot) < 0 || ::mount(".", "/", nullptr, MS_MOVE, nullptr) < 0 ||
      ::chroot(".") < 0 || ::chdir("/") < 0)
    return sys_error("move the root to", kNewRoot);
  // The limit on memory is the cgroup's, as on a host that has much: not what is asked for at once.
  TRY(write_knob("/proc/sys/vm/overcommit_memory", "1"));
  return make_directory("/run/caisson");
}

Result<> load_modules() {
  utsname names{};
  ::uname(&names);
  if (line_of("/modules/release") != names.release) return {};
  TRY(load_list("/modules/early"));
  // What their devices are is known only when a machine goes on from this one.
  TRY(write_knob(kAutoprobe, "0"));
  TRY(load_list("/modules/late"));
  return write_knob(kAutoprobe, "1");
}

Result<> probe_devices() {
  constexpr const char* kDevices = "/sys/bus/virtio/devices";
  for (const std::string& name : names_in(kDevices))
    if (::access(format("{}/{}/driver", kDevices, name).c_str(), F_OK) != 0)
      TRY(write_knob("/sys/bus/virtio/drivers_probe", name));
  return {};
}

Result<Fd> open_port(const std::string& name) {
  constexpr const char* kPorts = "/sys/class/virtio-ports";
  Result<Fd> port = Fd();
  const auto find = [&] {
    for (const std::string& entry : names_in(kPorts))
      if (line_of(format("{}/{}/name", kPorts, entry)) == name)
        port = open_fd("/dev/" + entry, O_RDWR | O_NONBLOCK);
    return port && *port;
  };
  TRY(await(find, "port_missing", format("port '{}'", name)));
  return port;
}

Result<> mount_disk(const std::string& serial, const std::string& target, bool read_only) {
  std::string device;
  const auto find = [&] {
    for (const std::string& entry : names_in("/sys/block"))
      if (line_of(format("/sys/block/{}/serial", entry)) == serial) device = "/dev/" + entry;
    return !device.empty() && ::access(device.c_str(), F_OK) == 0;
  };
  TRY(await(find, "disk_missing", format("disk '{}'", serial)));
  TRY(make_directory(target));
  const unsigned long flags = MS_NODEV | (read_only ? MS_RDONLY : 0);
  // Tables of inodes that nobody uses are not written, ext4(5).
  const char* options = read_only ? "noload" : "noinit_itable";
  if (::mount(device.c_str(), target.c_str(), "ext4", flags, options) < 0)
    return sys_error("mount disk on", target);
  return {};
}

Result<> mount_share(const std::string& tag, const std::string& target) {
  return mount_at(tag.c_str(), target, "virtiofs", MS_NODEV | MS_NOSUID);
}

Result<> show(const std::string& directory, const std::string& place) {
  for (std::size_t at = place.find('/', 1); at != std::string::npos; at = place.find('/', at + 1))
    TRY(make_directory(place.substr(0, at)));
  TRY(make_directory(place));
  if (::mount(directory.c_str(), place.c_str(), nullptr, MS_BIND | MS_REC, nullptr) < 0)
    return sys_error("bind", place);
  return {};
}

Result<> set_clock(std::int64_t since_epoch_ns) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  const timespec now{static_cast<time_t>(since_epoch_ns / kSecond),
                     static_cast<long>(since_epoch_ns % kSecond)};
  if (::clock_settime(CLOCK_REALTIME, &now) < 0) return sys_error("set clock", "");
  return {};
}

Result<> seed_random(const std::string& bytes) {
  const Fd random = TRY(open_fd("/dev/urandom", O_RDWR));
  std::vector<char> request(sizeof(rand_pool_info) + bytes.size());
  auto* info = reinterpret_cast<rand_pool_info*>(request.data());
  info->entropy_count = static_cast<int>(bytes.size() * 8);
  info->buf_size = static_cast<int>(bytes.size());
  std::memcpy(info->buf, bytes.data(), bytes.size());
  if (::ioctl(random.get(), RNDADDENTROPY, info) < 0) return sys_error("seed", "/dev/urandom");
  if (::ioctl(random.get(), RNDRESEEDCRNG) < 0) return sys_error("reseed", "/dev/urandom");
  return {};
}

Result<> set_hostname(const std::string& name, int process) {
  const Fd ours = TRY(open_fd("/proc/self/ns/uts", O_RDONLY));
  const Fd theirs = TRY(open_fd(format("/proc/{}/ns/uts", process), O_RDONLY));
  if (::setns(theirs.get(), CLONE_NEWUTS) < 0) return sys_error("set hostname", name);
  const int failed = ::sethostname(name.data(), name.size()) < 0 ? errno : 0;
  if (::setns(ours.get(), CLONE_NEWUTS) < 0) return sys_error("leave namespace of", name);
  return failed == 0 ? Result<>() : Result<>(errno_error(failed, "set hostname", name));
}

Result<> set_machine_id(const std::string& id) {
  const Fd file = TRY(open_fd(kMachineId, O_WRONLY | O_CREAT, 0444));
  return write_all(file.get(), id + "\n", kMachineId);
}

/// At once: to shut down each device takes a tenth of a second, and there is nobody who needs it.
/// (Documentation/admin-guide/sysrq.rst: `b`; QEMU leaves instead of restarting.)
void power_off() {
  ::sync();
  [[maybe_unused]] const Result<> went = write_knob("/proc/sysrq-trigger", "b");
  ::reboot(RB_POWER_OFF);
}

}  // namespace caisson::agent
