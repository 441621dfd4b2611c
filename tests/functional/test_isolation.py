"""The isolations without a root of their own: `process` and `host`."""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from support import host
from support.attack import wait_for
from support.boxes import await_state, descendants, refused, shim_of

pytestmark = [pytest.mark.without_subuid, pytest.mark.usefixtures("nothing_stays")]

WRAPPER = Path(__file__).resolve().parents[1] / "support/no_user_namespaces.py"


def process(caisson, *words, options=(), **keywords):
    return caisson("run", "--rm", "--isolation", "process", *options, "host:", "--", *words, **keywords)


def script(caisson, text, *options, **keywords):
    return process(caisson, "sh", "-c", text, options=options, **keywords)


def python(caisson, text, *options, **keywords):
    return process(caisson, "python3", "-c", text, options=options, **keywords)


def test_programs_of_the_host_run_and_secrets_are_out_of_reach(caisson):
    done = process(caisson, "cat", "/etc/shadow", options=("--allow-read", "/usr"))
    assert done.returncode == 1 and "Permission denied" in done.stderr
    assert python(caisson, "print(6*7)").stdout == "42\n"


def test_without_user_namespaces_too(caisson):
    done = subprocess.run(["/usr/bin/python3", WRAPPER, "EPERM", caisson.program, "run", "--rm", "--isolation",
                           "process", "--allow-read", "/usr", "host:", "--", "cat", "/etc/shadow"],
                          env=caisson.env, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
                          check=False)
    assert done.returncode == 1 and "Permission denied" in done.stderr, done.stderr


def test_a_directory_of_its_own(caisson):
    done = script(caisson, "pwd; echo x > f; cat f; mkdir d; mv f d; cat d/f; echo $HOME $TMPDIR")
    place, *rest = done.stdout.split()
    assert place.startswith(caisson.home) and rest == ["x", "x", place, place], done.stderr


def test_lists(caisson, workdir):
    (workdir / "r").mkdir()
    (workdir / "r/f").write_text("read\n")
    (workdir / "w").mkdir()
    (workdir / "x").write_text("#!/bin/sh\necho ran\n")
    (workdir / "x").chmod(0o755)
    assert script(caisson, f"cat {workdir}/r/f").returncode == 1
    allowed = ("--allow-read", workdir / "r", "--allow-write", workdir / "w", "--allow-exec", workdir / "x")
    done = script(caisson, f"cat {workdir}/r/f; {workdir}/x; echo new > {workdir}/w/n; echo bad > {workdir}/r/n;"
                           f"ls {workdir}", *allowed)
    assert done.stdout == "read\nran\n", done.stderr
    assert done.stderr.count("ermission denied") == 2
    assert (workdir / "w/n").read_text() == "new\n" and not (workdir / "r/n").exists()


def test_same_paths_as_a_container(caisson, workdir):
    """--allow-ro and --allow-rw mean the same on every isolation."""
    (workdir / "f").write_text("there\n")
    for isolation in "process", "container":
        done = caisson("run", "--rm", "--isolation", isolation, "--allow-ro", workdir, "host:", "--", "sh", "-c",
                       f"cat {workdir}/f; echo x > {workdir}/n")
        assert done.stdout == "there\n" and done.returncode != 0, (isolation, done.stderr)
    done = caisson("run", "--rm", "--isolation", "process", "--allow-rw", workdir, "host:", "--", "sh", "-c",
                   f"echo y > {workdir}/f")
    assert done.returncode == 0 and (workdir / "f").read_text() == "y\n"


def test_attributes_follow_the_lists(caisson, workdir):
    """Landlock has no right for modes, times and attributes of files."""
    secret = workdir / "secret"
    secret.write_text("s")
    secret.chmod(0o600)
    (workdir / "w").mkdir()
    before = secret.stat()
    done = python(caisson, f"""
import os
os.chdir({str(workdir / 'w')!r})
def tries(name, action):
    try:
        action(); print(name, 'done')
    except OSError as error:
        print(name, error.strerror)
open('f', 'w').close()
for path in 'f', {str(secret)!r}:
    tries('chmod', lambda: os.chmod(path, 0o640))
    tries('utime', lambda: os.utime(path, (1, 2)))
    tries('chown', lambda: os.chown(path, os.getuid(), -1))
os.symlink({str(secret)!r}, 'way')
tries('way', lambda: os.chmod('way', 0o777))
fd = os.open('f', os.O_RDONLY)
tries('fchmod', lambda: os.fchmod(fd, 0o751))
tries('futimens', lambda: os.utime(fd))
print(oct(os.stat('f').st_mode))
""", "--allow-write", workdir / "w")
    assert done.stdout.splitlines() == [
        "chmod done", "utime done", "chown done", "chmod Permission denied", "utime Permission denied",
        "chown Permission denied", "way Permission denied", "fchmod done", "futimens done", "0o100751"], done.stderr
    after = secret.stat()
    assert (after.st_mode, after.st_mtime_ns) == (before.st_mode, before.st_mtime_ns)


def test_no_file_gives_the_ids_away(caisson):
    done = python(caisson, """
import os
def tries(action):
    try:
        action(); print('done')
    except OSError as error:
        print(error.strerror)
open('f', 'w').close()
tries(lambda: os.chmod('f', 0o4755))
tries(lambda: os.close(os.open('g', os.O_CREAT | os.O_WRONLY, 0o6755)))
tries(lambda: os.close(os.open('.', os.O_TMPFILE | os.O_WRONLY, 0o4755)))
tries(lambda: os.mknod('h', 0o102755))
tries(lambda: os.mkdir('d', 0o2755))
tries(lambda: os.close(os.open('i', os.O_CREAT | os.O_WRONLY, 0o755)))
""")
    assert done.stdout.splitlines() == ["Operation not permitted"] * 4 + ["done"] * 2, done.stderr


def test_ports(caisson):
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as other:
        allowed, forbidden = server.getsockname()[1], other.getsockname()[1]
        code = f"""
import socket
for port in {allowed}, {forbidden}:
    try:
        socket.create_connection(('127.0.0.1', port), 5).close(); print('connected')
    except OSError as error:
        print(error.strerror)
for kind in socket.SOCK_DGRAM, socket.SOCK_RAW:
    try:
        socket.socket(socket.AF_INET, kind); print('made')
    except OSError as error:
        print(error.strerror)
"""
        done = python(caisson, code, "--allow-connect-port", allowed)
        assert done.stdout.splitlines() == ["connected", *["Permission denied"] * 3], done.stderr
        assert "connected" not in python(caisson, code).stdout


def test_ports_by_other_ways(caisson):
    """TCP Fast Open, MPTCP, listening without a port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = f"""
import socket
def tries(action):
    try:
        action(); print('done')
    except OSError as error:
        print('refused')
address = ('127.0.0.1', {server.getsockname()[1]})
tries(lambda: socket.socket().sendto(b'x', 0x20000000, address))
tries(lambda: socket.socket().sendmsg([b'x'], [], 0x20000000, address))
tries(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262).connect(address))
tries(lambda: socket.socket().listen())
a, b = socket.socketpair()
tries(lambda: a.bind(b'\\0caisson-test'))
"""
        for options in ((), ("--network", "host")):
            done = python(caisson, code, "--allow-connect-port", "1", *options)
            assert done.stdout.split() == ["refused"] * 5, (options, done.stdout, done.stderr)
        assert python(caisson, "import socket; socket.socket().listen(); print('done')", "--network",
                      "host").stdout == "done\n"


def test_what_needs_no_right_to_write(caisson, workdir):
    """Leases and notes on files, flags of inodes."""
    (workdir / "f").write_text("x")
    done = python(caisson, f"""
import fcntl, signal, struct
signal.signal(signal.SIGIO, signal.SIG_IGN)
f = open({str(workdir / 'f')!r})
for action in (lambda: fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_WRLCK),
               lambda: fcntl.fcntl(f, fcntl.F_NOTIFY, fcntl.DN_CREATE),
               lambda: fcntl.ioctl(f, 0x40086602, struct.pack('l', 0xc0)),
               lambda: fcntl.ioctl(f, 0x401c5820, bytes(28))):
    try:
        action(); print('done')
    except OSError as error:
        print(error.errno)
""", "--allow-read", workdir)
    assert done.stdout.split() == ["1"] * 4, done.stderr


def test_a_box_cannot_widen_its_lists(caisson, workdir):
    """What an earlier run put in place of an allowed path is not followed."""
    (workdir / "w/sub").mkdir(parents=True)
    (workdir / "secret").mkdir()
    (workdir / "secret/f").write_text("secret")
    box = caisson("create", "--isolation", "process", "--allow-write", workdir / "w", "--allow-read",
                  workdir / "w/sub", "host:", "--", "sh", "-c",
                  f"cat {workdir}/w/sub/f; rmdir {workdir}/w/sub; ln -s {workdir}/secret {workdir}/w/sub",
                  check=True).stdout.strip()
    caisson("start", "-a", box)
    assert (workdir / "w/sub").is_symlink()
    done = caisson("start", "-a", box)
    assert done.returncode == 125 and "secret" not in done.stdout and "symbolic link" in done.stderr


def test_neighbours_are_left_alone(caisson):
    """Signals, limits and traces of processes of the same user."""
    with subprocess.Popen(["sleep", "60"]) as victim:
        try:
            done = python(caisson, f"""
import os, resource, signal
def tries(action):
    try:
        action(); print('done')
    except OSError as error:
        print(error.strerror)
tries(lambda: os.kill({victim.pid}, signal.SIGTERM))
tries(lambda: resource.prlimit({victim.pid}, resource.RLIMIT_CORE, (0, 0)))
tries(lambda: os.setpriority(os.PRIO_PROCESS, {victim.pid}, 19))
tries(lambda: open('/proc/{victim.pid}/environ').read())
""")
            assert done.stdout.splitlines().count("done") == 0, done.stdout
            assert victim.poll() is None
        finally:
            victim.kill()


def test_exec_pause_stats_and_files(caisson, workdir):
    box = caisson("run", "-d", "--isolation", "process", "--name", "p", "host:", "--", "sh", "-c",
                  "while :; do date +%s%N > tick; sleep 0.02; done", check=True).stdout.strip()
    place = Path(caisson.inspect(box)["spec"].get("workdir") or f"{caisson.home}/boxes/{box}/workspace")
    wait_for(lambda: (place / "tick").exists())
    assert caisson("exec", box, "--", "sh", "-c", "cat /etc/shadow || echo no").stdout == "no\n"
    caisson("pause", box, check=True)
    before = (place / "tick").read_text()
    time.sleep(0.2)
    assert (place / "tick").read_text() == before
    caisson("resume", box, check=True)
    wait_for(lambda: (place / "tick").read_text() not in ("", before))
    assert json.loads(caisson("stats", "--json", box, check=True).stdout)
    (workdir / "in").write_text("copied\n")
    caisson("cp", workdir / "in", f"{box}:{place}/in", check=True)
    assert (place / "in").read_text() == "copied\n"
    assert caisson("cp", f"{box}:/etc/shadow", workdir / "out").returncode != 0
    assert not (workdir / "out").exists()


def test_every_process_ends_with_the_box(caisson):
    """Orphans too: double forks, new sessions, ignored signals."""
    box = caisson("run", "-d", "--isolation", "process", "host:", "--", "sh", "-c",
                  "trap '' TERM; (setsid sh -c 'trap \"\" TERM HUP; sleep 1000 & sleep 1000' &) ; sleep 1000",
                  check=True).stdout.strip()
    wait_for(lambda: sum(name == "sleep" for _, name in descendants().values()) >= 3)
    caisson("kill", box, check=True)
    await_state(caisson, box, "stopped")
    assert not any(name == "sleep" for _, name in descendants().values())


@pytest.mark.parametrize("who", ["shim", "init"])
def test_no_orphan_when_who_watches_is_killed(caisson, who):
    box = caisson("run", "-d", "--isolation", "process", "host:", "--", "sh", "-c",
                  "(setsid sleep 1000 &) ; sleep 1000", check=True).stdout.strip()
    wait_for(lambda: sum(name == "sleep" for _, name in descendants().values()) == 2)
    pid = shim_of(caisson, box) if who == "shim" else caisson.inspect(box)["init_pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(name == "sleep" for _, name in descendants().values()))
    await_state(caisson, box, "stopped")


def test_a_fork_bomb_ends(caisson):
    started = time.monotonic()
    done = python(caisson, "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass", "--pids", "64",
                  "--allow-missing", "pids", "--timeout", "2s")
    assert done.returncode == 124 and time.monotonic() - started < 30


def test_the_answers_where_nothing_can_be_done(caisson):
    box = caisson("create", "--isolation", "process", "host:", "true", check=True).stdout.strip()
    for words in ("snapshot", "create", box), ("fork", box), ("diff", box), ("commit", box), ("export", box):
        done = caisson(*words, "-o", "/dev/null") if words[0] == "export" else caisson(*words)
        assert done.returncode != 0 and "isolation 'process'" in done.error_line(), words
    for options, word in ((("-u", "1"), "user"), (("--hostname", "h"), "hostname"), (("--tmpfs", "/t"), "mount"),
                          (("-v", "/usr:/x"), "mount"), (("--disk", "1m"), "disk"), (("--protect", "a"), "protected"),
                          (("--security", "seccomp=unconfined"), "policy"),
                          (("--security", "no-new-privileges=false"), "privileges")):
        refused(caisson("run", "--isolation", "process", *options, "host:", "true"), word, "process")
    refused(caisson("run", "--isolation", "process", "alpine", "true"), "source", "host:")
    refused(caisson("run", "--allow-read", "/usr", "host:", "true"), "allowed paths", "container")
    refused(caisson("run", "--isolation", "process", "--allow-read", "/no/such", "host:", "true"), "/no/such")


def test_host_is_told_apart_everywhere(caisson, workdir):
    box = caisson("run", "-d", "--isolation", "host", "--name", "h", "host:", "--", "sleep", "1000",
                  check=True).stdout.strip()
    assert caisson("exec", box, "--", "sh", "-c", "cat /etc/shadow >/dev/null && id -u").stdout.strip() == \
        ("0" if host.IS_ROOT else "")
    events = [json.loads(line) for line in caisson("audit", box, check=True).stdout.splitlines()]
    assert any("host" == event.get("details", event).get("isolation") for event in events), events
    listed = subprocess.run(["script", "-qec", f"{caisson.program} ps", "/dev/null"], env=caisson.env, text=True,
                            capture_output=True, timeout=60, check=False).stdout
    line = next(line for line in listed.splitlines() if " h " in line)
    assert "\x1b[31m" in line and "host" in line, listed
    caisson("kill", box, check=True)


def test_host_enforces_what_is_listed(caisson, workdir):
    (workdir / "f").write_text("x")
    assert caisson("run", "--rm", "--isolation", "host", "host:", "--", "cat", workdir / "f").stdout == "x"
    done = caisson("run", "--rm", "--isolation", "host", "--allow-read", "/usr", "host:", "--", "cat", workdir / "f")
    assert done.returncode == 1 and "Permission denied" in done.stderr


def test_the_environment_starts_empty(caisson):
    for isolation in "process", "host":
        done = caisson("run", "--rm", "--isolation", isolation, "-e", "A=1", "host:", "--", "env",
                       env={"CANARY": "leaked"})
        names = {line.partition("=")[0] for line in done.stdout.splitlines()}
        assert names <= {"A", "PATH", "HOME", "TMPDIR", "PWD", "SHLVL", "_"} and "A" in names


def test_only_three_descriptors(caisson):
    done = python(caisson, "import os; print([fd for fd in range(3, 200) if os.path.exists(f'/proc/self/fd/{fd}')])")
    assert done.stdout.strip() in ("[]", "[3]"), done.stdout


def test_plan_is_printed(caisson):
    text = caisson("debug", "plan", "--isolation", "process", "--allow-write", "/tmp", "host:", "true",
                   check=True).stdout
    assert "landlock" in text and "read write /tmp" in text
    text = caisson("debug", "plan", "--isolation", "host", "host:", "true", check=True).stdout
    assert "NOT ISOLATED" in text
