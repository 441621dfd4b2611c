"""Limits on memory, processes, processors and time, in boxes and their execs."""

import pytest

from support import host

pytestmark = pytest.mark.without_subuid

BURN = "i=0; while :; do i=$((i+1)); done"


def outcome(caisson, script, *options, source="host:", **keywords):
    done = caisson.sh(script, "--json", *options, source=source, **keywords)
    return done, done.json()


@pytest.mark.root_only
def test_memory_of_an_exec(caisson):
    box = caisson.detached("sleep", "1000", options=("--memory", "64m"))
    done = caisson("exec", "--json", box, "python3", "-c", "x = bytearray(1 << 30)")
    assert (done.json()["reason"], done.returncode) == ("oom", 137)
    assert caisson.inspect(box)["state"] == "running"
    caisson("rm", "-f", box, check=True)


@pytest.mark.root_only
def test_memory_includes_tmpfs(caisson):
    done, value = outcome(caisson, "head -c 300000000 /dev/zero > /t/f; echo end", "--memory", "64m", "--tmpfs", "/t")
    assert value["usage"]["peak_memory_bytes"] <= 65 << 20
    assert value["usage"]["oom_kills"] >= 1 or "No space" in value["stderr"]
    assert done.returncode is not None


@pytest.mark.root_only
def test_a_program_that_handles_a_refused_fork_has_exited(caisson):
    script = "import os\ntry:\n  while True:\n    if os.fork() == 0: import time; time.sleep(9); os._exit(0)\nexcept OSError: print('refused')"
    done = caisson("run", "--rm", "--json", "--pids", "10", "host:", "--", "python3", "-c", script)
    assert (done.json()["reason"], done.json()["stdout"]) == ("exited", "refused\n")
    assert done.json()["usage"]["max_pids"] <= 10


@pytest.mark.root_only
def test_cpu_quota_holds_for_all_processes_together(caisson):
    script = f"for i in 1 2 3; do sh -c '{BURN}' & done; wait"
    _, value = outcome(caisson, script, "--cpus", "0.3", "--timeout", "2s")
    assert value["reason"] == "timeout"
    used = (value["usage"]["cpu_user_ns"] + value["usage"]["cpu_system_ns"]) / value["usage"]["wall_ns"]
    assert used < 0.45


@pytest.mark.root_only
def test_neighbours_are_not_limited(caisson):
    box = caisson.detached("sh", "-c", BURN, options=("--cpus", "0.1", "--memory", "32m", "--pids", "4"))
    _, value = outcome(caisson, "python3 -c 'x = bytearray(100 << 20)'")
    assert value["exit_code"] == 0
    caisson("rm", "-f", box, check=True)


def test_timeout_of_a_detached_box(caisson):
    box = caisson.detached("sh", "-c", "echo partial; sleep 60", options=("--timeout", "500ms"))
    assert caisson("wait", box, check=True).stdout == "124\n"
    info = caisson.inspect(box)
    assert (info["state"], info["exit"]["reason"]) == ("stopped", "timeout")
    assert caisson("logs", box).stdout == "partial\n"


def test_timeout_counts_from_the_start_of_the_program(caisson):
    done, value = outcome(caisson, "sleep 0.3; echo end", "--timeout", "20s")
    assert (value["reason"], value["stdout"], done.returncode) == ("exited", "end\n", 0)


def test_sleeping_uses_no_cpu_time(caisson):
    _, value = outcome(caisson, "sleep 1.5; echo end", "--cpu-time", "1s")
    assert (value["reason"], value["stdout"]) == ("exited", "end\n")


def test_cpu_time_of_execs_counts(caisson):
    box = caisson.detached("sleep", "1000", options=("--cpu-time", "1s"))
    done = caisson("exec", box, "sh", "-c", BURN, timeout=60)
    assert done.returncode != 0
    caisson("wait", box, check=True)
    assert caisson.inspect(box)["exit"]["reason"] == "cpu_time"


def test_raising_above_the_hard_limit_is_an_error(caisson):
    done = caisson("run", "--json", "--open-files", "1000000000", "host:", "true")
    assert done.returncode == 125
    assert done.json()["error"]["reason"] == "limit_unsupported"
    assert "open_files" in done.error_line()


@pytest.mark.user_only
@pytest.mark.parametrize("option, value, name", [("--memory", "64m", "memory"), ("--pids", "50", "pids"),
                                                 ("--cpus", "0.5", "cpus"),
                                                 ("--cpu-weight", "10", "cpu_weight")])
def test_limit_without_a_cgroup(caisson, option, value, name):
    if not host.missing_memory_limit():
        assert caisson.sh("true", option, value).returncode == 0
        return
    done = caisson("run", "--json", option, value, "host:", "true")
    error = done.json()["error"]
    assert (done.returncode, error["reason"]) == (125, "limit_unsupported")
    assert f"'{name}'" in done.error_line() and f"--allow-missing={name}" in done.error_line()
    assert caisson.boxes() == []  # refused before there was a box

    done = caisson("run", option, value, "--allow-missing", name, "--name", "anyway", "host:", "true")
    assert done.returncode == 0
    info = caisson.inspect("anyway")
    assert info["spec"]["allow_missing"] == [name]
    assert any(f"'{name}' is not enforced" in warning for warning in info["warnings"])
    assert f"'{name}' is not enforced" in done.stderr
