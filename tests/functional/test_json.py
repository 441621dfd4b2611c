"""`--json`: one object with everything about a run."""

import base64
import json
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.without_subuid


def run_json(caisson, script, *options, **keywords):
    return caisson.sh(script, "--json", *options, **keywords)


def test_shape(caisson):
    done = run_json(caisson, "echo out; echo err >&2; exit 3", "--name", "shaped")
    value = done.json()
    assert done.returncode == 3
    assert done.stderr == ""
    assert re.fullmatch(r"[0-7][0-9a-z]{25}", value["id"])
    assert value["name"] == "shaped"
    assert (value["stdout"], value["stderr"]) == ("out\n", "err\n")
    assert (value["exit"]["reason"], value["exit"]["exit_code"]) == ("exited", 3)
    assert (value["reason"], value["exit_code"]) == ("exited", 3)
    assert value["exit"]["duration_ns"] > 0
    assert value["exit"]["output_bytes"] == 8
    assert value["stages"] and all(s["name"] and s["duration_ns"] >= 0 for s in value["stages"])
    assert isinstance(value["warnings"], list)


def test_it_is_the_only_line(caisson):
    done = run_json(caisson, "printf no-newline")
    assert len(done.stdout.splitlines()) == 1
    assert done.json()["stdout"] == "no-newline"


def test_bytes_that_are_not_text(caisson):
    value = run_json(caisson, r"printf '\377\376'; printf ok >&2").json()
    assert "stdout" not in value
    assert base64.b64decode(value["stdout_base64"]) == b"\xff\xfe"
    assert value["stderr"] == "ok"


def test_control_characters_are_escaped(caisson):
    done = run_json(caisson, r"printf '\033]0;title\007'")
    assert "\x1b" not in done.stdout
    assert done.json()["stdout"] == "\x1b]0;title\x07"


def test_signal(caisson):
    done = run_json(caisson, "kill -USR1 $$")
    value = done.json()
    assert (value["reason"], value["signal"]) == ("signaled", 10)
    assert value["exit"].get("exit_code") is None
    assert done.returncode == 138


def test_stdin(caisson):
    assert run_json(caisson, "cat", "-i", input="text").json()["stdout"] == "text"


def test_usage_has_no_invented_zeros(caisson):
    usage = run_json(caisson, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done").json()["usage"]
    assert usage["wall_ns"] > 0
    assert usage["cpu_user_ns"] > 1_000_000
    for name in ("peak_memory_bytes", "max_pids"):
        assert usage.get(name) != 0


@pytest.mark.root_only
def test_usage_as_root_is_complete(caisson):
    script = "python3 -c 'x = b\"x\" * (50 << 20)'; sleep 0.01 & sleep 0.01 & wait"
    usage = run_json(caisson, script).json()["usage"]
    assert 50 << 20 <= usage["peak_memory_bytes"] <= 200 << 20
    assert usage["cpu_system_ns"] > 0


@pytest.mark.parametrize("words, status, reason", [
    (("--memory", "much", "host:", "true"), 125, "size_invalid"),
    (("nowhere://x", "true"), 125, "source_unknown"),
    (("--env-file", "/no/such/env", "host:", "true"), 125, "env_file_unreadable"),
    (("--env-file", "/", "host:", "true"), 125, "env_file_unreadable"),
    (("--security", "seccomp=/no/such/file", "host:", "true"), 125, "seccomp_policy_unreadable"),
    (("-v", "/tmp:/usr/no/such/place", "host:", "true"), 125, "mount_target_unusable"),
    (("-v", "/tmp:/etc/passwd/below", "host:", "true"), 125, "mount_target_unusable"),
    (("host:", "no-such-program"), 127, "program_not_found"),
    (("host:", "/etc/passwd"), 126, "program_not_executable"),
])
def test_failure_is_an_object_too(caisson, words, status, reason):
    done = caisson("run", "--rm", "--json", *words)
    error = done.json()["error"]
    assert done.returncode == status
    assert error["reason"] == reason
    assert error["code"] and error["message"]
    assert error["message"] in done.error_line()


@pytest.mark.parametrize("words", [("--memory", "banana", "--json", "host:"), ("--memroy", "1g", "--json", "host:"),
                                   ("--name", "n", "--wrong=1", "--json", "host:"), ("--wrong", "--json", "--", "host:")])
def test_a_faulty_option_is_an_object_wherever_json_stands(caisson, words):
    done = caisson("run", *words, "true")
    assert done.returncode == 125
    assert done.json()["error"]["reason"] in ("size_invalid", "option_unknown")
    done.error_line()


def test_json_of_the_command_is_not_ours(caisson):
    assert caisson("run", "--memory", "banana", "host:", "--", "tool", "--json").stdout == ""


def test_exec_json(caisson):
    box = caisson.detached("sleep", "1000")
    done = caisson("exec", "--json", box, "sh", "-c", "echo hi; exit 4")
    caisson("rm", "-f", box, check=True)
    assert done.returncode == 4
    assert done.json()["stdout"] == "hi\n"
    assert done.json()["reason"] == "exited"


def test_version_and_stats(caisson):
    assert re.fullmatch(r"\d+\.\d+\.\d+", caisson("version", "--json", check=True).json()["version"])
    box = caisson.detached("sleep", "1000")
    stats = json.loads(caisson("stats", "--json", box, check=True).stdout)
    caisson("rm", "-f", box, check=True)
    assert isinstance(stats, dict)


FORMATS = Path(__file__).resolve().parents[2] / "docs/formats"


def members(value):
    """The name of every member, but not the keys of maps that a user fills."""
    if isinstance(value, list):
        return set().union(*map(members, value))
    if not isinstance(value, dict):
        return set()
    below = (members(inner) for name, inner in value.items() if name not in ("env", "labels"))
    return set(value).union(*below)


@pytest.mark.root_only  # the documents are not copied for other users
def test_every_member_is_documented(caisson):
    options = ("-v", "/tmp:/mnt:ro", "--tmpfs", "/t:size=1m,mode=700,inodes=9", "--timeout", "1m", "--cpu-time", "1m",
               "--disk", "1g", "--file-size", "1g", "--open-files", "99", "--tmpfs-size", "1m", "-e", "A=1")
    run = caisson("run", "--name", "n", "--json", *options, "host:", "true", check=True).json()
    box = caisson.detached("sleep", "1000")
    stats = json.loads(caisson("stats", "--json", box, check=True).stdout)
    failed = caisson("run", "--json", "nowhere://x", "true").json()
    seen = members([run, stats, failed, caisson.inspect("n"), caisson.inspect(box)])
    caisson("rm", "-f", box, check=True)
    documented = set(re.findall(r"`\"?(\w+)\"?`|\"(\w+)\"", (FORMATS / "json.md").read_text()))
    assert len(seen) > 60
    assert seen - {name for pair in documented for name in pair} == set()


@pytest.mark.root_only  # the documents are not copied for other users
def test_every_part_of_a_home_is_documented(caisson, home):
    caisson("run", "host:", "echo", "hello", check=True)
    text = (FORMATS / "home.md").read_text()
    for folder in (home, *(home / "boxes").iterdir()):
        for path in folder.iterdir():
            assert re.search(rf"`(boxes/ID/)?{re.escape(path.name)}/?", text), path
