"""Whatever dies when, nothing of a box stays: no process, mount, cgroup, namespace or socket.

The fixture `home` checks that after every test; these make it hard.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.attack import kill_quietly, shim_of, wait_for

pytestmark = pytest.mark.without_subuid

CLING = """
trap '' TERM HUP INT QUIT USR1
setsid sh -c 'trap "" TERM HUP INT; (setsid sh -c "trap \\"\\" TERM HUP INT; while :; do sleep 1000; done" &) ; while :; do sleep 1000; done' &
(sleep 1000 & sleep 1000 &) &
nohup setsid sleep 1000 < /dev/null > /dev/null 2>&1 &
echo up
"""


def box_processes(caisson, box):
    """Host ids of everything in the box's process id namespace."""
    init = caisson.inspect(box)["init_pid"]
    found, queue = [], [init]
    while queue:
        pid = queue.pop()
        found.append(pid)
        try:
            queue += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        except OSError:
            pass
    return found


def gone(pids):
    def running(pid):
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False
    return not any(map(running, pids))


def clinging_box(caisson):
    box = caisson.detached("sh", "-c", CLING + "while :; do sleep 1000; done")
    wait_for(lambda: "up" in caisson("logs", box).stdout)
    pids = wait_for(lambda: len(p := box_processes(caisson, box)) >= 7 and p)
    return box, pids


ENDINGS = {
    "rm": lambda caisson, box: caisson("rm", "-f", box, check=True),
    "kill": lambda caisson, box: caisson("kill", box, check=True),
    "stop": lambda caisson, box: caisson("stop", "-t", "1", box, check=True),
    "init dies": lambda caisson, box: os.kill(caisson.inspect(box)["init_pid"], signal.SIGKILL),
    "shim dies": lambda caisson, box: os.kill(shim_of(caisson, box), signal.SIGKILL),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_processes_that_cling_end_with_the_box(caisson, ending):
    box, pids = clinging_box(caisson)
    if ending == "init dies" and os.geteuid() != 0:
        try:
            os.kill(pids[0], 0)
        except PermissionError:  # it runs with a subordinate id
            ending = "kill"
    ENDINGS[ending](caisson, box)
    wait_for(lambda: gone(pids), 5, "end of all processes")
    # What the kernel keeps for a killed shim, its empty cgroups, goes with the next command.
    if ending == "rm":
        assert caisson.boxes() == []
    else:
        wait_for(lambda: caisson.inspect(box)["state"] == "stopped", what="record of the end")


def test_processes_that_cling_end_with_the_main_command(caisson):
    done = caisson.sh(CLING + "sleep 0.2; exit 9")
    assert (done.returncode, done.stdout) == (9, "up\n")


def test_processes_that_cling_end_at_the_timeout(caisson):
    done = caisson.sh(CLING + "while :; do sleep 1000; done", "--timeout", "500ms")
    assert done.returncode == 124


def test_record_tells_of_a_shim_that_was_killed(caisson):
    box, pids = clinging_box(caisson)
    os.kill(shim_of(caisson, box), signal.SIGKILL)
    wait_for(lambda: gone(pids), 5, "end of all processes")
    info = wait_for(lambda: (i := caisson.inspect(box))["state"] != "running" and i)
    assert (info["state"], info["exit"]["reason"]) == ("stopped", "lost")
    assert caisson("exec", box, "true").returncode == 125
    caisson("start", box, check=True)  # and it can be started again
    assert caisson.inspect(box)["state"] == "running"
    caisson("rm", "-f", box, check=True)


def test_client_is_told_of_a_shim_that_was_killed(caisson):
    process = caisson.popen("run", "--name", "watched", "--json", "host:", "--", "sh", "-c", "echo part; sleep 1000",
                            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wait_for(lambda: "part" in caisson("logs", "watched").stdout)
    os.kill(shim_of(caisson, "watched"), signal.SIGKILL)
    out, _ = process.communicate(timeout=20)
    assert b'"lost"' in out and b"part" in out
    assert process.returncode not in (0, None)


@pytest.mark.parametrize("command", ["run", "run -d", "run --rm", "create and start", "exec"])
@pytest.mark.seconds(180)
def test_client_killed_at_any_moment(caisson, command):
    """After 0 to 40 ms: a box is there or not, and the next client can do everything with it."""
    shared = caisson.detached("sleep", "1000") if command == "exec" else ""
    words = {"run": ["run", "host:", "sleep", "1000"], "run -d": ["run", "-d", "host:", "sleep", "1000"],
             "run --rm": ["run", "--rm", "host:", "sleep", "1000"], "exec": ["exec", shared, "sleep", "1000"],
             "create and start": ["create", "host:", "sleep", "1000"]}[command]
    for step in range(16):
        if command == "create and start":
            made = caisson(*words, check=True).stdout.strip()
            process = caisson.popen("start", made, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        else:
            process = caisson.popen(*words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(step * 0.0025)
        process.kill()
        process.wait(timeout=10)
    assert caisson("ps", "-a").returncode == 0
    boxes = caisson.boxes()
    if boxes:
        caisson("rm", "-f", *boxes, check=True)
    assert caisson.boxes() == []
    assert caisson.sh("echo fine").stdout == "fine\n"


def shims_of_home(caisson):
    """Ids of the shims of this home: they hold a box's lock file open."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if Path(f"/proc/{name}/comm").read_text().strip() != "caisson-shim":
                continue
            links = [os.readlink(f"/proc/{name}/fd/{fd}") for fd in os.listdir(f"/proc/{name}/fd")]
        except OSError:
            continue
        if any(link.startswith(caisson.home) for link in links):
            found.append(int(name))
    return found


def adopted():
    """Children of this process: a shim becomes one at its birth, long before it holds anything by
    which it could be told. What an earlier test left dead stays one until it is waited for."""
    children = [Path(f"/proc/self/task/{thread}/children").read_text() for thread in os.listdir("/proc/self/task")]
    return set(map(int, " ".join(children).split()))


@pytest.mark.seconds(180)
def test_shim_killed_at_any_moment_of_a_start(caisson, workdir):
    """The client says so in one line, or the box had already started; nothing stays. The last shims
    are late, so that they are met at their start however busy the machine is."""
    late = workdir / "late-shim"
    late.write_text(f"#!/bin/sh\nsleep 0.5\nexec {Path(caisson.program).parent}/caisson-shim\n")
    late.chmod(0o755)
    answers = set()
    for step in range(18):
        before = adopted()
        process = caisson.popen("run", "-d", "host:", "sleep", "1000", stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env={"CAISSON_SHIM": str(late)} if step >= 16 else None)
        deadline = time.monotonic() + 5
        while not (shims := adopted() - before - {process.pid}) and time.monotonic() < deadline and process.poll() is None:
            pass
        time.sleep(max(step - 3, 0) * 0.0008 if step < 16 else 0.05)
        for pid in shims:
            kill_quietly(pid)
        _, err = process.communicate(timeout=30)
        answers.add(process.returncode)
        assert process.returncode in (0, 125), err
        assert len(err.decode().splitlines()) == (process.returncode == 125) or b"warning" in err, err
        if boxes := caisson.boxes():
            states = {caisson.inspect(box)["state"] for box in boxes}
            assert states <= {"stopped", "failed", "configured", "running"}, states
            caisson("rm", "-f", *boxes, check=True)
    assert caisson.sh("echo fine").stdout == "fine\n"
    assert 125 in answers, "no shim was killed during its start"


def init_of(shim):
    """The child of a shim that is in a process id namespace of its own, or 0."""
    try:
        for child in Path(f"/proc/{shim}/task/{shim}/children").read_text().split():
            if os.readlink(f"/proc/{child}/ns/pid") != os.readlink("/proc/self/ns/pid"):
                return int(child)
    except OSError:  # one of them has just ended
        pass
    return 0


@pytest.mark.root_only
@pytest.mark.seconds(120)
def test_init_killed_at_any_moment(caisson):
    for step in range(12):
        process = caisson.popen("run", "--rm", "host:", "sleep", "1000", stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        init = 0
        deadline = time.monotonic() + 5
        while not init and time.monotonic() < deadline:
            init = next(filter(None, map(init_of, shims_of_home(caisson))), 0)
        assert init, "no init was seen"
        time.sleep(step * 0.0006)
        kill_quietly(init)
        process.communicate(timeout=10)
        assert process.returncode != 0
        if boxes := caisson.boxes():
            caisson("rm", "-f", *boxes, check=True)


@pytest.mark.parametrize("step", range(1, 60, 3))
def test_set_up_that_fails_leaves_nothing(caisson, step):
    """Every step of the set-up fails once."""
    done = caisson("run", "host:", "true", env={"CAISSON_FAULT_STEP": str(step)})
    if done.returncode == 0:
        return  # fewer steps than that
    assert done.returncode == 125
    assert "fault injected" in done.stderr
    [box] = caisson.boxes()
    info = caisson.inspect(box)
    assert info["state"] == "failed" and "fault injected" in info["error_reason"]


def test_interrupt_while_starting(caisson):
    for step in range(8):
        process = caisson.popen("run", "--rm", "host:", "sleep", "1000", stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(step * 0.004)
        for _ in range(3):
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
        process.wait(timeout=20)
    if boxes := caisson.boxes():
        caisson("rm", "-f", *boxes, check=True)
