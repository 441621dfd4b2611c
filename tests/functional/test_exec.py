"""`caisson exec` and `attach`: processes in a box that another command started."""

import hashlib
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.terminal import Terminal

pytestmark = pytest.mark.without_subuid


@pytest.fixture
def box(caisson):
    box = caisson.detached("sleep", "1000")
    yield box
    caisson("rm", "-f", box, check=True)


def words_in_box(caisson, box):
    """The command lines of all processes in the box."""
    script = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done 2>/dev/null"
    return caisson("exec", box, "sh", "-c", script, check=True).stdout


def await_words(caisson, box, words, present, seconds=10):
    """Waits until a process with `words` in its command line is (not) in the box."""
    deadline = time.monotonic() + seconds
    while (words in words_in_box(caisson, box)) != present:
        assert time.monotonic() < deadline, f"'{words}' is {'not ' if present else ''}in the box"
        time.sleep(0.05)


@pytest.mark.seconds(240)
def test_100_mib_of_stdin(caisson, box):
    data = os.urandom(1 << 20) * 100
    done = caisson("exec", "-i", box, "sha256sum", input=data, timeout=200)
    assert done.stdout.split()[0] == hashlib.sha256(data).hexdigest()


@pytest.mark.seconds(240)
def test_100_mib_through_cat(caisson, box):
    data = os.urandom(1 << 20) * 100
    done = caisson("exec", "-i", box, "cat", input=data, timeout=200, binary=True)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


def test_unread_stdin_does_not_hang(caisson, box):
    done = caisson("exec", "-i", box, "sh", "-c", "sleep 0.5; echo done; exit 3",
                   input=bytes(10 << 20), timeout=30)
    assert (done.stdout, done.returncode) == ("done\n", 3)


def test_closed_stdin_does_not_end_the_output(caisson, box):
    done = caisson("exec", "-i", box, "sh", "-c", "exec <&-; sleep 0.3; echo later",
                   input=bytes(1 << 20), timeout=30)
    assert (done.stdout, done.returncode) == ("later\n", 0)


def test_output_arrives_when_it_is_written(caisson, box):
    process = caisson.popen("exec", box, "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.5; done",
                            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    arrivals = []
    for line in process.stdout:
        arrivals.append((time.monotonic(), line))
    assert process.wait(timeout=30) == 0
    assert [line for _, line in arrivals] == [b"1\n", b"2\n", b"3\n"]
    gaps = [b - a for (a, _), (b, _) in zip(arrivals, arrivals[1:])]
    assert all(gap > 0.25 for gap in gaps), gaps


def test_stderr_is_live_too(caisson, box):
    process = caisson.popen("exec", "-i", box, "sh", "-c", "echo ready >&2; read x; echo $x >&2",
                            stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr.readline() == b"ready\n"
    _, err = process.communicate(b"go\n", timeout=30)
    assert err == b"go\n"


@pytest.mark.seconds(200)
def test_50_at_once(caisson, box):
    def one(number):
        done = caisson("exec", "-i", box, "sh", "-c", f"cat; exit {number}", input=f"{number}\n", timeout=150)
        return done.stdout, done.returncode

    with ThreadPoolExecutor(50) as pool:
        results = list(pool.map(one, range(50)))
    assert results == [(f"{number}\n", number) for number in range(50)]


@pytest.mark.parametrize("options, words, status, named", [
    ((), ("no-such-program",), 127, "no-such-program"),
    ((), ("/etc/passwd",), 126, "/etc/passwd"),
    ((), ("/no/such/dir/program",), 127, "/no/such/dir/program"),
    (("-u", "nobody-has-this-name"), ("true",), 125, "nobody-has-this-name"),
    (("-u", "70000"), ("true",), 125, "70000"),
    (("-w", "/no/such/dir"), ("true",), 125, "/no/such/dir"),
    (("-w", "relative"), ("true",), 125, "relative"),
    (("-e", "=x"), ("true",), 125, "=x"),
    (("--timeout", "soon"), ("true",), 125, "soon"),
])
def test_failures(caisson, box, options, words, status, named):
    done = caisson("exec", *options, box, *words)
    assert (done.returncode, done.stdout) == (status, "")
    assert named in done.error_line()
    assert caisson("exec", box, "echo", "still usable").stdout == "still usable\n"


def test_signal_status(caisson, box):
    assert caisson("exec", box, "sh", "-c", "kill -SEGV $$").returncode == 139


@pytest.mark.needs_subuid
def test_user_and_workdir(caisson, box):
    done = caisson("exec", "-u", "1234:567", "-w", "/tmp", box, "sh", "-c", "id -u; id -g; pwd")
    assert done.stdout == "1234\n567\n/tmp\n"


def test_environment_is_the_boxes_and_nothing_else(caisson, box):
    done = caisson("exec", "-e", "MORE=1", box, "env", env={"CANARY": "secret"})
    assert "MORE=1" in done.stdout.splitlines()
    assert "secret" not in done.stdout


def test_timeout_ends_the_whole_session_and_keeps_what_was_said(caisson, box):
    script = "trap '' TERM HUP INT; echo partial; sleep 4321 & sleep 4321; sleep 4321"
    started = time.monotonic()
    done = caisson("exec", "--json", "--timeout", "1s", box, "sh", "-c", script)
    value = done.json()
    assert (value["reason"], value["stdout"], done.returncode) == ("timeout", "partial\n", 124)
    assert 0.9 < time.monotonic() - started < 15
    await_words(caisson, box, "sleep 4321", present=False)
    assert caisson.inspect(box)["state"] == "running"


def test_timeout_without_json_prints_what_was_said(caisson, box):
    done = caisson("exec", "--timeout", "500ms", box, "sh", "-c", "echo partial; sleep 60")
    assert (done.stdout, done.returncode) == ("partial\n", 124)


def test_a_daemon_does_not_hold_its_exec(caisson, box):
    started = time.monotonic()
    done = caisson("exec", box, "sh", "-c", "setsid sleep 765 & echo started", timeout=30)
    assert (done.stdout, done.returncode) == ("started\n", 0)
    assert time.monotonic() - started < 15
    await_words(caisson, box, "sleep 765", present=True)


def test_detached_exec(caisson, box):
    assert caisson("exec", "-d", box, "sleep", "876").returncode == 0
    await_words(caisson, box, "sleep 876", present=True)


def test_output_limits(caisson, box):
    done = caisson("exec", "--json", "--output-limit", "1000", box, "head", "-c", "5000", "/dev/zero")
    exit_info = done.json()["exit"]
    assert (exit_info["reason"], exit_info["output_bytes"]) == ("exited", 5000)
    assert exit_info["output_dropped_bytes"] == 4000
    done = caisson("exec", "--json", "--output-limit", "1000:kill", box, "sh", "-c",
                   "while :; do echo flood; done")
    assert done.json()["reason"] == "output_limit"
    assert len(done.json()["stdout"]) <= 1000


def test_usage_of_an_exec(caisson, box):
    done = caisson("exec", "--json", box, "sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
    usage = done.json()["usage"]
    assert usage["cpu_user_ns"] > 10_000_000
    assert usage["wall_ns"] >= usage["cpu_user_ns"] // 4
    for name, figure in usage.items():
        assert figure != 0 or name in ("cpu_system_ns", "oom_kills"), name


def test_interrupt_reaches_the_process(caisson, box):
    process = caisson.popen("exec", box, "sh", "-c",
                            "trap 'echo caught; exit 5' INT TERM; echo up; while :; do sleep 0.05; done",
                            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == (b"caught\n", 5)
    assert caisson.inspect(box)["state"] == "running"


def test_killed_client_leaves_the_box(caisson, box):
    process = caisson.popen("exec", box, "sh", "-c", "echo up; sleep 1000", stdout=subprocess.PIPE,
                            stdin=subprocess.DEVNULL)
    assert process.stdout.readline() == b"up\n"
    process.kill()
    process.communicate(timeout=30)
    assert caisson("exec", box, "echo", "alive").stdout == "alive\n"
    assert caisson.inspect(box)["state"] == "running"


def test_end_of_the_box_ends_its_execs(caisson, box):
    process = caisson.popen("exec", "--json", box, "sleep", "1000", stdout=subprocess.PIPE,
                            stdin=subprocess.DEVNULL)
    await_words(caisson, box, "sleep 1000", present=True)
    time.sleep(0.3)
    caisson("kill", box, check=True)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 137
    assert b'"killed"' in out


# --- terminals ----------------------------------------------------------------------------------

def test_terminal_and_its_size(caisson, box):
    with Terminal(caisson, "exec", "-it", box, "sh", rows=31, columns=97) as terminal:
        terminal.type("test -t 0 && test -t 1 && test -t 2 && echo it''is\n")
        terminal.expect("itis")
        terminal.type("stty size\n")
        terminal.expect("31 97")
        terminal.resize(40, 120)
        time.sleep(0.3)
        terminal.type("stty size\n")
        terminal.expect("40 120")
        terminal.type("exit 6\n")
        assert terminal.wait() == 6


def test_control_c_goes_to_the_command(caisson, box):
    with Terminal(caisson, "exec", "-it", box, "sh", "-c",
                  "trap 'echo c''aught; exit 9' INT; echo u''p; while :; do sleep 0.05; done") as terminal:
        terminal.expect("up")
        terminal.type("\x03")
        terminal.expect("caught")
        assert terminal.wait() == 9
    assert caisson.inspect(box)["state"] == "running"


def test_control_d_ends_a_shell(caisson, box):
    with Terminal(caisson, "exec", "-it", box, "cat") as terminal:
        terminal.type("line\n")
        terminal.expect("line\r\nline\r\n")
        terminal.type("\x04")
        assert terminal.wait() == 0


def test_terminal_without_input(caisson, box):
    done = caisson("exec", "-t", box, "sh", "-c", "test -t 1 && echo yes")
    assert done.stdout == "yes\r\n"


# --- attach -------------------------------------------------------------------------------------

def test_attach_to_the_terminal_of_a_box(caisson):
    box = caisson.detached("sh", options=("-i", "-t"))
    with Terminal(caisson, "attach", box) as terminal:
        terminal.type("echo out''put\n")
        terminal.expect("output")
        terminal.type("exit 4\n")
        assert terminal.wait() == 4


def test_two_attached_clients_see_the_same(caisson):
    box = caisson.detached("sh", "-c", "until [ -e /tmp/go ]; do sleep 0.05; done; echo seen; exit 8")
    clients = [caisson.popen("attach", "--no-stdin", box, stdout=subprocess.PIPE,
                             stdin=subprocess.DEVNULL) for _ in range(2)]
    time.sleep(0.7)
    caisson("exec", box, "touch", "/tmp/go", check=True)
    assert [client.communicate(timeout=30)[0] for client in clients] == [b"seen\n", b"seen\n"]
    assert [client.returncode for client in clients] == [8, 8]


def test_killed_attach_leaves_the_box(caisson, box):
    process = caisson.popen("attach", box, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    time.sleep(0.5)
    process.kill()
    process.communicate(timeout=30)
    assert caisson.inspect(box)["state"] == "running"
    assert caisson("exec", box, "echo", "alive").stdout == "alive\n"


def test_a_stopped_reader_does_not_stop_the_others(caisson, box):
    """An exec whose reader sleeps must not slow down the box or its other execs."""
    process = caisson.popen("exec", box, "cat", "/dev/zero", stdout=subprocess.PIPE,
                            stdin=subprocess.DEVNULL)
    process.stdout.read(1)
    time.sleep(0.3)  # the pipe is full now
    assert caisson("exec", box, "echo", "free", timeout=20).stdout == "free\n"
    process.stdout.close()
    assert process.wait(timeout=30) in (141, 137)
