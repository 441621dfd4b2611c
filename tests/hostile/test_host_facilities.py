"""What root could do to a machine is refused to root in a box, also when Caisson itself is root."""

import os
from pathlib import Path

import pytest

from support.attack import run_inside

pytestmark = pytest.mark.without_subuid

KINDS = {"minimal": ["--profile", "minimal"], "standard": [], "full": ["--profile", "full"],
         "unconfined": ["--profile", "full", "--security", "seccomp=unconfined"]}
REFUSED = {"EACCES", "EPERM", "EROFS", "ENOENT", "EINVAL", "ENOSYS", "EBUSY", "ENOTDIR", "EIO", "EBADF"}


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def test_kernel_settings_cannot_be_written(caisson, kind):
    found = run_inside(caisson, """
import glob
paths = ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug",
  "/proc/sys/kernel/sysrq", "/proc/sysrq-trigger", "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname",
  "/proc/sys/kernel/shmmax", "/proc/sys/kernel/msgmax", "/proc/sys/vm/drop_caches", "/proc/sys/vm/panic_on_oom",
  "/proc/sys/fs/binfmt_misc/register", "/proc/sys/fs/suid_dumpable", "/proc/sys/net/ipv4/ip_forward",
  "/proc/sys/net/core/somaxconn", "/proc/sys/user/max_user_namespaces", "/proc/irq/default_smp_affinity",
  "/proc/acpi/wakeup", "/proc/mtrr", "/proc/scsi/scsi", "/proc/timer_stats", "/proc/1/oom_score_adj",
  "/proc/1/sched", "/proc/1/loginuid", "/proc/1/uid_map", "/proc/1/setgroups", "/proc/self/uid_map",
  "/sys/kernel/uevent_helper", "/sys/kernel/profiling", "/sys/power/state", "/sys/power/disk",
  "/sys/module/kernel/parameters/panic", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/firmware/x",
  "/sys/kernel/security/apparmor/.load", "/sys/kernel/debug/x", "/sys/kernel/tracing/x", "/dev/kmsg", "/dev/mem"]
paths += glob.glob("/sys/fs/cgroup/**/release_agent", recursive=True)
paths += glob.glob("/sys/fs/cgroup/**/cgroup.procs", recursive=True)
paths += glob.glob("/sys/block/*/queue/scheduler") + glob.glob("/sys/class/net/*/mtu")
tell({path: write(path, "1") for path in paths})
""", *kind)
    assert {path: how for path, how in found.items() if how not in REFUSED} == {}


def test_memory_and_log_of_the_kernel_cannot_be_read(caisson, kind):
    found = run_inside(caisson, """
tell({path: read(path) for path in ["/proc/kcore", "/proc/kmsg", "/proc/keys", "/proc/timer_list", "/dev/mem",
  "/proc/sched_debug", "/proc/interrupts", "/sys/firmware/dmi/tables/DMI", "/proc/kpagecount", "/proc/vmallocinfo",
  "/proc/1/mem", "/proc/slabinfo", "/dev/kmsg", "/proc/kpageflags", "/proc/sys/kernel/cap_last_cap"]}
  | {"kallsyms": open("/proc/kallsyms").read(16) if os.path.exists("/proc/kallsyms") else ""})
""", *kind)
    assert found.pop("/proc/sys/kernel/cap_last_cap").startswith("read ")
    assert set(found.pop("kallsyms")) <= set("0 abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
    assert {path: how for path, how in found.items() if how not in REFUSED | {"read "}} == {}


def test_calls_that_rule_the_machine_are_refused(caisson, kind):
    found = run_inside(caisson, """
nr = dict(mount=165, umount2=166, pivot_root=155, swapon=167, swapoff=168, reboot=169, sethostname=170,
  setdomainname=171, iopl=172, ioperm=173, init_module=175, delete_module=176, quotactl=179, kexec_load=246,
  settimeofday=164, adjtimex=159, clock_settime=227, acct=163, syslog=103, bpf=321, fanotify_init=300,
  open_by_handle_at=304, setns=308, finit_module=313, fsopen=430, open_tree=428, mount_setattr=442,
  perf_event_open=298, userfaultfd=323, add_key=248)
arguments = dict(mount=("none", "/mnt", "tmpfs", 0, 0), umount2=("/proc/kcore", 2), pivot_root=("/", "/"),
  swapon=("/etc/passwd", 0), reboot=(0xfee1dead, 672274793, 0, 0), sethostname=("evil", 4), setdomainname=("evil", 4),
  iopl=(3,), ioperm=(0, 1, 1), acct=("/tmp/acct",), syslog=(5, 0, 0), fanotify_init=(4, 0), settimeofday=(0, 0),
  delete_module=("loop", 0), setns=(os.open("/proc/1/ns/mnt" if os.access("/proc/1/ns/mnt", 4) else
  "/proc/self/ns/mnt", os.O_RDONLY), 0x20000), fsopen=("tmpfs", 0), clock_settime=(0, 0))
skip = {"settimeofday", "clock_settime", "adjtimex", "bpf", "perf_event_open", "userfaultfd", "add_key"}
tell({name: call(number, *arguments.get(name, (0, 0, 0, 0, 0))) for name, number in nr.items() if name not in skip})
""", *kind)
    assert {name: how for name, how in found.items() if how not in REFUSED | {"EFAULT", "ENODEV"}} == {}


MOUNTS = """
def mount(source, target, kind, flags=0, data=0):
    return call(165, source, target, kind, flags, data)
BIND, REMOUNT, MOVE = 4096, 32, 8192
os.makedirs("/tmp/m", exist_ok=True)
attempts = {name: mount("none", "/tmp/m", name) for name in ("proc", "sysfs", "cgroup2", "debugfs", "tracefs",
    "securityfs", "bpf", "configfs", "pstore", "devtmpfs", "binfmt_misc", "fusectl", "efivarfs", "ramfs",
    "overlay", "nfsd")}
for name in ("memory", "rdma", "devices", "pids", "freezer", "cpu"):
    attempts["cgroup " + name] = mount("none", "/tmp/m", "cgroup", 0, name)
"""


@pytest.mark.parametrize("name", ["standard", "full", "unconfined"])
def test_nothing_can_be_mounted(caisson, name):
    found = run_inside(caisson, MOUNTS + """
attempts["remount usr"] = mount("none", "/usr", 0, REMOUNT | BIND)
attempts["remount proc sys"] = mount("none", "/proc/sys", 0, REMOUNT | BIND)
attempts["remount root"] = mount("none", "/", 0, REMOUNT)
attempts["bind"] = mount("/proc/sys", "/tmp/m", 0, BIND)
attempts["move"] = mount("/proc/kcore", "/tmp/m", 0, MOVE)
for path in ("/proc/kcore", "/proc/keys", "/proc/sys", "/sys/firmware", "/proc/timer_list", "/usr", "/dev"):
    attempts["umount " + path] = call(166, path, 2)
tell(attempts)
""", *KINDS[name])
    assert {what: how for what, how in found.items() if how not in REFUSED | {"ENODEV"}} == {}


def test_nested_user_namespace_uncovers_nothing(caisson):
    """Without a system call filter a box can make namespaces of its own; what Caisson mounted is
    locked there all the same."""
    found = run_inside(caisson, MOUNTS.replace("attempts = {", "nested = call(272, 0x10000000 | 0x20000)\nattempts = {")
                       + """
attempts["remount usr"] = mount("none", "/usr", 0, REMOUNT | BIND)
attempts["remount proc sys"] = mount("none", "/proc/sys", 0, REMOUNT | BIND)
for path in ("/proc/kcore", "/proc/keys", "/proc/sys", "/sys/firmware", "/proc/timer_list", "/proc", "/usr"):
    attempts["umount " + path] = call(166, path, 2)
attempts["core_pattern"] = write("/proc/sys/kernel/core_pattern", "|/evil")
attempts["usr"] = write("/usr/bin/env", "x")
attempts["hostname"] = call(170, "evil", 4)
for own in ("ramfs", "overlay", "binfmt_misc"):  # one of its own is the box's affair
    del attempts[own]
tell([nested, attempts])
""", *KINDS["unconfined"])
    nested, attempts = found
    assert nested in REFUSED | {"done"}
    assert {what: how for what, how in attempts.items() if how not in REFUSED | {"ENODEV"}} == {}


def test_release_agent_runs_nothing_on_the_host(caisson, canary):
    """The whole attack of CVE-2022-0492, with every way to a cgroup file system that there is."""
    for kind in ("standard", "full", "unconfined"):
        run_inside(caisson, f"""
if {kind!r} == "unconfined":
    call(272, 0x10000000 | 0x20000 | 0x02000000)
os.makedirs("/tmp/c", exist_ok=True)
results = []
for data in ("memory", "rdma", "pids", "freezer", "cpuset"):
    results.append(call(165, "none", "/tmp/c", "cgroup", 0, data))
    results.append(write("/tmp/c/release_agent", "/bin/sh -c 'touch {canary.folder}/owned'"))
    attempt(lambda: os.mkdir("/tmp/c/x"))
    results.append(write("/tmp/c/x/notify_on_release", "1"))
    results.append(write("/tmp/c/x/cgroup.procs", "0"))
tell(results)
""", *KINDS[kind])
    canary.check()


def test_core_dumps_run_nothing_on_the_host(caisson):
    done = caisson.sh("echo '|/bin/sh -c id' > /proc/sys/kernel/core_pattern; ulimit -c; kill -SEGV $$", "--profile", "full")
    assert done.stdout == "0\n"
    assert "read-only" in done.stderr.lower() or "denied" in done.stderr.lower()


def test_device_nodes_cannot_be_made(caisson, workdir):
    data = workdir / "data"
    data.mkdir()
    found = run_inside(caisson, """
import stat
made = {}
for folder in ("/dev", "/tmp", "/workspace", "/data", "/dev/shm"):
    for name, kind, device in (("m", stat.S_IFCHR, (1, 1)), ("z", stat.S_IFCHR, (1, 5)), ("b", stat.S_IFBLK, (8, 0)),
                               ("v", stat.S_IFBLK, (254, 0))):
        def action():
            os.mknod(f"{folder}/{name}", kind | 0o666, os.makedev(*device))
            return "done"
        made[f"{folder}/{name}"] = attempt(action)
tell(made)
""", "-v", f"{data}:/data", "--profile", "full")
    assert set(found.values()) <= {"EPERM", "EACCES"}, found
    assert os.listdir(data) == []


def test_programs_of_the_host_cannot_be_changed(caisson):
    found = run_inside(caisson, """
tell([write("/usr/bin/env", "x"), write("/bin/sh", "x"), attempt(lambda: os.chmod("/usr/bin/env", 0o4777)),
  attempt(lambda: os.unlink("/usr/bin/env")), attempt(lambda: os.rename("/usr/bin/env", "/usr/bin/e")),
  attempt(lambda: os.symlink("x", "/usr/new")), attempt(lambda: os.mkdir("/usr/lib/new")),
  attempt(lambda: os.chown("/usr/bin/env", 0, 0)), attempt(lambda: os.link("/usr/bin/env", "/tmp/env")),
  attempt(lambda: os.setxattr("/usr/bin/env", "user.x", b"1")), attempt(lambda: os.utime("/usr/bin/env"))])
""", "--profile", "full")
    assert set(found) <= {"EROFS", "EXDEV", "EPERM", "EACCES", "ETXTBSY"}, found


def test_the_clock_of_the_machine_is_kept(caisson):
    found = run_inside(caisson, """
import time
now = time.time()
tell([attempt(lambda: time.clock_settime(time.CLOCK_REALTIME, now)), write("/dev/rtc0", "x")])
""", *KINDS["unconfined"])
    assert found[0] == "EPERM"


def test_read_only_volume_stays_read_only(caisson, canary):
    found = run_inside(caisson, """
tell([read("/ro/file")[:5], write("/ro/file", "x"), attempt(lambda: os.mkdir("/ro/new")),
  call(165, "none", "/ro", 0, 32 | 4096, 0), call(166, "/ro", 2), call(442, -100, "/ro", 0, 0, 0),
  attempt(lambda: os.chmod("/ro/file", 0o777))])
""", "-v", f"{canary.folder}:/ro:ro", *KINDS["unconfined"])
    assert found[0] == "read "
    assert set(found[1:]) <= REFUSED, found


def test_modules_are_not_loaded_on_demand(caisson):
    """Asking for an exotic protocol makes the kernel load its module."""
    before = Path("/proc/modules").read_text() if os.path.exists("/proc/modules") else ""
    run_inside(caisson, """
import socket
for family in range(46):
    for kind in (1, 2, 3, 5):
        for protocol in (0, 33, 132, 136):
            attempt(lambda: socket.socket(family, kind, protocol).close())
tell("")
""")
    after = Path("/proc/modules").read_text() if os.path.exists("/proc/modules") else ""
    names = lambda text: {line.split()[0] for line in text.splitlines()}
    assert names(after) == names(before)
