// For a trial: what the process is that is the machine, and what whoever had taken it over could
// do. QEMU itself is asked to do it, by its control socket, before the box attacks.
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "sys/landlock.h"
#include "trial/attack.h"
#include "trial/attempts.h"
#include "vm/microvm_impl.h"

namespace caisson::vm {
namespace {

using nlohmann::json;
using trial::Attempts;

/// Entries whose names are numbers: processes, or threads of one.
std::vector<pid_t> numbers_in(const std::string& path) {
  std::vector<pid_t> out;
  for (const std::string& name : names_in(path)) {
    pid_t number = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), number).ec == std::errc())
      out.push_back(number);
  }
  return out;
}

/// A field of proc_pid_status(5), or nothing.
std::string field(std::string_view status, std::string_view name) {
  const auto at = status.find(format("\n{}:\t", name));
  if (at == std::string_view::npos) return {};
  const auto begin = at + name.size() + 3;
  return std::string(status.substr(begin, status.find('\n', begin) - begin));
}

std::string status_of(const std::string& process) {
  return read_file(process + "/status", 1 << 16).value_or("");
}

/// Of every thread.
std::vector<std::string> statuses(pid_t pid) {
  std::vector<std::string> out;
  for (pid_t thread : numbers_in(format("/proc/{}/task", pid)))
    out.push_back(status_of(format("/proc/{}/task/{}", pid, thread)));
  return out;
}

bool others_have(const std::string& uids, pid_t pid) {
  return std::ranges::any_of(numbers_in("/proc"), [&](pid_t other) {
    return other != pid && field(status_of(format("/proc/{}", other)), "Uid") == uids;
  });
}

std::string privileges(pid_t pid, bool own_user) {
  Attempts attempts;
  const std::vector<std::string> threads = statuses(pid);
  attempts.broke(threads.empty(), "QEMU is not there");
  for (const std::string& status : threads) {
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
      const std::string value = field(status, set);
      attempts.broke(value.empty() || value.find_first_not_of('0') != std::string::npos,
                     format("QEMU has capabilities: {} {}", set, value));
    }
    attempts.broke(field(status, "NoNewPrivs") != "1", "QEMU may gain privileges by exec");
    if (!attempts.broken().empty()) return attempts.broken();
  }
  if (!own_user || threads.empty()) return attempts.broken();
  const std::string uids = field(threads.front(), "Uid");
  attempts.broke(uids.starts_with("0\t"), "QEMU is root");
  attempts.broke(others_have(uids, pid), "QEMU has the user id of another process");
  return attempts.broken();
}

int count_of(const std::string& status) {
  int count = 0;
  const std::string text = field(status, "Seccomp_filters");
  std::from_chars(text.data(), text.data() + text.size(), count);
  return count;
}

/// One filter is ours (opens.h), the others are QEMU's own.
std::string system_calls(pid_t pid) {
  Attempts attempts;
  const int least = count_of(status_of("/proc/self")) + 2;
  for (const std::string& status : statuses(pid)) {
    const int count = count_of(status);
    attempts.broke(field(status, "Seccomp") != "2" || count < least,
                   format("a thread of QEMU has {} filters, not {}", count, least));
    if (!attempts.broken().empty()) break;
  }
  return attempts.broken();
}

std::string namespaces(pid_t pid) {
  Attempts attempts;
  for (const char* kind : {"net", "ipc", "uts", "mnt"}) {
    const auto name = [kind](const std::string& process) {
      char text[64] = {};
      const ssize_t n = ::readlink(format("/proc/{}/ns/{}", process, kind).c_str(), text, 63);
      return std::string(text, n > 0 ? static_cast<std::size_t>(n) : 0);
    };
    const std::string its = name(std::to_string(pid));
    attempts.broke(its.empty() || its == name("self"),
                   format("QEMU has no {} namespace of its own", kind));
  }
  const std::string routes = read_file(format("/proc/{}/net/route", pid), 1 << 16).value_or("\n\n");
  attempts.broke(std::ranges::count(routes, '\n') > 1, "QEMU has a route to a network");
  return attempts.broken();
}

/// Whether QEMU does it; what it made goes again.
bool does(Qmp& qmp, const char* command, const json& arguments, const char* undo,
          const json& what) {
  if (!qmp.call(command, arguments)) return false;
  [[maybe_unused]] const Result<json> undone = qmp.call(undo, what);
  return true;
}

bool reads(Qmp& qmp, const std::string& path) {
  return does(qmp, "blockdev-add",
              {{"driver", "file"},
               {"node-name", "trial"},
               {"filename", path},
               {"read-only", true},
               {"locking", "off"}},
              "blockdev-del", {{"node-name", "trial"}});
}

bool opens(Qmp& qmp, const json& backend) {
  return does(qmp, "chardev-add", {{"id", "trial"}, {"backend", backend}}, "chardev-remove",
              {{"id", "trial"}});
}

bool writes(Qmp& qmp, const std::string& path) {
  return opens(qmp, {{"type", "file"}, {"data", {{"out", path}}}});
}

bool connects(Qmp& qmp, const char* type, const json& address) {
  return opens(qmp, {{"type", "socket"},
                     {"data", {{"server", false}, {"addr", {{"type", type}, {"data", address}}}}}});
}

std::string files(Qmp& qmp, const trial::Target& target) {
  Attempts attempts;
  std::vector<std::string> readable = {target.canary + "/secret"};
  std::vector<std::string> writable = {target.canary + "/secret", target.canary + "/made"};
  // What every user may is in the way of Landlock only.
  const std::string anywhere = "/tmp/" + target.abstract_name;
  if (sys::landlock_abi()) {
    readable.emplace_back("/etc/passwd");
    writable.push_back(anywhere);
  }
  for (const std::string& path : readable)
    attempts.broke(reads(qmp, path), format("QEMU opened {}", path));
  for (const std::string& path : writable)
    attempts.broke(writes(qmp, path), format("QEMU opened {} for writing", path));
  ::unlink(anywhere.c_str());
  return attempts.broken();
}

std::string network(Qmp& qmp, const trial::Target& target) {
  Attempts attempts;
  attempts.broke(
      connects(
          qmp, "inet",
          {{"host", "127.0.0.1"}, {"port", std::to_string(target.tcp_port)}, {"numeric", true}}),
      "QEMU connected to a server of the host");
  attempts.broke(connects(qmp, "unix", {{"path", target.abstract_name}, {"abstract", true}}),
                 "QEMU connected to an abstract socket of the host");
  const std::string path = target.canary + "/socket";
  if (path.size() < sizeof sockaddr_un{}.sun_path)
    attempts.broke(connects(qmp, "unix", {{"path", path}}),
                   "QEMU connected to a socket file of the host");
  return attempts.broken();
}

/// The types of what QEMU has made of a kind: `child<TYPE>`, in the order of names.
Result<std::multiset<std::string>> children(Qmp& qmp, const std::string& path) {
  std::multiset<std::string> types;
  const json answer = TRY(qmp.call("qom-list", {{"path", path}}));
  for (const json& child : answer) {
    const std::string type = child.value("type", "");
    constexpr std::string_view kChild = "child<";
    if (type.starts_with(kChild) && child.value("name", "").starts_with("device["))
      types.insert(type.substr(kChild.size(), type.size() - kChild.size() - 1));
  }
  return types;
}

/// What the type of the machine brings along.
bool is_of_board(const std::string& type) {
  static constexpr std::string_view kBoard[] = {
      "acpi-ged",   "acpi-ged-x86", "ioapic",   "isa-serial",  "isabus-bridge",
      "kvm-ioapic", "kvmclock",     "kvmvapic", "mc146818rtc", "virtio-mmio"};
  return type.ends_with("-x86_64-cpu") || std::ranges::count(kBoard, type) != 0;
}

Result<std::string> devices(Qmp& qmp, const Machine& machine) {
  Attempts attempts;
  std::multiset<std::string> meant = {"virtio-serial-device", "virtserialport",
                                      "virtio-rng-device",    "virtio-blk-device",
                                      "virtio-blk-device",    "virtio-balloon-device"};
  if (machine.share >= 0) meant.insert("vhost-user-fs-device");
  std::multiset<std::string> there = TRY(children(qmp, "/machine/peripheral-anon"));
  there.merge(TRY(children(qmp, "/machine/peripheral")));
  std::vector<std::string> differ;
  std::ranges::set_symmetric_difference(there, meant, std::back_inserter(differ));
  for (const std::string& type : differ) attempts.broke(true, format("{} is not meant", type));
  for (const std::string& type : TRY(children(qmp, "/machine/unattached")))
    attempts.broke(!is_of_board(type), format("the board has {}", type));
  return attempts.broken();
}

}  // namespace

/// Before what the box itself reports.
Result<> MicroVm::attack_from_machine(int report) {
  const trial::Target target = trial::decode(options_.box.trial->target);
  Qmp& qmp = *TRY(control());
  std::string lines;
  const auto tell = [&](const char* defence, std::string broken) {
    lines += trial::line_of({defence, std::move(broken)});
  };
  tell("device_set", TRY(devices(qmp, machine_)));
  tell("vmm_privileges", privileges(qemu_.pid, options_.root));
  tell("vmm_system_calls", system_calls(qemu_.pid));
  tell("vmm_namespaces", namespaces(qemu_.pid));
  tell("vmm_files", files(qmp, target));
  tell("vmm_network", network(qmp, target));
  return write_all(report, lines, "report");
}

/// Of the command line; the rest is in qemu.cc.
void MicroVm::leave_out(std::vector<std::string>& words) const {
  const std::string without = options_.box.trial ? options_.box.trial->without : "";
  const auto filter = std::ranges::find(words, "-sandbox");
  if (without == "vmm_system_calls" && filter != words.end()) words.erase(filter, filter + 2);
  if (without == "device_set") words.insert(words.end(), {"-device", "virtio-keyboard-device"});
}

}  // namespace caisson::vm
