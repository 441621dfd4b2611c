"""What this machine and the user running the tests can do."""

import os
import pwd
import shutil
from pathlib import Path

IS_ROOT = os.geteuid() == 0
USER = pwd.getpwuid(os.geteuid()).pw_name


def bin_dir():
    """The folder of the programs under test."""
    default = Path(__file__).resolve().parents[2] / "build" / "release" / "bin"
    return Path(os.environ.get("CAISSON_TEST_BIN", default))


def guest_dir():
    """The folder of what microVMs boot."""
    return Path(os.environ.get("CAISSON_GUEST", bin_dir().parents[1] / "guest"))


def missing_guest():
    """Why no microVM can be started here, or None."""
    if not (guest_dir() / "manifest.json").exists():
        return f"'{guest_dir()}' has no manifest.json: run ./dev guest"
    if not shutil.which("qemu-system-x86_64"):
        return "qemu-system-x86_64 is not installed"
    return None


def missing_subuid():
    """Why this user has no subordinate ids, or None."""
    if IS_ROOT:
        return None
    if not shutil.which("newuidmap"):
        return "newuidmap is not installed"
    for file in ("/etc/subuid", "/etc/subgid"):
        if not subordinate_ranges(file):
            return f"{file} has no range for '{USER}'"
    return None


def subordinate_ranges(file="/etc/subuid"):
    """[(first, count)] of this user."""
    lines = Path(file).read_text().splitlines() if os.path.exists(file) else []
    fields = [line.split(":") for line in lines]
    return [(int(f[1]), int(f[2])) for f in fields if len(f) == 3 and f[0] in (USER, str(os.geteuid()))]


def missing_memory_limit():
    """Why boxes of this user cannot have cgroup limits, or None. Root always can."""
    if IS_ROOT:
        return None
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            own = Path("/sys/fs/cgroup") / line[3:].lstrip("/")
            if not (own / "cgroup.controllers").exists():
                return "no cgroup v2 hierarchy is mounted at /sys/fs/cgroup"
            if not os.access(own / "cgroup.procs", os.W_OK):
                return f"cgroup '{own}' is not delegated to '{USER}'"
            return None
    return "this process is in no cgroup v2"
