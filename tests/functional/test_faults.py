"""Every set-up step fails once; every program of a box is killed at every stage."""

import os
import signal
import subprocess
import time

import pytest

from support.attack import wait_for
from support.boxes import await_log, await_state, descendants, shim_of

pytestmark = pytest.mark.without_subuid


def steps_of(plan):
    """The set-up steps among the lines of `debug plan`: from joining cgroups to the new root."""
    lines = plan.splitlines()
    last = max(n for n, line in enumerate(lines) if line.startswith("change root"))
    first = next(n for n, line in enumerate(lines) if line.startswith("join"))
    return lines[first:last + 1]


@pytest.mark.seconds(400)
@pytest.mark.parametrize("options", [(), ("--network", "host", "--read-only", "--tmpfs", "/t")],
                         ids=["plain", "options"])
def test_each_step_fails_once(caisson, options):
    steps = steps_of(caisson("debug", "plan", *options, "host:", "true", check=True).stdout)
    assert len(steps) > 20
    for number, step in enumerate(steps, start=1):
        done = caisson("run", "--name", f"n{number}", *options, "host:", "true",
                       env={"CAISSON_FAULT_STEP": str(number)})
        assert (done.returncode, done.stdout) == (125, ""), step
        assert step.split()[0] in done.error_line()
        assert "fault injected" in done.error_line()
        info = caisson.inspect(f"n{number}")
        assert info["state"] == "failed"
        assert "fault injected" in info["error_reason"]
        assert f"caisson: {info['error_reason']}" == done.error_line()
        assert "exit" not in info or info["exit"] is None
    assert caisson("run", "--rm", *options, "host:", "true",
                   env={"CAISSON_FAULT_STEP": str(len(steps) + 1)}).returncode == 0


def test_failing_step_with_rm_leaves_no_record(caisson, home):
    done = caisson("run", "--rm", "--json", "host:", "true", env={"CAISSON_FAULT_STEP": "5"})
    assert (done.returncode, done.json()["error"]["reason"]) == (125, "fault_injected")
    assert caisson.boxes() == []
    assert list((home / "boxes").iterdir()) == []


def test_failed_record_can_be_removed_and_started(caisson):
    caisson("run", "--name", "n", "host:", "echo", "fine", env={"CAISSON_FAULT_STEP": "9"})
    assert caisson("start", "-a", "n").stdout == "fine\n"
    caisson("rm", "n", check=True)


# --- SIGKILL of the client ----------------------------------------------------------------------

def timed(call):
    started = time.monotonic()
    call()
    return time.monotonic() - started


def kill_during(caisson, delay, *words):
    process = caisson.popen(*words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL)
    time.sleep(delay)
    process.kill()
    process.wait(timeout=30)


def assert_usable(caisson):
    """The home answers, its records are true, and everything in it can be removed."""
    assert caisson.sh("echo usable").stdout == "usable\n"
    for box in caisson.boxes():
        info = caisson.inspect(box)
        assert info["state"] in ("configured", "running", "stopped", "failed", "starting"), info["state"]
        if info["state"] == "running":
            assert os.path.exists(f"/proc/{info['init_pid']}")
    boxes = caisson.boxes()
    if boxes:
        caisson("rm", "-f", *boxes, check=True)
    assert caisson.boxes() == []


@pytest.mark.seconds(300)
@pytest.mark.parametrize("words", [
    ("run", "host:", "--", "sleep", "1000"),
    ("run", "--rm", "host:", "--", "true"),
    ("run", "-d", "host:", "--", "sleep", "1000"),
    ("create", "host:", "true"),
], ids=["run", "run --rm", "run -d", "create"])
def test_client_killed_at_any_time(caisson, words):
    whole = timed(lambda: caisson.sh("true"))
    for part in range(12):
        kill_during(caisson, whole * part / 8, *words)
    assert_usable(caisson)


def test_rm_box_of_a_killed_client_goes_with_the_next_command(caisson, home):
    process = caisson.popen("run", "--rm", "--name", "n", "host:", "--", "sh", "-c",
                            "echo up; until [ -e /tmp/end ]; do sleep 0.05; done",
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"up\n"
    process.kill()
    process.communicate(timeout=30)
    assert caisson.inspect("n")["state"] == "running"
    [box] = caisson.boxes()
    caisson("exec", box, "touch", "/tmp/end", check=True)
    deadline = time.monotonic() + 20
    while caisson.boxes():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert list((home / "boxes").iterdir()) == []


@pytest.mark.seconds(200)
def test_rm_killed_at_any_time(caisson, home):
    for part in range(8):
        box = caisson.detached("sleep", "1000")
        kill_during(caisson, 0.004 * part, "rm", "-f", box)
    assert_usable(caisson)
    assert list((home / "boxes").iterdir()) == []


# --- SIGKILL of the shim and of init ------------------------------------------------------------

def test_killed_shim_takes_its_box_along(caisson):
    box = caisson.detached("sh", "-c", "trap '' TERM HUP; sleep 4747 & sleep 4747")
    init = caisson.inspect(box)["init_pid"]
    os.kill(shim_of(caisson, box), signal.SIGKILL)
    info = await_state(caisson, box, "stopped")
    assert info["exit"]["reason"] == "lost"
    assert "exit_code" not in info["exit"] or info["exit"]["exit_code"] is None
    wait_for(lambda: init not in descendants(), what="end of init")
    assert "lost" in caisson("ps", "-a").stdout
    done = caisson("exec", box, "true")
    assert done.returncode == 125
    done.error_line()
    caisson("rm", box, check=True)


def test_client_of_a_killed_shim_says_lost(caisson):
    process = caisson.popen("run", "--json", "--name", "n", "host:", "--", "sh", "-c",
                            "echo said; sleep 1000", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    await_log(caisson, "n", "said")
    os.kill(shim_of(caisson, "n"), signal.SIGKILL)
    out, _ = process.communicate(timeout=30)
    assert process.returncode != 0
    assert b'"lost"' in out and b"said" in out
    assert caisson.inspect("n")["exit"]["reason"] == "lost"
    assert caisson("logs", "n").stdout == "said\n"


def test_waiting_clients_of_a_killed_shim_return(caisson):
    box = caisson.detached("sleep", "1000")
    clients = [caisson.popen(*words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
               for words in (("wait", box), ("attach", box), ("exec", box, "sleep", "1000"))]
    time.sleep(0.7)
    os.kill(shim_of(caisson, box), signal.SIGKILL)
    for client in clients:
        client.communicate(timeout=30)
    assert caisson.inspect(box)["exit"]["reason"] == "lost"


def test_a_lost_box_can_be_started_again(caisson):
    box = caisson.detached("sleep", "1000")
    caisson("exec", box, "sh", "-c", "echo kept > /workspace/f", check=True)
    os.kill(shim_of(caisson, box), signal.SIGKILL)
    await_state(caisson, box, "stopped")
    caisson("start", box, check=True)
    assert caisson("exec", box, "cat", "/workspace/f").stdout == "kept\n"
    caisson("rm", "-f", box, check=True)


def test_killed_init_is_told(caisson):
    box = caisson.detached("sleep", "1000")
    os.kill(caisson.inspect(box)["init_pid"], signal.SIGKILL)
    info = await_state(caisson, box, "stopped")
    assert (info["exit"]["reason"], info["exit"]["signal"]) == ("signaled", signal.SIGKILL)


@pytest.mark.seconds(300)
@pytest.mark.parametrize("victim", ["caisson-shim", "caisson-init"])
def test_killed_while_it_starts(caisson, victim):
    """Both are first seen as caisson-shim, whose copy init is."""
    for part in range(10):
        process = caisson.popen("run", "host:", "--", "sleep", "0.2", stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 10
        pids = []
        while not pids and process.poll() is None and time.monotonic() < deadline:
            pids = [pid for pid, (_, name) in descendants().items() if name == victim]
        time.sleep(0.003 * part)
        if pids:
            try:
                os.kill(pids[0], signal.SIGKILL)
            except ProcessLookupError:
                pass
        _, err = process.communicate(timeout=60)
        assert process.returncode is not None
        assert len([line for line in err.splitlines() if b"warning" not in line]) <= 1, err
    assert_usable(caisson)
