"""The leak check of the functional tests finds what it promises, and only that."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import leaks
from support.leaks import LeakCheck, Snapshot

ID = "01hqzz0000000000000000000a"
SLEEP = """
import ctypes, sys, time
if sys.argv[1:2] == ["shim"]:
    ctypes.CDLL(None).prctl(15, b"caisson-shim")  # PR_SET_NAME
print(flush=True)
time.sleep(60)
"""


@pytest.fixture
def check(tmp_path, monkeypatch):
    monkeypatch.setattr(leaks, "GRACE_SECONDS", 0.2)
    return LeakCheck(tmp_path, {ID}, Snapshot())


@pytest.fixture
def start():
    started = []

    def run(*words, **options):
        started.append(subprocess.Popen([sys.executable, "-c", SLEEP, *words], stdout=subprocess.PIPE, **options))
        started[-1].stdout.readline()
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_nothing(check):
    assert check.find() == []


@pytest.mark.parametrize("how", ["argument", "environment", "directory", "descriptor", "box id"])
def test_process_that_names_the_home(check, start, tmp_path, how):
    with open(tmp_path / "file", "w", encoding="ascii") as file:
        process = {
            "argument": lambda: start(str(tmp_path)),
            "environment": lambda: start(env={"X": f"{tmp_path}/y"}),
            "directory": lambda: start(cwd=tmp_path),
            "descriptor": lambda: start(pass_fds=[file.fileno()]),
            "box id": lambda: start(ID),
        }[how]()
    [found] = check.find()
    assert f"process {process.pid} " in found
    check.kill_stray()
    assert process.wait(timeout=5) == -9


def test_process_that_has_nothing_to_do_with_it(check, start):
    start("other")
    assert check.find() == []


def test_process_from_before(start, tmp_path, monkeypatch):
    monkeypatch.setattr(leaks, "GRACE_SECONDS", 0.2)
    start(str(tmp_path))
    assert LeakCheck(tmp_path, set(), Snapshot()).find() == []


def test_box_of_another_home(check, start):
    # Looks like a box by its name, and names another home's box.
    start("shim", f"/elsewhere/boxes/{ID[:-1]}b")
    assert check.find() == []


def test_nameless_shim(check, start):
    process = start("shim")
    [found] = check.find()
    assert str(process.pid) in found


@pytest.mark.root_only
def test_mount(check, tmp_path):
    (tmp_path / "m").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path / "m"], check=True)
    try:
        assert any("mount in the namespace" in line for line in check.find())
    finally:
        subprocess.run(["umount", tmp_path / "m"], check=True)


@pytest.mark.root_only
def test_cgroup(check):
    hierarchies = sorted(Path("/sys/fs/cgroup").glob("*/cgroup.procs")) or [Path("/sys/fs/cgroup/x")]
    folder = hierarchies[0].parent / "caisson" / ID
    existed = folder.parent.exists()
    os.makedirs(folder)
    try:
        assert f"cgroup {folder}" in check.find()
    finally:
        folder.rmdir()
        if not existed:
            folder.parent.rmdir()
