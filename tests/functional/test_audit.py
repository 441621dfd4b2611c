"""The audit log, events, metrics and health of a home."""

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytestmark = pytest.mark.without_subuid


def entries(caisson, *words):
    return [json.loads(line) for line in caisson("audit", *words, check=True).stdout.splitlines()]


def verified(caisson):
    done = caisson("audit", "--verify")
    assert done.returncode == 0, done.stderr
    return int(re.search(r"(\d+) entries", done.stdout).group(1))


def test_what_happened_is_there(caisson):
    box = caisson.detached("sleep", "1000", options=("--name", "w", "--label", "a=b"))
    assert caisson("exec", "-u", "0", box, "sh", "-c", "exit 4").returncode == 4
    caisson("exec", box, "no-such-program")
    caisson("exec", "--timeout", "100ms", box, "sleep", "10")
    caisson("snapshot", "create", box, "s", check=True)
    caisson("restore", box, "s", check=True)
    caisson("snapshot", "rm", box, "s", check=True)
    caisson("rm", "-f", box, check=True)
    caisson("run", "--timeout", "100ms", "--rm", "host:", "sleep", "10")
    found = entries(caisson, box)
    assert [entry["event"] for entry in found] == [
        "box_created", "box_started", "exec_started", "exec_ended", "exec_failed", "exec_started", "limit_hit",
        "exec_ended", "snapshot_created", "box_ended", "box_restored", "box_started", "snapshot_removed", "box_ended",
        "box_removed"]
    by_event = {entry["event"]: entry["details"] for entry in reversed(found)}
    assert by_event["box_created"]["name"] == "w" and by_event["box_created"]["command"] == ["sleep", "1000"]
    assert by_event["exec_started"]["command"] == ["sh", "-c", "exit 4"] and by_event["exec_started"]["user"] == "0"
    assert (by_event["exec_ended"]["reason"], by_event["exec_ended"]["exit_code"]) == ("exited", 4)
    assert "no-such-program" in by_event["exec_failed"]["cause"]
    assert by_event["limit_hit"]["limit"] == "timeout"
    assert {entry["box"] for entry in found} == {box}
    whole = entries(caisson)
    assert [entry["seq"] for entry in whole] == list(range(1, len(whole) + 1))
    assert whole[-2]["details"]["reason"] == "timeout"
    assert verified(caisson) == len(whole)


def test_a_start_that_fails(caisson):
    done = caisson("run", "--name", "broken", "host:", "--", "no-such-program")
    assert done.returncode == 127
    info = caisson.inspect("broken")
    assert info["state"] == "failed" and "no-such-program" in info["error_reason"]
    assert caisson.boxes() == [info["id"]], "it is still there"
    assert [entry["event"] for entry in entries(caisson, "broken")] == ["box_created", "box_failed"]
    assert "caisson_boxes_failed_total 1\n" in caisson("metrics", check=True).stdout
    health = caisson("health", "--json")
    assert health.returncode == 1 and health.json()["failed"] == 1
    assert "1 boxes could not be started" in health.json()["warnings"][0]
    caisson("rm", "broken", check=True)
    assert caisson("health").returncode == 0


def test_a_changed_entry_is_found(caisson):
    caisson.sh("true")
    log = Path(caisson.home) / "audit/audit.jsonl"
    whole = log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
    log.write_text(whole.replace('"exit_code":0', '"exit_code":7', 1))
    done = caisson("audit", "--verify")
    assert done.returncode == 125 and "has been changed" in done.error_line()
    log.write_text("".join(whole.splitlines(keepends=True)[1:]))
    assert caisson("audit", "--verify").returncode == 125
    log.write_text(whole)
    verified(caisson)


def test_bytes_of_the_guest_are_harmless(caisson):
    caisson.sh("true", "-e", "A=\x1b[31m")
    box = caisson.detached("sleep", "1000")
    caisson("exec", box, "--", "echo", "\x1b[31m", 'quote " \\ \n line')
    caisson("rm", "-f", box, check=True)
    for words in (("audit",), ("events", "--since", "0", "--no-follow"), ("events", "--since", "0", "--no-follow", "--json")):
        assert "\x1b" not in caisson(*words, check=True).stdout
    verified(caisson)


def test_long_commands_do_no_harm(caisson):
    box = caisson.detached("sleep", "1000")
    assert caisson("exec", box, "--", "/" + "x" * 100_000).returncode in (126, 127, 125)
    assert caisson("exec", box, "--", "/" + "\x01" * 40_000).returncode in (126, 127, 125)
    caisson("exec", box, "--", "true", *["y" * 1000] * 90, check=True)
    caisson("rm", "-f", box, check=True)
    log = (Path(caisson.home) / "audit/audit.jsonl").read_text()
    assert max(map(len, log.splitlines())) <= 65_536
    verified(caisson)


def test_many_writers(caisson):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: caisson.sh(f"exit {n}", "--rm"), range(24)))
    count = verified(caisson)
    assert count == 24 * 4, [entry["event"] for entry in entries(caisson)]


def test_events_follow_and_miss_nothing(caisson):
    caisson.sh("true", "--rm")
    before = len(entries(caisson))
    process = caisson.popen("events", "--json", "--since", "2", stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        got = [json.loads(process.stdout.readline()) for _ in range(before - 2)]
        box = caisson.detached("sleep", "1000")
        caisson("pause", box, check=True)
        caisson("resume", box, check=True)
        caisson("rm", "-f", box, check=True)
        got += [json.loads(process.stdout.readline()) for _ in range(6)]
    finally:
        process.terminate()
        process.wait(timeout=10)
    assert [event["seq"] for event in got] == list(range(3, before + 7))
    assert [event["event"] for event in got[-6:]] == ["box_created", "box_started", "box_paused", "box_resumed",
                                                     "box_ended", "box_removed"]


def test_metrics_are_what_prometheus_reads(caisson):
    caisson.sh("echo four", "--rm")
    text = caisson("metrics", check=True).stdout
    sample = re.compile(r'^[a-z_]+(\{([a-z]+="[^"]*",?)+\})? [0-9.e+-]+$')
    for line in text.splitlines():
        assert line.startswith(("# HELP ", "# TYPE ")) or sample.match(line), line
    for line in ("caisson_boxes_created_total 1", "caisson_boxes_started_total 1", "caisson_output_bytes_total 5",
                 'caisson_boxes_ended_total{reason="exited"} 1', 'caisson_start_stage_seconds_count{stage="total"} 1'):
        assert f"{line}\n" in text, line


def test_prune_of_boxes(caisson, home):
    kept = caisson.detached("sleep", "1000")
    caisson("run", "host:", "true", check=True)
    caisson("create", "host:", "true", check=True)
    assert len(caisson.boxes()) == 3
    caisson("prune", check=True)
    assert len(caisson.boxes()) == 3
    unrecorded = home / "boxes" / "01m8q54db094gfnqb2v52z4e7y"
    unrecorded.mkdir()
    caisson("prune", "--boxes", check=True)
    assert caisson.boxes() == [kept]
    assert [path.name for path in home.glob("boxes/*")] == [kept]
    caisson("rm", "-f", kept, check=True)


def test_bad_input(caisson):
    for words, text in ((("audit", "a", "b"), "one too many"), (("audit", "nobody"), "no box"),
                        (("events", "--since", "x"), "number"), (("health", "x"), "says nothing"),
                        (("metrics", "x"), "says nothing"), (("events", "nobody"), "no box")):
        done = caisson(*words)
        assert done.returncode == 125 and text in done.error_line(), words
