"""What a run used: real figures, or none."""

import json
import time

import pytest

from support import host

pytestmark = pytest.mark.without_subuid


def outcome(caisson, script, *options, source="host:", **keywords):
    done = caisson.sh(script, "--json", *options, source=source, **keywords)
    return done, done.json()


def test_usage_of_a_short_run_is_real(caisson):
    _, value = outcome(caisson, "true")
    usage = value["usage"]
    assert usage["cpu_user_ns"] + usage["cpu_system_ns"] > 0
    assert usage["wall_ns"] == value["exit"]["duration_ns"] > 0


def test_usage_of_work(caisson):
    script = ("import os\nwith open('/workspace/f', 'wb') as f:\n  f.write(os.urandom(8 << 20))\n"
              "  f.flush()\n  os.fsync(f.fileno())\nn = 0\nfor i in range(3000000): n += i")
    done = caisson("run", "--rm", "--json", "host:", "--", "python3", "-c", script)
    usage = done.json()["usage"]
    assert 0.05e9 < usage["cpu_user_ns"] < 20e9
    # Newer kernels tell nobody but root what a process wrote that could not be inspected.
    if host.IS_ROOT or "write_bytes" in usage:
        assert 8 << 20 <= usage["write_bytes"] < 64 << 20
    assert 5 << 20 < usage["peak_memory_bytes"] < 200 << 20
    assert usage["wall_ns"] >= usage["cpu_user_ns"] * 0.9


BUSY = "while :; do :; done"


@pytest.mark.parametrize("script, options, reason", [
    (BUSY, ("--timeout", "1s"), "timeout"),
    (BUSY, ("--cpu-time", "500ms"), "cpu_time"),
    (f"({BUSY}) & sleep 1", (), "exited"),
    (f"({BUSY}) & sleep 1; yes", ("--output-limit", "1m:kill"), "output_limit"),
    (f"trap '' TERM; setsid sh -c '{BUSY}' & sleep 1; kill -9 $$", (), "signaled"),
])
def test_usage_counts_what_was_killed_too(caisson, script, options, reason):
    _, value = outcome(caisson, script, *options)
    assert value["reason"] == reason
    # On a busy machine a loop gets less than its wall time, but it does get something.
    assert value["usage"]["cpu_user_ns"] + value["usage"]["cpu_system_ns"] > 0.1e9


@pytest.mark.root_only
def test_usage_counts_bytes_of_what_was_killed(caisson):
    script = "head -c 20000000 /dev/zero > /workspace/x; sync /workspace/x; sleep 1000"
    _, value = outcome(caisson, script, "--timeout", "3s")
    assert value["reason"] == "timeout"
    assert value["usage"]["write_bytes"] >= 20_000_000


@pytest.mark.root_only
def test_usage_counts_processes(caisson):
    _, value = outcome(caisson, "for i in 1 2 3 4 5; do sleep 0.3 & done; wait")
    assert 6 <= value["usage"]["max_pids"] <= 8
    assert value["usage"]["oom_kills"] == 0


@pytest.mark.user_only
def test_figures_that_cannot_be_had_are_absent(caisson):
    if not host.missing_memory_limit():
        return
    _, value = outcome(caisson, "true")
    for name in ("max_pids", "oom_kills", "memory_bytes"):
        assert name not in value["usage"]


def test_live_stats(caisson):
    box = caisson.detached("sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; sleep 1000")
    time.sleep(1)
    usage = json.loads(caisson("stats", "--json", box, check=True).stdout)["usage"]
    if host.IS_ROOT:
        assert usage["pids"] >= 2
        assert usage["memory_bytes"] > 100_000
        assert usage["cpu_user_ns"] + usage["cpu_system_ns"] > 0
    assert usage.get("memory_bytes") != 0
    caisson("rm", "-f", box, check=True)
