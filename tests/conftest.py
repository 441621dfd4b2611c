"""Fixtures of all functional and hostile tests."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from support import host, isolation, microvm
from support.cli import Caisson
from support.leaks import LeakCheck, Snapshot, adopt_orphans
from support.registry import Certificates, Registry


def pytest_addoption(parser):
    isolation.add_option(parser)


def pytest_configure():
    adopt_orphans()
    # A job in the background of a shell ignores SIGINT, and what it starts would too: with a
    # handler here it has its default there.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup(1) does the same with this one


def pytest_collection_modifyitems(config, items):
    """Tests for the other kind of user do not count as skipped: they are not for this pass."""
    unwanted = "user_only" if host.IS_ROOT else "root_only"
    dropped = [item for item in items if item.get_closest_marker(unwanted)]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = [item for item in items if item not in dropped]
    config.stash[LEFT_OUT] = isolation.select(config, items)
    no_subuid = host.missing_subuid()
    for item in items:
        if no_subuid and item.get_closest_marker("needs_subuid"):
            item.add_marker(pytest.mark.skip(reason=f"needs subordinate ids: {no_subuid}"))


LEFT_OUT = pytest.StashKey()


def pytest_report_collectionfinish(config):
    return config.stash[LEFT_OUT]


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


@pytest.fixture(scope="session")
def kept():
    """A directory for what is costly to make. A thousand files made and deleted by each test would
    slow down the whole run: ext4 looks at each number that was given back lately before it gives
    out another."""
    folder = Path(tempfile.mkdtemp(prefix="cxkept", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


class HostView:
    """The tree behind `host:`, which a home makes with its first box: it goes from home to home."""

    def __init__(self, kept):
        self.kept = kept / "host-view"

    def give(self, home):
        if self.kept.exists():
            home.mkdir(mode=0o700)
            self.kept.rename(home / "host-view")

    def take_back(self, home):
        made = home / "host-view"
        if not self.kept.exists() and made.is_dir() and len(os.listdir(made)) == 1:
            made.rename(self.kept)


@pytest.fixture(scope="session")
def home_seed(request, bin_dir, kept):
    """What a home begins with, where boxes are not containers."""
    level = request.config.getoption("isolation")
    if level == "container":
        return None
    folder = kept / "seed"
    folder.mkdir()
    return isolation.Seed(Caisson(bin_dir / "caisson", folder / "h", level), folder)


@pytest.fixture(scope="session")
def templates(bin_dir, kept):
    """What boxes of tests with the marker `warm` go on from."""
    return microvm.make_templates(Caisson(bin_dir / "caisson", kept / "machines"))


def is_warm(node):
    marker = node.get_closest_marker("warm")
    return marker is not None and marker.args[0]


@pytest.fixture
def home(request, bin_dir, kept, home_seed):
    """A fresh home. After the test nothing outside of it may be left, and removing its boxes must
    empty it. Leftovers fail the test that made them and are cleared for the next one."""
    folder = Path(tempfile.mkdtemp(prefix="cx", dir="/tmp"))
    view = HostView(kept)
    if not request.node.get_closest_marker("broken_home"):
        if home_seed:
            home_seed.give(folder / "h")
        elif is_warm(request.node):
            microvm.give_templates(request.getfixturevalue("templates"), folder / "h")
        else:
            view.give(folder / "h")
    before = Snapshot()
    caisson = Caisson(bin_dir / "caisson", folder / "h", request.config.getoption("isolation"))
    request.node.stash[CAISSON] = caisson
    yield folder / "h"
    broken = request.node.get_closest_marker("broken_home")
    failed = request.node.stash.get(CALL_FAILED, True)
    if failed and not broken:
        remove_boxes(caisson)
        remove_images(caisson)
    caisson.note_ids(b"")
    check = LeakCheck(folder, caisson.ids, before)
    left = check.find()
    if left:
        check.kill_stray()
    if not broken:
        left += remove_boxes(caisson)
        left += remove_images(caisson)
        if not left and not failed:
            view.take_back(folder / "h")
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


@pytest.fixture
def nothing_stays(caisson):
    """Removes what boxes the test leaves behind."""
    yield
    remove_boxes(caisson)


def remove_images(caisson):
    """Removes every image through the CLI, which must empty the images' directories: their files
    belong to ids that only the program can act for."""
    home = Path(caisson.home)
    if not any((home / name).is_dir() for name in ("blobs", "layers", "fetch")):
        return []
    try:
        done = caisson("image", "prune", "-a", "--grace", "0s")
    except (subprocess.TimeoutExpired, TimeoutError) as error:
        return [f"images: {error}"]
    problems = [f"caisson image prune: {done.stderr}"] if done.returncode != 0 else []
    return problems + [f"file {path}" for path in image_files(home)]


def image_files(home):
    """Everything of images that is in a home; the directories for it do not count."""
    return sorted(path for pattern in ("blobs/sha256/*", "layers/*", "fetch/*/*", "disks/*")
                  for path in Path(home).glob(pattern))


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


@pytest.fixture(scope="session")
def certificates(kept):
    folder = kept / "certificates"
    folder.mkdir()
    return Certificates(folder)


@pytest.fixture(scope="session")
def registry(kept):
    """A real registry for everyone, without TLS."""
    with Registry(kept / "registry") as started:
        yield started


@pytest.fixture(scope="session")
def secure_registry(kept, certificates):
    """A real registry with TLS, for one user."""
    with Registry(kept / "secure-registry", certificates, ("me", "a password: with: colons")) as started:
        yield started


@pytest.fixture(scope="session")
def applets(kept):
    """A directory with busybox and a link for each of its commands."""
    folder = kept / "applets"
    folder.mkdir()
    shutil.copy("/bin/busybox", folder / "busybox")
    names = subprocess.run([folder / "busybox", "--list"], capture_output=True, text=True, timeout=10,
                           check=True).stdout.split()
    for name in set(names) - {"busybox"}:
        (folder / name).symlink_to("busybox")
    return folder


@pytest.fixture
def busybox_root(workdir, applets):
    """A root directory with busybox, users and groups: for `dir:` boxes."""
    root = workdir / "root"
    for name in ("bin", "etc", "tmp", "proc", "sys", "dev", "home/app"):
        (root / name).mkdir(parents=True)
    shutil.copy(applets / "busybox", root / "bin/busybox")
    for applet in applets.iterdir():
        if applet.is_symlink():  # the link itself, under a second name
            os.link(applet, root / "bin" / applet.name, follow_symlinks=False)
    (root / "etc/passwd").write_text("root:x:0:0:root:/:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\napp:x:1000:\nvideo:x:44:app\n")
    (root / "etc/motd").write_text("original\n")
    return root
