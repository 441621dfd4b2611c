"""Whatever is wrong: one clear line, the right status, nothing recorded, nothing lost."""

import os

import pytest

pytestmark = pytest.mark.without_subuid

BAD_RUNS = [
    (("run",), "SOURCE"),
    (("run", "host:"), "command"),
    (("run", "--", "host:"), "command"),
    (("run", "nowhere://x", "true"), "nowhere://x"),
    (("run", "", "true"), "source"),
    (("run", "dir:", "true"), "dir:"),
    (("run", "dir:relative/missing", "true"), "/relative/missing"),
    (("run", "dir:/no/such/dir", "true"), "/no/such/dir"),
    (("run", "docker://Alpine", "true"), "alpine"),
    (("run", "--isolation", "confidential", "host:", "true"), "confidential"),
    (("run", "--isolation", "steel", "host:", "true"), "steel"),
    (("run", "--memory", "64x", "host:", "true"), "64x"),
    (("run", "--memory", "-1", "host:", "true"), "-1"),
    (("run", "--memory", "99999999999999999999", "host:", "true"), "99999999999999999999"),
    (("run", "--memory", "1", "host:", "true"), "memory"),
    (("run", "--timeout", "soon", "host:", "true"), "soon"),
    (("run", "--timeout", "0s", "host:", "true"), "wall_time"),
    (("run", "--cpus", "many", "host:", "true"), "many"),
    (("run", "--cpus", "0", "host:", "true"), "cpus"),
    (("run", "--pids", "0", "host:", "true"), "pids"),
    (("run", "--output-limit", "1k:explode", "host:", "true"), "explode"),
    (("run", "--mount", "type=magic,target=/x", "host:", "true"), "magic"),
    (("run", "--mount", "type=bind,source=/tmp", "host:", "true"), "target"),
    (("run", "--mount", "typ=bind", "host:", "true"), "typ"),
    (("run", "-v", "/only", "host:", "true"), "/only"),
    (("run", "-v", "/tmp:/x:rx", "host:", "true"), "rx"),
    (("run", "--tmpfs", "relative", "host:", "true"), "relative"),
    (("run", "--name", "../escape", "host:", "true"), "../escape"),
    (("run", "--name", "-x", "host:", "true"), "name"),
    (("run", "--name", "a" * 129, "host:", "true"), "name"),
    (("run", "--hostname", "under_score!", "host:", "true"), "under_score!"),
    (("run", "-e", "=x", "host:", "true"), "=x"),
    (("run", "--env-file", "/no/such/env", "host:", "true"), "/no/such/env"),
    (("run", "-w", "relative", "host:", "true"), "relative"),
    (("run", "--network", "moon", "host:", "true"), "moon"),
    (("run", "--profile", "paranoid", "host:", "true"), "paranoid"),
    (("run", "--security", "seccomp=/no/such/file", "host:", "true"), "/no/such/file"),
    (("run", "--security", "magic=on", "host:", "true"), "magic"),
    (("run", "--stop-signal", "SIGNOPE", "host:", "true"), "SIGNOPE"),
    (("run", "--allow-missing", "everything", "host:", "true"), "everything"),
    (("run", "host:", ""), "command"),
    (("exec", "nobody", "true"), "nobody"),
    (("exec",), "BOX"),
]


@pytest.mark.parametrize("words, named", BAD_RUNS, ids=[" ".join(w)[:50] for w, _ in BAD_RUNS])
def test_one_line_and_125(caisson, words, named):
    done = caisson(*words)
    assert done.returncode == 125
    assert done.stdout == ""
    assert named.lower() in done.error_line().lower()
    assert caisson.boxes() == []


@pytest.mark.parametrize("words, meant", [
    (("run", "--memroy", "1g", "host:", "true"), "--memory"),
    (("run", "--detatch", "host:", "true"), "--detach"),
    (("rnu", "host:", "true"), "run"),
    (("isnpect", "x"), "inspect"),
])
def test_did_you_mean(caisson, words, meant):
    done = caisson(*words)
    assert done.returncode == 125
    assert "did you mean" in done.error_line()
    assert meant in done.error_line()


@pytest.mark.parametrize("command", ["start", "stop", "kill", "rm", "inspect", "logs", "stats", "wait"])
def test_unknown_box(caisson, command):
    done = caisson(command, "no-such-box")
    assert done.returncode == 1
    assert "no-such-box" in done.error_line()


def test_control_characters_are_escaped(caisson):
    done = caisson("run", "host:\x1b]0;owned\x07", "true")
    assert done.returncode == 125
    assert "\x1b" not in done.error_line()


def test_unwritable_home(caisson, workdir):
    (workdir / "file").write_text("")
    done = caisson("run", "host:", "true", env={"CAISSON_HOME": str(workdir / "file" / "home")})
    assert done.returncode == 125
    assert str(workdir / "file") in done.error_line()


def test_missing_shim(caisson):
    done = caisson("run", "--rm", "host:", "true", env={"CAISSON_SHIM": "/no/such/shim"})
    assert done.returncode == 125
    assert "/no/such/shim" in done.error_line()


@pytest.mark.broken_home
def test_corrupt_state_is_not_touched(caisson, home):
    (home / "db").mkdir(parents=True)
    (home / "db/state.db").write_bytes(b"this is no database" * 500)
    done = caisson("run", "host:", "true")
    assert done.returncode == 125
    assert "state.db" in done.error_line()
    assert (home / "db/state.db").read_bytes() == b"this is no database" * 500


def test_failed_start_keeps_the_record(caisson):
    done = caisson("run", "--name", "bad", "host:", "no-such-program")
    assert done.returncode == 127
    info = caisson.inspect("bad")
    assert info["state"] == "failed"
    assert "no-such-program" in info["error_reason"]


def test_failed_start_with_rm_leaves_nothing(caisson):
    caisson("run", "--rm", "host:", "no-such-program")
    assert caisson.boxes() == []
    assert os.listdir(f"{caisson.home}/boxes") == []


def test_help_and_version(caisson):
    assert "run" in caisson("--help", check=True).stdout
    assert "caisson" in caisson("--version", check=True).stdout
    for command in ("run", "create", "start", "exec", "attach", "stop", "kill", "rm", "ps", "inspect",
                    "logs", "stats", "wait", "version", "debug"):
        done = caisson(command, "--help", check=True)
        assert done.stderr == ""
        assert len(done.stdout.splitlines()) > 3, command


def test_plan_creates_nothing(caisson):
    done = caisson("debug", "plan", "host:", "true", check=True)
    assert len(done.stdout.splitlines()) > 5
    assert caisson.boxes() == []


def test_no_terminal_for_tty_and_stdin(caisson):
    done = caisson("run", "--rm", "-i", "-t", "host:", "true")
    assert done.returncode == 125
    assert "not a TTY" in done.error_line()
