"""Output that is kept for who attaches again."""

import signal
import subprocess
import time

import pytest

from support.boxes import await_log

pytestmark = [pytest.mark.without_subuid, pytest.mark.usefixtures("nothing_stays")]


COUNT = "i=0; while [ $i -lt {n} ]; do i=$((i+1)); echo line $i; done"


def test_an_exec_outlives_its_client_and_nothing_is_lost(caisson):
    box = caisson.detached("sleep", "1000")
    script = f"echo begin; sleep 1; {COUNT.format(n=20000)}; echo oops >&2; exit 5"
    client = caisson.popen("exec", "--replay", "10m", box, "--", "sh", "-c", script, stdout=subprocess.PIPE)
    assert client.stdout.readline() == b"begin\n"
    client.send_signal(signal.SIGKILL)
    client.wait()
    audit = caisson("audit", box).stdout
    ident = audit.split('"exec_started"')[1].split('"exec":')[1].split(",")[0].strip("} ")
    expected = "begin\n" + "".join(f"line {i}\n" for i in range(1, 20001))
    for _ in range(2):  # while it runs, and again when it has ended
        done = caisson("attach", "--exec", ident, "--replay", box)
        assert done.returncode == 5
        assert done.stdout == expected
        assert done.stderr == "oops\n"
    # Without --replay only what comes, which is nothing more.
    done = caisson("attach", "--exec", ident, box)
    assert done.returncode == 5 and done.stdout == ""


def test_several_may_look_at_once(caisson):
    box = caisson.detached("sleep", "1000")
    ident = caisson("exec", "-d", "--replay", "1m", box, "--", "sh", "-c", "sleep 0.5; seq 1000", check=True).stdout.strip()
    clients = [caisson.popen("attach", "--exec", ident, "--replay", box, stdout=subprocess.PIPE) for _ in range(4)]
    expected = "".join(f"{i}\n" for i in range(1, 1001))
    for client in clients:
        out, _ = client.communicate(timeout=30)
        assert out.decode() == expected
        assert client.returncode == 0


def test_only_the_newest_is_kept(caisson):
    box = caisson.detached("sleep", "1000")
    ident = caisson("exec", "-d", "--replay", "1000b", box, "--", "seq", "5000", check=True).stdout.strip()
    caisson("attach", "--exec", ident, box, check=True)  # to its end
    out = caisson("attach", "--exec", ident, "--replay", box, check=True).stdout
    assert len(out) == 1000 and out.endswith("4999\n5000\n")


def test_the_main_command_too(caisson):
    box = caisson.detached("sh", "-c", "echo early; sleep 2; echo late; exit 4")
    await_log(caisson, box, "early")
    done = caisson("attach", "--replay", box)
    assert done.returncode == 4 and done.stdout == "early\nlate\n"


def test_a_slow_reader_loses_nothing(caisson):
    box = caisson.detached("sleep", "1000")
    ident = caisson("exec", "-d", "--replay", "64k", box, "--", "sh", "-c", "sleep 1; seq 300000", check=True).stdout.strip()
    reader = caisson.popen("attach", "--exec", ident, "--replay", box, stdout=subprocess.PIPE)
    time.sleep(2.5)
    out, _ = reader.communicate(timeout=60)
    assert out.decode() == "".join(f"{i}\n" for i in range(1, 300001))


def test_what_is_no_exec(caisson):
    box = caisson.detached("sleep", "1000")
    caisson("exec", "-d", box, "sleep", "50", check=True)
    for ident in ("1", "2", "99"):
        done = caisson("attach", "--exec", ident, box)
        assert done.returncode == 125 and "exec" in done.error_line()
    done = caisson("exec", "-t", "-d", "--replay", "1m", box, "true")
    assert done.returncode == 125 and "terminal" in done.error_line()


def test_limits_hold_without_a_client(caisson):
    box = caisson.detached("sleep", "1000")
    ident = caisson("exec", "-d", "--replay", "1k", "--output-limit", "10k:kill", box, "--", "yes", check=True).stdout.strip()
    done = caisson("attach", "--exec", ident, box, timeout=30)
    assert done.returncode == 137


def test_the_end_of_the_box_waits_for_who_still_reads(caisson):
    box = caisson.detached("sh", "-c", "sleep 1; seq 400000", options=("--replay", "10m"))
    reader = caisson.popen("attach", "--replay", box, stdout=subprocess.PIPE)
    time.sleep(2)
    got = b""
    while piece := reader.stdout.read1(100_000):
        got += piece
        time.sleep(0.1)
    assert reader.wait(30) == 0
    assert got.decode() == "".join(f"{i}\n" for i in range(1, 400001))
