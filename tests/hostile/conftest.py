"""Fixtures of the hostile tests."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from support.attack import Canary
from support.image_trial import Trial

PROGRAMS = Path(__file__).resolve().parents[1] / "programs"
SETTINGS = ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hostname",
            "/proc/sys/kernel/sysrq", "/proc/sys/kernel/domainname", "/proc/sys/fs/suid_dumpable",
            "/proc/sys/net/ipv4/ip_unprivileged_port_start", "/proc/sys/net/ipv4/ping_group_range",
            "/proc/modules", "/sys/kernel/uevent_helper", "/etc/hosts")


@pytest.fixture(scope="session")
def programs():
    """A directory with the guest programs of tests/programs, static."""
    folder = Path(tempfile.mkdtemp(prefix="guest-programs-"))
    folder.chmod(0o755)
    for source in sorted(PROGRAMS.glob("*.c")):
        subprocess.run(["cc", "-static", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o",
                        folder / source.stem, source], check=True, timeout=60)
    yield folder
    shutil.rmtree(folder)


def read(path):
    try:
        return Path(path).read_text()
    except OSError:
        return None


def host_state(bin_dir):
    state = {path: read(path) for path in SETTINGS}
    for program in ("caisson", "caisson-shim"):
        info = os.stat(bin_dir / program)
        state[program] = (info.st_mode, info.st_uid, info.st_size, info.st_ino, info.st_mtime_ns)
    return state


@pytest.fixture(autouse=True)
def untouched_host(bin_dir):
    """Whatever a test does inside: the host's settings and the programs are as they were."""
    before = host_state(bin_dir)
    yield
    assert host_state(bin_dir) == before


@pytest.fixture
def canary(workdir):
    """A directory on the host beside what boxes are shown; checked at the end of the test."""
    made = Canary(workdir / "outside")
    yield made
    made.check()


@pytest.fixture
def image(busybox_root, programs):
    """A `dir:` root with busybox and the guest programs in /bin."""
    for program in programs.iterdir():
        shutil.copy(program, busybox_root / "bin" / program.name)
    return busybox_root


@pytest.fixture
def trial(caisson, workdir, canary):
    """Pulls hostile images beside a good one, which has to be usable to the end."""
    made = Trial(caisson, workdir, canary)
    yield made
    made.end()
