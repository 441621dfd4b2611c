"""How long a box lives: restarts, the end of its life, the health check."""

import json
import time

import pytest

from support.boxes import await_log, await_state

pytestmark = [pytest.mark.without_subuid, pytest.mark.usefixtures("nothing_stays")]


def events(caisson, box):
    return [json.loads(line)["event"] for line in caisson("audit", box).stdout.splitlines()]


def await_info(caisson, box, condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while True:
        info = caisson.inspect(box)
        if condition(info):
            return info
        assert time.monotonic() < deadline, f"{what}: {info}"
        time.sleep(0.05)


def test_a_failed_run_is_started_again_on_its_files(caisson):
    box = caisson.detached("sh", "-c", "cd /workspace; echo x >> n; wc -l < n; test $(wc -l < n) = 3",
                           options=("--restart", "on-failure"))
    assert caisson("wait", box).stdout.strip() == "0"
    assert caisson("logs", box).stdout.split() == ["1", "2", "3"]
    info = caisson.inspect(box)
    assert info["state"] == "stopped" and info["exit"]["exit_code"] == 0 and info["restarts"] == 2
    assert events(caisson, box).count("box_restarting") == 2


def test_as_often_as_was_said(caisson):
    box = caisson.detached("sh", "-c", "echo run; exit 7", options=("--restart", "on-failure:2"))
    assert caisson("wait", box).stdout.strip() == "7"
    assert caisson("logs", box).stdout == "run\n" * 3
    info = caisson.inspect(box)
    assert info["restarts"] == 2 and info["exit"]["exit_code"] == 7


def test_a_success_is_not_started_again_unless_always(caisson):
    box = caisson.detached("sh", "-c", "echo run", options=("--restart", "on-failure"))
    caisson("wait", box, check=True)
    assert caisson("logs", box).stdout == "run\n"
    box = caisson.detached("sh", "-c", "echo run", options=("--restart", "always"))
    await_info(caisson, box, lambda info: info["restarts"] >= 2, "it is not started again")
    caisson("stop", "-t", "0", box, check=True)
    info = caisson.inspect(box)
    assert info["state"] == "stopped"
    runs = len(caisson("logs", box).stdout.split())
    time.sleep(1)
    assert len(caisson("logs", box).stdout.split()) == runs
    caisson("rm", box, check=True)


@pytest.mark.parametrize("end", ["stop", "kill", "rm"])
def test_what_the_caller_ends_stays_ended_also_between_two_runs(caisson, end):
    box = caisson.detached("sh", "-c", "exit 1", options=("--restart", "always"))
    await_info(caisson, box, lambda info: info.get("restarting") and info["restarts"] >= 3, "it waits for no run")
    if end == "rm":
        caisson("rm", "-f", box, check=True)
        assert box not in caisson("ps", "-aq").stdout
        return
    caisson(end, box, check=True)
    await_state(caisson, box, "stopped")
    restarts = caisson.inspect(box)["restarts"]
    time.sleep(1.5)
    info = caisson.inspect(box)
    assert info["state"] == "stopped" and info["restarts"] == restarts


def test_everything_of_a_run_goes_with_it(caisson):
    """Processes, execs, memory file systems; the box's files stay."""
    box = caisson.detached("sh", "-c", "test -e /dev/shm/left && echo stale; touch /dev/shm/left; sleep 100 & echo up; sleep 4; exit 1",
                           options=("--restart", "on-failure:1"))
    await_log(caisson, box, "up")
    assert caisson("exec", box, "sleep", "100").returncode == 137
    caisson("wait", box)
    assert caisson("logs", box).stdout == "up\nup\n"


def test_execs_work_after_a_restart(caisson):
    box = caisson.detached("sh", "-c", "test -e /workspace/once && exec sleep 100; touch /workspace/once; exit 1",
                           options=("--restart", "on-failure"))
    await_info(caisson, box, lambda info: info["restarts"] == 1 and not info.get("restarting"), "it is not started again")
    deadline = time.monotonic() + 20
    while caisson("exec", box, "echo", "here").stdout != "here\n":
        assert time.monotonic() < deadline
    caisson("pause", box, check=True)
    caisson("resume", box, check=True)
    caisson("stop", "-t", "0", box, check=True)


def test_who_is_attached_sees_every_run(caisson):
    done = caisson("run", "--restart", "on-failure:2", "host:", "--", "sh", "-c", "echo run; exit 3")
    assert done.returncode == 3 and done.stdout == "run\n" * 3


def test_a_limit_of_one_run_is_a_failure_and_the_lifetime_is_the_end(caisson):
    box = caisson.detached("sleep", "100", options=("--restart", "on-failure", "--timeout", "300ms", "--max-lifetime", "3s"))
    caisson("wait", box)
    info = caisson.inspect(box)
    assert info["exit"]["reason"] == "timeout" and info["restarts"] >= 1


def test_the_lifetime_counts_pauses(caisson):
    box = caisson.detached("sleep", "100", options=("--max-lifetime", "4s"))
    caisson("pause", box, check=True)
    caisson("wait", box)
    assert caisson.inspect(box)["exit"]["reason"] == "timeout"


def test_policies_that_are_none(caisson):
    for policy in ("sometimes", "on-failure:x", "always:3", "on-failure:-1"):
        done = caisson("create", "--restart", policy, "host:", "true")
        assert done.returncode == 125 and "restart policy" in done.error_line()
    done = caisson("create", "--rm", "--restart", "always", "host:", "true")
    assert done.returncode == 125 and "removed" in done.error_line()
    done = caisson("create", "-i", "--restart", "always", "host:", "true")
    assert done.returncode == 125 and "input" in done.error_line()


def test_health(caisson):
    box = caisson.detached("sleep", "100", options=(
        "--health-cmd", "echo looked; test ! -e /tmp/ill", "--health-interval", "150ms", "--health-retries", "2"))
    info = caisson.inspect(box)
    assert info["health"] in ("starting", "healthy")
    info = await_info(caisson, box, lambda now: now["health"] == "healthy", "it is not well")
    assert info["health_output"] == "looked\n"
    caisson("exec", box, "touch", "/tmp/ill", check=True)
    await_info(caisson, box, lambda now: now["health"] == "unhealthy", "it is not ill")
    caisson("exec", box, "rm", "/tmp/ill", check=True)
    await_info(caisson, box, lambda now: now["health"] == "healthy", "it is not well again")
    assert events(caisson, box).count("box_health") >= 3
    assert "exec_started" in events(caisson, box)  # ours; those of the check are none
    assert events(caisson, box).count("exec_started") == 2
    caisson("stop", "-t", "0", box, check=True)
    assert "health" not in caisson.inspect(box)


def test_a_check_that_hangs_floods_or_is_missing_is_a_failure(caisson):
    for command in ("sleep 100", "yes", "/no/such/program"):
        box = caisson.detached("sleep", "100", options=(
            "--health-cmd", command, "--health-interval", "100ms", "--health-timeout", "300ms", "--health-retries", "1"))
        info = await_info(caisson, box, lambda now: now["health"] == "unhealthy", command)
        assert len(info["health_output"]) < 5000
        assert caisson("exec", box, "true").returncode == 0
        caisson("rm", "-f", box, check=True)


def test_a_check_that_cannot_be_executed_again_and_again(caisson, busybox_root):
    """And its time limit passes long after it is gone."""
    box = caisson.detached("sleep", "100", source=f"dir:{busybox_root}", options=(
        "--health-cmd", "true", "--health-interval", "100ms", "--health-timeout", "200ms", "--health-retries", "1"))
    await_info(caisson, box, lambda now: now["health"] == "healthy", "it is not well")
    caisson("exec", box, "/bin/rm", "/bin/sh", check=True)
    info = await_info(caisson, box, lambda now: now["health"] == "unhealthy", "it is not ill")
    assert "sh" in info["health_output"]
    time.sleep(1)
    assert caisson("exec", box, "/bin/true").returncode == 0


def test_an_exec_with_a_time_limit_in_a_run_that_ends(caisson):
    box = caisson.detached("sh", "-c", "sleep 0.7; exit 1", options=("--restart", "on-failure:3"))
    caisson("exec", "-d", "--timeout", "900ms", box, "sleep", "100")
    assert caisson("wait", box, check=True).stdout.strip() == "1"
    assert caisson.inspect(box)["exit"]["reason"] == "exited"


def test_failures_while_it_comes_up_do_not_count(caisson):
    box = caisson.detached("sleep", "100", options=(
        "--health-cmd", "false", "--health-interval", "100ms", "--health-retries", "1", "--health-start-period", "6s"))
    time.sleep(1)
    assert caisson.inspect(box)["health"] == "starting"
    await_info(caisson, box, lambda now: now["health"] == "unhealthy", "it never counts")


def test_a_health_check_does_not_keep_an_idle_box_awake(caisson):
    box = caisson.detached("sleep", "100", options=(
        "--idle-timeout", "500ms", "--health-cmd", "true", "--health-interval", "100ms"))
    await_state(caisson, box, "paused")
    time.sleep(0.5)
    assert caisson.inspect(box)["state"] == "paused"


def test_top(caisson):
    box = caisson.detached("sh", "-c", "while :; do :; done", options=("--name", "busy"))
    done = caisson("top", "-n", "2", "--interval", "300ms", check=True)
    tables = done.stdout.strip().split("\n\n")
    assert len(tables) == 2 and all("busy" in table for table in tables)
    assert done.stdout.splitlines()[0].split()[:3] == ["ID", "NAME", "CPU"]
    caisson("rm", "-f", box, check=True)
