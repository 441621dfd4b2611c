"""Fixtures of all functional and hostile tests."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from support import host
from support.cli import Caisson
from support.leaks import LeakCheck, Snapshot, adopt_orphans


def pytest_configure():
    adopt_orphans()


def pytest_collection_modifyitems(config, items):
    """Tests for the other kind of user do not count as skipped: they are not for this pass."""
    unwanted = "user_only" if host.IS_ROOT else "root_only"
    dropped = [item for item in items if item.get_closest_marker(unwanted)]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in dropped]
    no_subuid = host.missing_subuid()
    for item in items:
        if no_subuid and item.get_closest_marker("needs_subuid"):
            item.add_marker(pytest.mark.skip(reason=f"needs subordinate ids: {no_subuid}"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call":
        item.stash[CALL_FAILED] = report.failed


CALL_FAILED = pytest.StashKey()


@pytest.fixture(autouse=True)
def time_limit(request):
    """No test hangs: SIGALRM raises in the main thread."""
    marker = request.node.get_closest_marker("seconds")
    seconds = marker.args[0] if marker else 120

    def expire(*_):
        raise TimeoutError(f"the test took longer than {seconds} s")

    previous = signal.signal(signal.SIGALRM, expire)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


@pytest.fixture(scope="session")
def bin_dir():
    folder = host.bin_dir()
    assert (folder / "caisson").exists(), f"'{folder}/caisson' is missing: run ./dev build release"
    return folder


@pytest.fixture
def home(request, bin_dir):
    """A fresh home. After the test nothing outside of it may be left, and removing its boxes must
    empty it. Leftovers fail the test that made them and are cleared for the next one."""
    folder = Path(tempfile.mkdtemp(prefix="cx", dir="/tmp"))
    before = Snapshot()
    caisson = Caisson(bin_dir / "caisson", folder / "h")
    request.node.stash[CAISSON] = caisson
    yield folder / "h"
    broken = request.node.get_closest_marker("broken_home")
    failed = request.node.stash.get(CALL_FAILED, True)
    if failed and not broken:
        remove_boxes(caisson)
    caisson.note_ids(b"")
    check = LeakCheck(folder, caisson.ids, before)
    left = check.find()
    if left:
        check.kill_stray()
    if not broken:
        left += remove_boxes(caisson)
    left += erase(folder)
    assert not left, "left behind:\n  " + "\n  ".join(left)


CAISSON = pytest.StashKey()


def remove_boxes(caisson):
    """Removes every box through the CLI; what that did not achieve."""
    if not os.path.exists(caisson.home):
        return []
    try:
        boxes = caisson("ps", "-a", "-q", "--no-trunc").stdout.split()
        done = caisson("rm", "-f", *boxes) if boxes else None
    except (subprocess.TimeoutExpired, TimeoutError) as error:
        return [f"boxes: {error}"]
    problems = [f"caisson rm -f: {done.stderr}"] if done and done.returncode != 0 else []
    folder = Path(caisson.home) / "boxes"
    if folder.is_dir():
        problems += [f"file {path}" for path in folder.iterdir()]
    return problems


def erase(folder):
    problems = []
    shutil.rmtree(folder, onerror=lambda _, path, info: problems.append(f"file {path}: {info[1]}"))
    return problems


@pytest.fixture
def caisson(request, home):
    """The program under the test's own home: `caisson("run", ...)`; see support/cli.py."""
    return request.node.stash[CAISSON]


@pytest.fixture
def workdir(home):
    """A scratch directory on the host that the box's users can enter; gone after the test."""
    folder = home.parent / "w"
    folder.mkdir(mode=0o755)
    home.parent.chmod(0o755)
    return folder


@pytest.fixture
def busybox_root(workdir):
    """A root directory with busybox, users and groups: for `dir:` boxes."""
    root = workdir / "root"
    for name in ("bin", "etc", "tmp", "proc", "sys", "dev", "home/app"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    applets = subprocess.run([root / "bin/busybox", "--list"], capture_output=True, text=True,
                             timeout=10, check=True).stdout.split()
    for applet in set(applets) - {"busybox"}:
        (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\napp:x:1000:\nvideo:x:44:app\n")
    (root / "etc/motd").write_text("original\n")
    return root
