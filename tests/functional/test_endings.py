"""Without --json, people are told on stderr why Caisson ended a program; with it, programs are."""

import signal
import subprocess
import time

import pytest

pytestmark = pytest.mark.without_subuid


@pytest.mark.parametrize("script, options, told", [
    ("sleep 1000", ("--timeout", "1s"), "ended by its time limit (1s)"),
    ("while :; do :; done", ("--cpu-time", "250ms"), "ended by its limit of processor time (250ms)"),
    ("yes", ("--output-limit", "1m:kill"), "wrote more than its output limit (1m)"),
    ("head -c 3m /dev/zero > /workspace/x; sleep 1000", ("--disk", "1m"), "used up its disk limit (1m)"),
    pytest.param("exec python3 -c 'x = bytearray(1 << 30)'", ("--memory", "64m"),
                 "ran out of memory (limit 64m)", marks=pytest.mark.root_only),
    pytest.param("for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait", ("--pids", "8"),
                 "failed after the limit on processes refused one (limit 8)", marks=pytest.mark.root_only),
])
def test_of_a_limit(caisson, script, options, told):
    quiet = caisson.sh(script, "--json", *options)
    assert "caisson: " not in quiet.stderr
    done = caisson.sh(script, *options)
    [line] = [line for line in done.stderr.splitlines() if line.startswith("caisson: ")]
    assert done.stderr.endswith(line + "\n")
    assert line.endswith(f"': {told}") and line.startswith("caisson: box '")
    assert done.returncode == quiet.returncode


@pytest.mark.parametrize("script", ["exit 7", "kill -9 $$", "true"])
def test_not_of_a_programs_own_end(caisson, script):
    assert caisson.sh(script).stderr == ""


def test_of_start_and_attach(caisson):
    box = caisson("create", "--timeout", "1500ms", "host:", "sleep", "1000", check=True).stdout.strip()
    line = f"caisson: box '{box}': ended by its time limit (1.5s)\n"
    assert caisson("start", "-a", box).stderr == line
    caisson("start", box, check=True)
    assert caisson("attach", box).stderr == line


def test_of_an_exec(caisson):
    box = caisson.detached("sleep", "1000")
    done = caisson("exec", "--timeout", "1s", box, "sleep", "1000")
    assert done.stderr == f"caisson: command in box '{box}': ended by its time limit (1s)\n"
    assert caisson("exec", "--json", "--timeout", "1s", box, "sleep", "1000").stderr == ""
    assert caisson("exec", box, "false").stderr == ""
    caisson("rm", "-f", box, check=True)


def started(caisson, *words):
    """The command, once its program has spoken."""
    process = caisson.popen(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert process.stdout.readline() == b"up\n"
    return process


def test_of_a_kill_by_somebody_else(caisson):
    process = started(caisson, "run", "--name", "n", "host:", "sh", "-c", "echo up; exec sleep 1000")
    caisson("kill", "n", check=True)
    _, error = process.communicate(timeout=30)
    box = caisson.inspect("n")["id"]
    assert f"caisson: box '{box}': stopped or killed\n".encode() in error


def test_not_to_who_asked_for_it(caisson):
    process = started(caisson, "run", "--rm", "host:", "sh", "-c", "echo up; exec sleep 1000")
    time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=30)
    assert b"stopped or killed" not in error
