"""The command line as people and scripts use it."""

import json
import os
import shutil
import signal
import subprocess
import time

import pytest

from support.attack import wait_for
from support.boxes import await_log, descendants
from support.cli import UNLIMITED
from support.terminal import Terminal

pytestmark = pytest.mark.without_subuid


def shell(caisson, script, **options):
    done = subprocess.run(["bash", "-c", script, caisson.program], env=caisson.env, capture_output=True,
                          text=True, timeout=60, check=False, **options)
    caisson.note_ids(done.stdout.encode())
    return done.returncode, done.stdout, UNLIMITED.sub("", done.stderr)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_descriptors(caisson, closed):
    """The files that Caisson opens must not become a program's standard streams."""
    status, _, _ = shell(caisson, f'exec "$0" run --rm -i host: -- sh -c "cat; echo x; exit 9" {closed}',
                         stdin=subprocess.DEVNULL)
    assert status in (9, 125, 141)
    assert caisson.boxes() == []
    status, _, _ = shell(caisson, f'exec "$0" create host: true {closed}', stdin=subprocess.DEVNULL)
    assert status in (0, 125)
    assert caisson.sh("exit 3").returncode == 3


def test_yes_into_head(caisson):
    started = time.monotonic()
    status, out, err = shell(caisson, '"$0" run --rm host: -- yes | head -1; echo ${PIPESTATUS[0]}')
    assert (status, out.splitlines(), err) == (0, ["y", "141"], "")
    assert time.monotonic() - started < 20
    wait_for(lambda: not [name for _, name in descendants().values() if name in ("yes", "caisson-shim")],
             2, "end of the box's processes")


def test_output_into_a_full_device(caisson):
    status, _, err = shell(caisson, '"$0" run --rm host: -- sh -c "echo x; sleep 0.2" > /dev/full')
    assert status == 125
    assert "No space left" in err and len(err.splitlines()) == 1


def test_pipeline_of_boxes(caisson):
    _, out, err = shell(caisson, 'seq 1000 | "$0" run --rm -i host: -- grep 7 | "$0" run --rm -i host: -- wc -l')
    assert (out.strip(), err) == ("271", "")


def test_in_the_background_of_a_shell(caisson):
    """A job that reads no terminal runs on; its end is reported to the shell."""
    status, out, _ = shell(caisson, '"$0" run --rm host: -- sh -c "sleep 0.3; echo bg; exit 4" & wait $!; echo $?')
    assert (status, out) == (0, "bg\n4\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_stop(caisson, number):
    process = caisson.popen("run", "--rm", "host:", "--", "sh", "-c",
                            "trap 'echo bye; exit 5' TERM HUP; echo up; while :; do sleep 0.05; done",
                            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert process.stdout.readline() == b"up\n"
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == (b"bye\n", 5)


def test_control_c_on_a_terminal_without_t(caisson):
    """Without -t the terminal's Ctrl-C is a SIGINT for Caisson: the box gets its stop signal."""
    with Terminal(caisson, "run", "--rm", "host:", "--", "sh", "-c",
                  "trap 'echo st''opped; exit 6' TERM; echo box is u''p; while :; do sleep 0.05; done") as terminal:
        terminal.expect("box is up")
        terminal.type("\x03")
        terminal.expect("stopped")
        assert terminal.wait() == 6


def test_second_control_c_kills(caisson):
    with Terminal(caisson, "run", "--rm", "host:", "--", "sh", "-c",
                  "trap 'echo not n''ow' TERM INT; echo box is u''p; while :; do sleep 0.05; done") as terminal:
        terminal.expect("box is up")
        terminal.type("\x03")
        terminal.expect("not now")
        terminal.type("\x03")
        assert terminal.wait() == 137


def test_terminal_is_restored(caisson):
    """A shell's settings are what they were after a box with -t, also when that was killed."""
    import termios
    with Terminal(caisson, "run", "--rm", "-it", "host:", "--", "sh", "-c", "echo box is u''p; sleep 1000") as terminal:
        terminal.expect("box is up")  # which may come before the settings
        wait_for(lambda: not termios.tcgetattr(terminal.controller)[3] & termios.ECHO)
        terminal.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.wait() in (137, 143)
        assert termios.tcgetattr(terminal.controller)[3] & termios.ECHO


def test_json_is_the_last_line(caisson):
    done = caisson("run", "--rm", "--json", "host:", "echo", "text")
    assert json.loads(done.stdout.splitlines()[-1])["stdout"] == "text\n"
    done = caisson("run", "--json", "--nonsense")
    assert json.loads(done.stdout.splitlines()[-1])["error"]["reason"] == "option_unknown"


def test_json_while_interrupted(caisson):
    process = caisson.popen("run", "--rm", "--json", "host:", "--", "sh", "-c", "echo kept; sleep 1000",
                            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    [box] = wait_for(caisson.boxes)
    await_log(caisson, box, "kept")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    value = json.loads(out.splitlines()[-1])
    assert (value["reason"], value["stdout"]) == ("killed", "kept\n")
    assert process.returncode == 143


@pytest.mark.parametrize("words, expected", [
    (("run", "--rm", "host:", "printf", "%s.", "-e", "--rm"), "-e.--rm."),
    (("run", "--rm", "host:", "--", "printf", "%s.", "--help", "--"), "--help.--."),
    (("run", "--rm", "-eA=1", "host:", "sh", "-c", "echo $A"), "1\n"),
    (("run", "--rm", "--env=A=1", "host:", "sh", "-c", "echo $A"), "1\n"),
    (("run", "--rm", "-e", "A=--", "host:", "sh", "-c", "echo $A"), "--\n"),
    (("run", "--rm", "host:", "--", "--"), None),
])
def test_spellings(caisson, words, expected):
    done = caisson(*words)
    if expected is None:
        assert done.returncode == 127
    else:
        assert (done.stdout, done.returncode) == (expected, 0)


@pytest.mark.parametrize("line, variable", [("NO_NAME_COPIES", "NO_NAME_COPIES"), ("A=b=c", "A"),
                                            ("SPACES=  x  ", "SPACES"), ("EMPTY=", "EMPTY")])
def test_env_file(caisson, workdir, line, variable):
    (workdir / "env").write_text(f"# comment\n\n{line}\n")
    done = caisson("run", "--rm", "--env-file", workdir / "env", "host:", "sh", "-c",
                   f'printf "[%s]" "${variable}"', env={"NO_NAME_COPIES": "from here"})
    wanted = line.partition("=")[2] if "=" in line else "from here"
    assert done.stdout == f"[{wanted}]"


def test_env_option_wins_over_the_file(caisson, workdir):
    (workdir / "env").write_text("A=file\n")
    done = caisson("run", "--rm", "-e", "A=option", "--env-file", workdir / "env", "host:", "sh", "-c", "echo $A")
    assert done.stdout == "option\n"


def test_cidfile_must_not_exist(caisson, workdir):
    (workdir / "id").write_text("mine")
    done = caisson("run", "--cidfile", workdir / "id", "host:", "true")
    assert done.returncode == 125
    assert str(workdir / "id") in done.error_line()
    assert (workdir / "id").read_text() == "mine"
    assert caisson.boxes() == []


def test_quiet_output_of_commands(caisson):
    box = caisson("create", "--name", "n", "host:", "sleep", "1000", check=True)
    assert len(box.stdout.split()) == 1 and box.stderr == ""
    assert caisson("start", "n", check=True).stdout == "n\n"
    assert caisson("stop", "-t", "0", "n", check=True).stdout == "n\n"
    assert caisson("stop", "n", check=True).stdout == "n\n"  # already stopped: what was asked is so
    assert caisson("rm", "n", check=True).stdout == "n\n"


def test_stop_waits_and_then_kills(caisson):
    box = caisson.detached("sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done")
    await_log(caisson, box, "up")
    started = time.monotonic()
    caisson("stop", "-t", "1", box, check=True)
    assert 0.9 < time.monotonic() - started < 15
    exit_info = caisson.inspect(box)["exit"]
    assert (exit_info["reason"], exit_info["signal"]) == ("killed", signal.SIGKILL)


def test_wait_of_several(caisson):
    boxes = [caisson.detached("sh", "-c", f"sleep 0.{n}; exit {n}") for n in (3, 1, 2)]
    assert caisson("wait", *boxes, check=True).stdout == "3\n1\n2\n"


def test_inspect_of_several_is_one_object_a_line(caisson):
    boxes = [caisson("create", "host:", "true", check=True).stdout.strip() for _ in range(2)]
    lines = caisson("inspect", *boxes, check=True).stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == boxes


def test_control_characters_of_names_and_commands_in_tables(caisson):
    caisson("create", "-l", "l=\x1b]0;x\x07", "host:", "echo", "\x1b[2J\nnext", check=True)
    table = caisson("ps", "-a", "--no-trunc", check=True).stdout
    assert "\x1b" not in table and len(table.splitlines()) == 2


@pytest.mark.parametrize("name, check", [("bash", ["bash", "-n"]), ("zsh", ["zsh", "-n"]),
                                         ("fish", ["fish", "--no-execute"])])
def test_completion_parses(caisson, workdir, name, check):
    script = workdir / name
    script.write_text(caisson("completion", name, check=True).stdout)
    assert script.stat().st_size > 500
    if not shutil.which(check[0]):
        return  # what was printed is still the installed file, which the test of the package compares
    subprocess.run([*check, script], check=True, timeout=30, stdin=subprocess.DEVNULL)


def test_bash_completes(caisson, workdir):
    (workdir / "c").write_text(caisson("completion", "bash", check=True).stdout)
    script = (f"source {workdir}/c; COMP_WORDS=(caisson run --mem); COMP_CWORD=2; COMP_LINE='caisson run --mem';"
              "COMP_POINT=17; f=$(complete -p caisson | sed 's/.*-F \\([^ ]*\\).*/\\1/'); $f caisson --mem run;"
              "printf '%s\\n' \"${COMPREPLY[@]}\"")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30, check=False,
                          env=caisson.env)
    assert "--memory" in done.stdout.split(), done.stderr


def test_every_reason_of_bad_input_is_documented(caisson):
    """The reasons below are a promise to programs; docs/errors.md lists them."""
    for words, reason in (
            (("nowhere://x", "true"), "source_unknown"),
            (("docker://X", "true"), "reference_invalid"),
            (("dir:/no/such", "true"), "source_missing"),
            (("--isolation", "steel", "host:", "true"), "isolation_unknown"),
            (("-m", "64x", "host:", "true"), "size_invalid"),
            (("-m", "1", "host:", "true"), "limit_invalid"),
            (("--timeout", "soon", "host:", "true"), "duration_invalid"),
            (("--output-limit", "1k:x", "host:", "true"), "output_limit_invalid"),
            (("--mount", "type=magic,target=/x", "host:", "true"), "mount_invalid"),
            (("-v", "/only", "host:", "true"), "volume_invalid"),
            (("-v", "/no/such:/x", "host:", "true"), "mount_source_missing"),
            (("--tmpfs", "rel", "host:", "true"), "tmpfs_invalid"),
            (("--name", "../x", "host:", "true"), "name_invalid"),
            (("-e", "=x", "host:", "true"), "env_invalid"),
            (("-l", "=x", "host:", "true"), "label_invalid"),
            (("-w", "rel", "host:", "true"), "workdir_invalid"),
            (("-w", "/no/such", "host:", "true"), "workdir_unusable"),
            (("-u", "nosuch", "host:", "true"), "user_unknown"),
            (("-u", "70000", "host:", "true"), "user_invalid"),
            (("--hostname", "a_b!", "host:", "true"), "hostname_invalid"),
            (("--network", "moon", "host:", "true"), "network_unknown"),
            (("--profile", "x", "host:", "true"), "profile_unknown"),
            (("--stop-signal", "NOPE", "host:", "true"), "signal_invalid"),
            (("--allow-missing", "x", "host:", "true"), "limit_invalid"),
            (("--nonsense", "host:", "true"), "option_unknown"),
            (("--name",), "option_value_missing"),
            (("host:",), "command_missing"),
            (("host:", "no-such-program"), "program_not_found"),
            (("host:", "/etc/passwd"), "program_not_executable")):
        done = caisson("run", "--rm", "--json", *words)
        assert done.json()["error"]["reason"] == reason, words
        done.error_line()
    assert caisson.boxes() == []
    assert os.listdir(f"{caisson.home}/boxes") == []
