"""Bytes of a box or of its maker never act on the terminal of whoever looks."""

import json
import os
import pty
import subprocess

import pytest

pytestmark = pytest.mark.without_subuid

EVIL = ["\x1b]0;title\x07", "\x1b[2J\x1b[1;1H", "\x1b[6n", "\r overwritten", "a\nb", "\x9b31m", "\x1bP+q\x1b\\",
        "\u202ereversed", "\x08\x08\x08", "\x7f", "\t"]


def acts(data):
    """Whether bytes hold anything that a terminal acts on, lines apart."""
    text = data.decode("utf-8", errors="surrogateescape")
    return any(ord(c) < 0x20 and c != "\n" or 0x7f <= ord(c) < 0xa0 or 0xdc80 <= ord(c) <= 0xdc9f or
               c in "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069" for c in text)


def on_terminal(caisson, *words):
    """What the command shows on a terminal."""
    controller, terminal = pty.openpty()
    process = caisson.popen(*words, stdin=subprocess.DEVNULL, stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = b""
    while True:
        try:
            data = os.read(controller, 65536)
        except OSError:
            break
        if not data:
            break
        shown += data
    process.wait(timeout=30)
    os.close(controller)
    return shown.replace(b"\r\n", b"\n")


@pytest.mark.parametrize("evil", EVIL)
def test_tables_and_records(caisson, evil):
    box = caisson("create", "-l", f"k{evil}={evil}", "-e", f"E={evil}", "host:", "echo", evil,
                  check=True).stdout.strip()
    for words in (("ps", "-a"), ("ps", "-a", "--no-trunc"), ("ps", "-a", "--json"), ("inspect", box), ("stats", box)):
        done = caisson(*words, binary=True)
        assert not acts(done.stdout + done.stderr), (words, done.stdout)
    info = caisson.inspect(box)
    assert info["spec"]["command"] == ["echo", evil]
    assert len(caisson("ps", "-a", check=True).stdout.splitlines()) == 2


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("words", [("run", "--rm", "host:", "EVIL"), ("run", "host:", "--", "EVIL/EVIL"),
                                   ("inspect", "EVIL"), ("run", "EVIL", "true"), ("run", "-w", "/EVIL", "host:", "true"),
                                   ("run", "-u", "EVIL", "host:", "true"), ("run", "-v", "/EVIL:/x", "host:", "true"),
                                   ("run", "--EVIL", "host:", "true"), ("EVIL",), ("run", "dir:/EVIL", "true"),
                                   ("run", "--memory", "EVIL", "host:", "true"), ("exec", "EVIL", "true"),
                                   ("run", "--env-file", "/EVIL", "host:", "true")])
def test_errors(caisson, evil, words):
    done = caisson(*(word.replace("EVIL", evil) for word in words), binary=True)
    assert done.returncode != 0
    assert not acts(done.stdout + done.stderr), done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_bytes_that_are_not_text(caisson):
    box = caisson("create", "host:", "echo", check=True).stdout.strip()
    done = subprocess.run([caisson.program.encode(), b"run", b"host:", b"\xff\x9b31m\x80"], env=caisson.env,
                          capture_output=True, timeout=30, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 127
    assert not acts(done.stderr)
    for words in (("ps", "-a"), ("ps", "-a", "--json"), ("inspect", box)):
        assert not acts(caisson(*words, binary=True, check=True).stdout)
    for line in caisson("ps", "-a", "--json", check=True).stdout.splitlines():
        json.loads(line)


def test_output_is_not_touched_in_a_pipe(caisson):
    done = caisson("run", "host:", "printf", "\\033]0;x\\007\\377", binary=True)
    assert done.stdout == b"\x1b]0;x\x07\xff"
    assert caisson("logs", caisson.boxes()[0], binary=True).stdout == b"\x1b]0;x\x07\xff"


def test_logs_are_shown_harmless_on_a_terminal(caisson):
    caisson("run", "host:", "sh", "-c", "printf '\\033]0;x\\007\\233one\\rtwo\\n\\tthree \\303\\251\\n'", check=True)
    shown = on_terminal(caisson, "logs", caisson.boxes()[0])
    assert not acts(shown.replace(b"\t", b"")), shown
    assert b"one" in shown and b"three \xc3\xa9\n" in shown


def test_tables_on_a_terminal(caisson):
    caisson("create", "host:", "echo", "".join(EVIL), check=True)
    for words in (("ps", "-a"), ("inspect", caisson.boxes()[0]), ("debug", "plan", "host:", "echo", EVIL[0])):
        shown = on_terminal(caisson, *words)
        assert shown and not acts(shown), shown


def test_names_inside_a_box_do_not_act(caisson, image):
    """File names of an image stand in errors too."""
    (image / "bin\x1b]0;x\x07").symlink_to("/nowhere")
    done = caisson("run", "-w", "/bin\x1b]0;x\x07", f"dir:{image}", "true", binary=True)
    assert done.returncode == 125
    assert not acts(done.stderr)
