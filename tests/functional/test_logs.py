"""Logs: followed, cut, dated, rotated."""

import json
import re
import subprocess
import time

import pytest

from support.boxes import await_log, await_state

pytestmark = pytest.mark.without_subuid


def finished(caisson, script, *options):
    box = caisson("run", "-d", *options, "host:", "sh", "-c", script, check=True).stdout.strip()
    await_state(caisson, box, "stopped")
    return box


def test_tail_since_and_times(caisson):
    box = finished(caisson, "echo 1; echo 2; sleep 1; echo 3; echo err >&2; printf 4")
    assert caisson("logs", "--tail", "2", box).stdout in ("3\n4", "4")  # the other line is on stderr
    assert caisson("logs", "--tail", "99", box).stdout == "1\n2\n3\n4"
    assert caisson("logs", "--tail", "0", box).stdout == ""
    assert caisson("logs", "-n", "all", box).stdout == "1\n2\n3\n4"
    lines = caisson("logs", "-t", box).stdout.splitlines()
    stamps = [re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (.)", line) for line in lines]
    assert all(stamps) and [stamp[2] for stamp in stamps] == ["1", "2", "3", "4"]
    assert caisson("logs", "--since", stamps[2][1], box).stdout in ("3\n4", "1\n2\n3\n4"[4:])
    assert caisson("logs", "--since", "1h", box).stdout == "1\n2\n3\n4"
    assert caisson("logs", "--since", "1ms", box).stdout == ""
    for words in (("--since", "yesterday"), ("--tail", "x"), ("--tail", "-1")):
        assert caisson("logs", *words, box).returncode == 125, words
    caisson("rm", box, check=True)


def test_follow_to_the_end(caisson):
    box = caisson.detached("sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.2; done")
    process = caisson.popen("logs", "-f", box, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    out, _ = process.communicate(timeout=20)
    assert out == b"1\n2\n3\n4\n5\n"
    assert process.returncode == 0
    assert caisson("logs", "-f", box).stdout == "1\n2\n3\n4\n5\n", "a box that has ended"
    caisson("rm", box, check=True)


def test_follow_shows_lines_at_once(caisson):
    box = caisson.detached("sh", "-c", "echo first; sleep 1000")
    await_log(caisson, box, "first")
    process = caisson.popen("logs", "-f", "--tail", "1", box, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        began = time.monotonic()
        assert process.stdout.readline() == b"first\n"
        assert time.monotonic() - began < 5
    finally:
        caisson("rm", "-f", box, check=True)
        assert process.wait(timeout=10) == 0


def test_rotation_keeps_the_newest(caisson):
    box = finished(caisson, "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done", "--output-limit", "8k:rotate")
    text = caisson("logs", box).stdout
    assert 4096 - 64 * 1024 < len(text) <= 70_000
    assert text.endswith("line 2999\n")
    info = caisson.inspect(box)
    assert info["exit"]["reason"] == "exited"
    assert info["exit"]["output_bytes"] == info["exit"]["output_dropped_bytes"] + len(text)
    assert json.loads(json.dumps(info["spec"]["limits"]["output"])) == {"max_bytes": 8192, "action": "rotate"}
    caisson("rm", box, check=True)


def test_follow_across_rotations(caisson):
    box = caisson.detached("sh", "-c", "sleep 0.3; for i in 1 2 3 4 5 6; do head -c 3000 /dev/zero | tr '\\0' $i; sleep 0.2; done",
                           options=("--output-limit", "8k:rotate"))
    process = caisson.popen("logs", "-f", box, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    out, _ = process.communicate(timeout=30)
    assert out == b"".join(str(i).encode() * 3000 for i in range(1, 7)), "nothing is lost or doubled"
    caisson("rm", box, check=True)
