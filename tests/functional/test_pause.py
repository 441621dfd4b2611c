"""Boxes that stand still: by hand, and by themselves when nobody uses them."""

import os
import signal
import time

import pytest

from support.boxes import await_log, await_state, shim_of

pytestmark = pytest.mark.without_subuid

COUNT = "i=0; while :; do i=$((i+1)); echo $i > /workspace/n; done"


@pytest.fixture
def counter(workdir):
    """Options of a box that counts in a file, and a function that reads it."""
    folder = workdir / "count"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    (folder / "n").touch()
    (folder / "n").chmod(0o666)

    def read():
        return int((folder / "n").read_text() or 0)
    return ("-v", f"{folder}:/workspace"), read


def await_true(condition, what, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_nothing_moves_until_it_is_resumed(caisson, counter):
    options, read = counter
    box = caisson.detached("sh", "-c", COUNT, options=options)
    await_true(lambda: read() > 10, "it does not count")
    assert caisson("pause", box, check=True).stdout == f"{box}\n"
    assert caisson.inspect(box)["state"] == "paused"
    before = read()
    time.sleep(0.5)
    assert read() == before
    caisson("pause", box, check=True)
    done = caisson("exec", box, "true")
    assert done.returncode == 125
    assert "paused" in done.error_line() and "resume" in done.error_line()
    caisson("resume", box, check=True)
    assert caisson.inspect(box)["state"] == "running"
    await_true(lambda: read() > before, "it does not go on")
    assert caisson("exec", box, "echo", "on").stdout == "on\n"
    caisson("resume", box, check=True)
    caisson("rm", "-f", box, check=True)


@pytest.mark.root_only
def test_no_processor_time_passes(caisson):
    box = caisson.detached("sh", "-c", "while :; do :; done")
    caisson("pause", box, check=True)
    figures = [caisson("stats", "--json", box, check=True).json()["usage"] for _ in (time.sleep(0.3), time.sleep(0.5))]
    assert figures[0]["cpu_user_ns"] == figures[1]["cpu_user_ns"]
    assert figures[0]["cpu_system_ns"] == figures[1]["cpu_system_ns"]
    caisson("rm", "-f", box, check=True)


def test_time_limits_stand_still_too(caisson):
    box = caisson.detached("sleep", "1000", options=("--timeout", "1500ms"))
    caisson("pause", box, check=True)
    time.sleep(2)
    assert caisson.inspect(box)["state"] == "paused"
    caisson("resume", box, check=True)
    assert await_state(caisson, box, "stopped")["exit"]["reason"] == "timeout"


def test_only_what_runs_can_be_paused(caisson):
    box = caisson("create", "host:", "true", check=True).stdout.strip()
    for command in ("pause", "resume"):
        done = caisson(command, box)
        assert done.returncode == 1 and "configured" in done.error_line()
    assert caisson("pause", "nobody").returncode == 1


@pytest.mark.parametrize("command", [("stop", "-t", "5"), ("kill",), ("rm", "-f")])
def test_a_paused_box_can_be_ended(caisson, command):
    box = caisson.detached("sh", "-c", "trap 'exit 3' TERM; echo ready; while :; do sleep 0.1; done")
    await_log(caisson, box, "ready")
    caisson("pause", box, check=True)
    began = time.monotonic()
    caisson(*command, box, check=True)
    assert time.monotonic() - began < 4
    if command[0] == "rm":
        assert caisson.boxes() == []
    else:
        info = await_state(caisson, box, "stopped")
        end = ("exited", 3) if command[0] == "stop" else ("killed", None)  # it could handle the signal
        assert (info["exit"]["reason"], info["exit"].get("exit_code")) == end


def test_other_signals_wait_for_the_resuming(caisson):
    box = caisson.detached("sh", "-c", "trap 'echo got' USR1; echo ready; while :; do sleep 0.1; done")
    await_log(caisson, box, "ready")
    caisson("pause", box, check=True)
    caisson("kill", "-s", "USR1", box, check=True)
    time.sleep(0.3)
    assert "got" not in caisson("logs", box).stdout
    assert caisson.inspect(box)["state"] == "paused"
    caisson("resume", box, check=True)
    await_log(caisson, box, "got")
    caisson("rm", "-f", box, check=True)


def test_a_paused_box_whose_shim_dies_is_lost_and_gone(caisson):
    box = caisson.detached("sleep", "1000")
    shim = shim_of(caisson, box)
    caisson("pause", box, check=True)
    os.kill(shim, signal.SIGKILL)
    info = await_state(caisson, box, "stopped")
    assert info["exit"]["reason"] == "lost"
    caisson("start", box, check=True)
    assert caisson.inspect(box)["state"] == "running"
    caisson("rm", "-f", box, check=True)


# --- nobody uses it -----------------------------------------------------------------------------

def test_an_idle_box_is_paused_and_an_exec_wakes_it(caisson):
    box = caisson.detached("sleep", "1000", options=("--idle-timeout", "300ms"))
    await_state(caisson, box, "paused")
    assert caisson("exec", box, "sh", "-c", "sleep 0.6; echo awake").stdout == "awake\n", "an exec is use"
    await_state(caisson, box, "paused")
    caisson("pause", box, check=True)
    assert caisson("exec", box, "true").returncode == 125, "who paused it by hand resumes it by hand"
    caisson("rm", "-f", box, check=True)


def test_output_and_attached_clients_are_use(caisson):
    box = caisson.detached("sh", "-c", "for i in 1 2 3 4 5 6; do sleep 0.5; echo $i; done; sleep 1000",
                           options=("--idle-timeout", "1500ms"))
    await_log(caisson, box, "6")
    await_state(caisson, box, "paused")
    caisson("rm", "-f", box, check=True)
    done = caisson("run", "--rm", "--idle-timeout", "200ms", "host:", "--", "sh", "-c", "sleep 0.8; echo end")
    assert (done.returncode, done.stdout) == (0, "end\n")


def test_an_idle_box_is_stopped(caisson):
    box = caisson.detached("sleep", "1000", options=("--idle-timeout", "300ms", "--idle-action", "stop"))
    assert await_state(caisson, box, "stopped")["exit"]["reason"] == "timeout"
    done = caisson("create", "--idle-timeout", "1s", "--idle-action", "sleep", "host:", "true")
    assert done.returncode == 125 and "idle action" in done.error_line()
