"""The leak check of the functional tests finds what it promises, and only that."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support import leaks
from support.leaks import LeakCheck, Snapshot

ID = "01hqzz0000000000000000000a"
SLEEP = "import time; print(flush=True); time.sleep(60)"
DETACH = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        os.close(1)
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


def test_process(check, start):
    process = start()
    [found] = check.find()
    assert f"process {process.pid} " in found
    check.kill_stray()
    assert process.wait(timeout=5) == -9


def test_detached_process(check):
    done = subprocess.run([sys.executable, "-c", DETACH], stdout=subprocess.PIPE, timeout=10, check=True)
    pid = int(done.stdout)
    [found] = check.find()
    assert f"process {pid} " in found
    check.kill_stray()
    assert check.find() == []


def test_process_that_ends_in_time(check, start, monkeypatch):
    monkeypatch.setattr(leaks, "GRACE_SECONDS", 5)
    process = start()
    threading.Timer(0.2, process.kill).start()
    assert check.find() == []


def test_process_from_before(start, tmp_path):
    start(str(tmp_path))
    assert LeakCheck(tmp_path, set(), Snapshot()).find() == []


def test_processes_of_others_are_never_touched(check, monkeypatch):
    others = {(4242, 7): 1, (4243, 8): 4242}  # look like boxes, descend from someone else
    monkeypatch.setattr(leaks, "processes", lambda: others)
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("killed a stranger"))
    assert check.find() == []
    check.kill_stray()


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
