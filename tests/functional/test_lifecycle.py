"""Boxes that outlive the command that made them."""

import json
import os
import pty
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.without_subuid


def test_create_start_wait_rm(caisson):
    box = caisson("create", "host:", "sh", "-c", "echo said; exit 6", check=True).stdout.strip()
    assert caisson.inspect(box)["state"] == "configured"
    caisson("start", box, check=True)
    assert caisson("wait", box, check=True).stdout == "6\n"
    assert caisson.inspect(box)["state"] == "stopped"
    assert caisson("logs", box, check=True).stdout == "said\n"
    caisson("rm", box, check=True)
    assert caisson.boxes() == []


def test_detached_exec_and_stop(caisson):
    box = caisson.detached("sleep", "1000", options=("--name", "web"))
    assert caisson.inspect("web")["id"] == box
    done = caisson("exec", box, "--", "ps", "-e", "-o", "comm=")
    names = done.stdout.split()
    assert "sleep" in names and "ps" in names
    assert len(names) <= 3, names
    caisson("stop", "-t", "1", "web", check=True)
    info = caisson.inspect(box)
    assert (info["state"], info["exit"]["reason"]) == ("stopped", "killed")


def test_exec_status_and_streams(caisson):
    box = caisson.detached("sleep", "1000")
    done = caisson("exec", "-i", box, "sh", "-c", "cat; echo err >&2; exit 9", input="fed")
    assert (done.returncode, done.stdout, done.stderr) == (9, "fed", "err\n")
    assert caisson("exec", box, "no-such-program").returncode == 127
    assert caisson("exec", box, "/etc/passwd").returncode == 126
    caisson("rm", "-f", box, check=True)


def test_exec_options(caisson):
    box = caisson.detached("sleep", "1000", options=("-e", "BASE=1"))
    done = caisson("exec", "-e", "MORE=2", "-w", "/tmp", box, "sh", "-c", "echo $BASE $MORE $PWD")
    assert done.stdout == "1 2 /tmp\n"
    started = time.monotonic()
    done = caisson("exec", "--json", "--timeout", "500ms", box, "sh", "-c", "echo part; sleep 60")
    assert (done.json()["reason"], done.json()["stdout"], done.returncode) == ("timeout", "part\n", 124)
    assert time.monotonic() - started < 10
    assert caisson.inspect(box)["state"] == "running"
    caisson("rm", "-f", box, check=True)


def test_many_execs_at_once(caisson):
    box = caisson.detached("sleep", "1000")
    with ThreadPoolExecutor(8) as pool:
        outputs = list(pool.map(lambda n: caisson("exec", box, "sh", "-c", f"sleep 0.1; echo {n}").stdout,
                                range(24)))
    caisson("rm", "-f", box, check=True)
    assert outputs == [f"{n}\n" for n in range(24)]


def test_files_persist_between_execs(caisson):
    box = caisson.detached("sleep", "1000")
    caisson("exec", box, "sh", "-c", "echo kept > /workspace/f", check=True)
    assert caisson("exec", box, "cat", "/workspace/f").stdout == "kept\n"
    caisson("rm", "-f", box, check=True)


def test_exec_in_a_stopped_box(caisson):
    box = caisson.detached("true")
    caisson("wait", box, check=True)
    done = caisson("exec", box, "true")
    assert done.returncode == 125
    assert box[:12] in done.error_line()


def test_restart_keeps_files(caisson):
    box = caisson("create", "host:", "sh", "-c", "cat /workspace/n 2>/dev/null; echo x >> /workspace/n",
                  check=True).stdout.strip()
    caisson("start", box, check=True)
    caisson("wait", box, check=True)
    caisson("start", box, check=True)
    caisson("wait", box, check=True)
    assert caisson("logs", box, check=True).stdout.endswith("x\n")


def test_start_attached(caisson):
    box = caisson("create", "-i", "host:", "sh", "-c", "cat; exit 2", check=True).stdout.strip()
    done = caisson("start", "-a", "-i", box, input="hello")
    assert (done.stdout, done.returncode) == ("hello", 2)


def test_attach_gets_later_output_and_the_status(caisson):
    box = caisson.detached("sh", "-c", "until [ -e /tmp/go ]; do sleep 0.05; done; echo late; exit 8")
    process = caisson.popen("attach", box, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    time.sleep(0.3)
    caisson("exec", box, "touch", "/tmp/go")  # whose end the box's own may overtake
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == (b"late\n", 8)


def test_logs_keep_streams_apart(caisson):
    box = caisson.detached("sh", "-c", "echo out; echo err >&2")
    caisson("wait", box, check=True)
    done = caisson("logs", box, check=True)
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_box_outlives_a_killed_client(caisson):
    process = caisson.popen("run", "--name", "orphan", "host:", "--", "sh", "-c", "echo up; sleep 1000",
                            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert process.stdout.readline() == b"up\n"
    process.kill()
    process.communicate(timeout=30)
    assert caisson.inspect("orphan")["state"] == "running"
    assert caisson("exec", "orphan", "echo", "still").stdout == "still\n"
    caisson("rm", "-f", "orphan", check=True)


def test_kill_with_a_signal(caisson):
    box = caisson.detached("sh", "-c", "trap 'echo usr1; exit 11' USR1; echo up; while :; do sleep 0.05; done")
    while "up" not in caisson("logs", box).stdout:
        time.sleep(0.05)
    caisson("kill", "-s", "USR1", box, check=True)
    assert caisson("wait", box, check=True).stdout == "11\n"
    assert caisson("logs", box).stdout == "up\nusr1\n"


def test_stop_uses_the_boxes_signal(caisson):
    box = caisson.detached("sh", "-c", "trap 'exit 12' INT; trap '' TERM; echo up; while :; do sleep 0.05; done",
                           options=("--stop-signal", "INT"))
    while "up" not in caisson("logs", box).stdout:
        time.sleep(0.05)
    caisson("stop", box, check=True)
    assert caisson("wait", box, check=True).stdout == "12\n"


def test_rm_of_a_running_box_needs_force(caisson):
    box = caisson.detached("sleep", "1000")
    done = caisson("rm", box)
    assert done.returncode == 1
    assert "-f" in done.error_line() or "force" in done.error_line()
    caisson("rm", "-f", box, check=True)
    assert caisson.boxes() == []


def test_names_and_prefixes(caisson):
    first = caisson.detached("sleep", "1000", options=("--name", "a.b_c-1"))
    assert caisson.inspect(first[:25])["id"] == first
    clash = caisson("create", "--name", "a.b_c-1", "host:", "true")
    assert clash.returncode == 125
    assert "a.b_c-1" in clash.error_line()
    second = caisson("create", "host:", "true", check=True).stdout.strip()
    common = 0
    while first[common] == second[common]:
        common += 1
    ambiguous = caisson("inspect", first[:common])
    assert ambiguous.returncode != 0
    assert first[:common] in ambiguous.error_line()
    assert sorted(caisson.boxes()) == sorted([first, second])
    caisson("rm", "-f", first, second, check=True)


def test_ps(caisson):
    up = caisson.detached("sleep", "1000", options=("--name", "up", "-l", "tier=web"))
    done = caisson("create", "--name", "idle", "host:", "true", check=True).stdout.strip()
    table = caisson("ps", check=True).stdout.splitlines()
    assert table[0].split()[:2] == ["ID", "NAME"]
    assert len(table) == 2 and "up" in table[1] and "running" in table[1]
    assert len(caisson("ps", "-a", check=True).stdout.splitlines()) == 3
    assert caisson("ps", "-a", "-q", "--no-trunc", "--filter", "label=tier=web").stdout.split() == [up]
    rows = [json.loads(line) for line in caisson("ps", "-a", "--json", check=True).stdout.splitlines()]
    text = json.dumps(rows)
    assert up in text and done in text
    caisson("rm", "-f", up, done, check=True)


def test_several_boxes_and_one_unknown(caisson):
    first = caisson("create", "host:", "true", check=True).stdout.strip()
    second = caisson("create", "host:", "true", check=True).stdout.strip()
    done = caisson("rm", first, "no-such-box", second)
    assert done.returncode == 1
    assert "no-such-box" in done.error_line()
    assert caisson.boxes() == []


def test_stats_of_a_running_box(caisson):
    box = caisson.detached("sleep", "1000", options=("--name", "measured"))
    assert "measured" in caisson("stats", box, check=True).stdout
    caisson("rm", "-f", box, check=True)


def test_many_clients_on_one_home(caisson):
    with ThreadPoolExecutor(8) as pool:
        ends = list(pool.map(lambda n: caisson.sh(f"exit {n}"), range(16)))
    assert [(done.returncode, done.stderr) for done in ends] == [(n, "") for n in range(16)]
    assert caisson.boxes() == []


def test_terminal(caisson):
    controller, terminal = pty.openpty()
    process = caisson.popen("run", "--rm", "-i", "-t", "host:", "--", "sh", "-c",
                            "test -t 0 && test -t 1 && echo tty; read x; echo got $x; exit 4",
                            stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
    os.close(terminal)
    output = b""
    while b"tty" not in output:
        output += os.read(controller, 1000)
    os.write(controller, b"word\n")
    while b"got word" not in output:
        output += os.read(controller, 1000)
    assert process.wait(timeout=30) == 4
    os.close(controller)
