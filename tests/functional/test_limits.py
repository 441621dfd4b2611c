"""Limits that hold, and reasons that tell the truth."""

import time

import pytest

from support import host

ALLOCATE = "x = bytearray(1 << 30)"


def reason_of(caisson, script, *options, source="host:"):
    done = caisson.sh(script, "--json", *options, source=source)
    assert done.stderr == "", done.stderr
    return done, done.json()


@pytest.mark.root_only
def test_memory(caisson):
    done = caisson("run", "--rm", "--memory", "64m", "--json", "host:", "--", "python3", "-c", ALLOCATE)
    value = done.json()
    assert value["reason"] == "oom"
    assert value["usage"]["oom_kills"] >= 1
    assert value["usage"]["peak_memory_bytes"] <= 65 << 20
    assert done.returncode == 137


@pytest.mark.root_only
def test_memory_of_a_child(caisson):
    done, value = reason_of(caisson, f"python3 -c '{ALLOCATE}'", "--memory", "64m")
    assert value["reason"] == "oom"
    assert done.returncode != 0


@pytest.mark.root_only
def test_pids(caisson):
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; wait"
    _, value = reason_of(caisson, script, "--pids", "8")
    assert value["reason"] == "pids"


@pytest.mark.root_only
def test_fork_bomb_is_contained(caisson):
    started = time.monotonic()
    done, value = reason_of(caisson, ":(){ :|:& };:; sleep 1", "--pids", "64", "--timeout", "5s")
    assert value["reason"] in ("pids", "timeout", "exited")
    assert value["usage"].get("max_pids", 0) <= 64
    assert time.monotonic() - started < 30
    assert done.returncode is not None


@pytest.mark.root_only
def test_cpu_quota(caisson):
    script = "import time\nend = time.monotonic() + 1\nwhile time.monotonic() < end: pass"
    done = caisson("run", "--rm", "--json", "--cpus", "0.2", "host:", "--", "python3", "-c", script)
    usage = done.json()["usage"]
    assert usage["cpu_user_ns"] + usage["cpu_system_ns"] < 0.4 * usage["wall_ns"]


@pytest.mark.user_only
@pytest.mark.without_subuid
@pytest.mark.parametrize("option, value", [("--memory", "64m"), ("--pids", "50"), ("--cpus", "0.5")])
def test_limit_that_cannot_be_enforced_is_an_error(caisson, option, value):
    missing = host.missing_memory_limit()
    done = caisson("run", "--rm", "--json", option, value, "host:", "true")
    if missing is None:
        assert done.returncode == 0
        return
    error = done.json()["error"]
    assert (done.returncode, error["reason"]) == (125, "limit_unsupported")
    assert caisson.boxes() == []


@pytest.mark.user_only
@pytest.mark.without_subuid
def test_allow_missing_is_the_way_out(caisson):
    done = caisson("run", "--json", "--memory", "64m", "--allow-missing", "memory", "host:", "true")
    assert done.returncode == 0, done.stderr
    [box] = caisson.boxes()
    info = caisson.inspect(box)
    assert "memory" in str(info["spec"]["allow_missing"])
    if host.missing_memory_limit():
        assert "memory" in " ".join(info["warnings"])


@pytest.mark.without_subuid
def test_timeout_keeps_partial_output(caisson):
    started = time.monotonic()
    done, value = reason_of(caisson, "echo partial; sleep 60", "--timeout", "1s")
    assert (value["reason"], value["stdout"], done.returncode) == ("timeout", "partial\n", 124)
    assert 0.9 < time.monotonic() - started < 10
    assert 0.9e9 < value["exit"]["duration_ns"] < 5e9


@pytest.mark.without_subuid
def test_timeout_ends_what_ignores_signals(caisson):
    done, value = reason_of(caisson, "trap '' TERM INT HUP; sleep 60 & sleep 60; sleep 60",
                            "--timeout", "500ms")
    assert (value["reason"], done.returncode) == ("timeout", 124)


@pytest.mark.without_subuid
def test_cpu_time(caisson):
    done, value = reason_of(caisson, "while :; do :; done", "--cpu-time", "1s", "--timeout", "30s")
    assert value["reason"] == "cpu_time"
    assert done.returncode == 124
    assert value["exit"]["duration_ns"] < 20e9


@pytest.mark.without_subuid
def test_cpu_time_counts_every_process(caisson):
    script = "for i in 1 2 3 4; do sh -c 'while :; do :; done' & done; wait"
    _, value = reason_of(caisson, script, "--cpu-time", "1s", "--timeout", "30s")
    assert value["reason"] == "cpu_time"


@pytest.mark.without_subuid
def test_open_files(caisson):
    assert caisson.sh("ulimit -n", "--open-files", "64").stdout == "64\n"
    assert caisson.sh("ulimit -n", "--ulimit", "nofile=65").stdout == "65\n"


@pytest.mark.without_subuid
def test_file_size(caisson):
    script = "python3 -c \"open('/tmp/f', 'wb').write(bytes(2 << 20))\"; wc -c < /tmp/f"
    done = caisson.sh(script, "--file-size", "1m")
    assert int(done.stdout) <= 1 << 20


@pytest.mark.without_subuid
def test_output_limit_stops_collecting(caisson):
    done, value = reason_of(caisson, "head -c 100000 /dev/zero | tr '\\0' x; echo end >&2",
                            "--output-limit", "1000")
    assert (value["reason"], done.returncode) == ("exited", 0)
    kept = len(value["stdout"]) + len(value["stderr"])
    assert kept <= 1000
    assert value["exit"]["output_bytes"] == 100004
    assert value["exit"]["output_dropped_bytes"] == 100004 - kept


@pytest.mark.without_subuid
def test_output_limit_kills(caisson):
    _, value = reason_of(caisson, "while :; do echo flood; done", "--output-limit", "10k:kill")
    assert value["reason"] == "output_limit"
    assert len(value["stdout"]) <= 10 << 10


def test_disk(caisson, busybox_root):
    source = f"dir:{busybox_root}"
    done, value = reason_of(caisson, "head -c 50000000 /dev/zero > /big", "--disk", "8m", source=source)
    assert value["reason"] == "disk_full"
    assert done.returncode != 0


def test_disk_limit_lets_less_through(caisson, busybox_root):
    done = caisson.sh("head -c 2000000 /dev/zero > /f && wc -c < /f", "--disk", "64m",
                      source=f"dir:{busybox_root}")
    assert done.stdout.strip() == "2000000"


@pytest.mark.without_subuid
def test_killed_is_told_apart_from_signaled(caisson):
    box = caisson.detached("sleep", "1000")
    caisson("kill", box, check=True)
    exit_info = caisson.inspect(box)["exit"]
    assert exit_info["reason"] == "killed"
