"""The kernel's surface from inside, against the reviewed lists in tests/golden."""

import errno
import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from support.attack import run_inside

pytestmark = pytest.mark.without_subuid

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
PROFILES = ["minimal", "standard", "full"]
# Refused whatever a program's profile: {name: number on x86-64}.
NEVER = {"unshare": 272, "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155, "move_mount": 429,
         "open_tree": 428, "fsopen": 430, "fsmount": 432, "mount_setattr": 442, "add_key": 248,
         "request_key": 249, "keyctl": 250, "userfaultfd": 323, "io_uring_setup": 425, "io_uring_enter": 426,
         "io_uring_register": 427, "bpf": 321, "perf_event_open": 298, "kexec_load": 246, "kexec_file_load": 320,
         "open_by_handle_at": 304, "init_module": 175, "finit_module": 313, "delete_module": 176, "reboot": 169,
         "swapon": 167, "acct": 163, "iopl": 172, "ioperm": 173, "settimeofday": 164, "clock_settime": 227,
         "fanotify_init": 300, "move_pages": 279, "syslog": 103, "sethostname": 170}
NOT_IN_STANDARD = {"ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "pidfd_getfd": 438, "kcmp": 312,
                   "modify_ldt": 154}


def golden(profile):
    """{number: verdict} of the calls, and {(family, type): verdict} of sockets with protocol 0."""
    calls, sockets = {}, {}
    for line in (GOLDEN / f"seccomp_{profile}.txt").read_text().splitlines():
        name, *rest = line.split()
        if len(rest) == 2 and rest[0].isdigit():
            calls[int(rest[0])] = rest[1]
        elif name.startswith("socket("):
            family, kind, protocol = (word.strip("socket(,)") for word in (name, *rest[:2]))
            if family.isdigit() and protocol == "0":
                sockets[int(family), int(kind)] = rest[2]
    return calls, sockets


@pytest.fixture
def inside(caisson, programs):
    def run(*words, options=(), **keywords):
        return caisson("run", "--rm", "-v", f"{programs}:/programs:ro", *options, "host:", "--",
                       f"/programs/{words[0]}", *words[1:], **keywords)
    return run


@pytest.mark.parametrize("profile", PROFILES)
def test_sweep_of_the_whole_table(inside, profile):
    """Every call that the list does not allow answers as the list says, and none of them kills."""
    calls, _ = golden(profile)
    refused = {number: verdict for number, verdict in calls.items() if verdict in ("EPERM", "ENOSYS")}
    assert len(refused) > 100
    done = inside("sweep", *map(str, refused), options=("--profile", profile))
    answers = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    wanted = {str(number): str(getattr(errno, verdict)) for number, verdict in refused.items()}
    assert {n: a for n, a in answers.items() if wanted[n] != a} == {}
    assert set(answers) == set(wanted)


@pytest.mark.parametrize("profile", PROFILES)
def test_dangerous_calls_are_refused(inside, profile):
    calls = NEVER | (NOT_IN_STANDARD if profile != "full" else {})
    done = inside("sweep", *map(str, calls.values()), options=("--profile", profile))
    answers = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert {name: answers[str(number)] for name, number in calls.items()
            if answers[str(number)] != str(errno.EPERM)} == {}


def test_numbers_beyond_the_table_are_absent(inside):
    numbers = [str(n) for n in (*range(470, 600), 0x3fffffff, 1 << 29)]
    done = inside("sweep", *numbers)
    assert {line.split(" ", 1)[1] for line in done.stdout.splitlines()} == {str(errno.ENOSYS)}


@pytest.mark.parametrize("profile", PROFILES)
def test_socket_families(inside, profile):
    _, listed = golden(profile)
    done = inside("sockets", options=("--profile", profile))
    answers = {}
    for line in done.stdout.splitlines():
        family, kind, error = map(int, line.split())
        answers[family, kind] = error
    assert len(answers) == 46 * 5
    assert {family for (family, _), error in answers.items() if error == 0} <= {1, 2, 10, 16}
    assert all(answers[key] == getattr(errno, verdict) for key, verdict in listed.items()
               if verdict != "ALLOW" and key in answers)
    for family in (2, 10):
        assert answers[family, 3] == errno.EPERM, "a raw socket"


def test_netlink_speaks_of_routes_only(caisson):
    found = run_inside(caisson, """
import socket
tell({protocol: attempt(lambda: socket.socket(16, 3, protocol).close() or "done") for protocol in range(25)})
""")
    assert [protocol for protocol, how in found.items() if how == "done"] == ["0"]


@pytest.mark.parametrize("door", ["int80", "int80-socket", "x32"])
@pytest.mark.parametrize("profile", PROFILES)
def test_other_doors_into_the_kernel_kill(inside, programs, profile, door):
    outside = subprocess.run([f"{programs}/legacy", door], capture_output=True, check=False).returncode
    done = inside("legacy", door, options=("--profile", profile))
    assert done.stdout == ""
    # On a machine without the door nobody can go through it.
    assert done.returncode == 128 + (signal.SIGSEGV if outside == -signal.SIGSEGV else signal.SIGSYS)


@pytest.mark.parametrize("words", [["-i", "-t"], ["-t"]])
def test_typing_into_the_terminal_is_refused(caisson, programs, words):
    controller, terminal = pty.openpty()
    process = caisson.popen("run", "--rm", *words, "-v", f"{programs}:/programs:ro", "host:", "--", "/programs/inject",
                            stdin=terminal, stdout=subprocess.PIPE, stderr=terminal, start_new_session=True)
    out, _ = process.communicate(timeout=30)
    os.close(terminal)
    os.close(controller)
    lines = [line.split() for line in out.decode().splitlines() if line.startswith("0x")]
    assert len(lines) == 6
    assert {code for _, code in lines} == {str(errno.EPERM)}, lines


def test_callers_terminal_is_not_the_boxes(caisson):
    """Without -t a box has no terminal at all, even if the caller has one."""
    controller, terminal = pty.openpty()
    process = caisson.popen("run", "--rm", "host:", "--", "sh", "-c", "echo x > /dev/tty; ps -o tty= -p $$; ls /dev/pts",
                            stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
    out, _ = process.communicate(timeout=30)
    os.close(terminal)
    os.close(controller)
    assert out.split() == [b"?", b"ptmx"]


@pytest.mark.parametrize("profile", PROFILES)
def test_first_process_cannot_be_traced(caisson, profile):
    found = run_inside(caisson, """
import ctypes
buffer = ctypes.create_string_buffer(64)
vector = (ctypes.c_ulong * 2)(ctypes.addressof(buffer), 64)
where = ctypes.addressof(vector)
fd = libc.syscall(434, 1, 0)
tell({"attach": call(101, 16, 1, 0, 0), "seize": call(101, 0x4206, 1, 0, 0), "peek": call(101, 1, 1, 0, 0),
      "readv": call(310, 1, where, 1, where, 1, 0), "writev": call(311, 1, where, 1, where, 1, 0),
      "getfd": call(438, fd, 0, 0), "kcmp": call(312, 1, os.getpid(), 1, 0, 0)})
""", "--profile", profile)
    assert found.pop("peek") in ("EPERM", "ESRCH")
    assert set(found.values()) == {"EPERM"}, found


@pytest.mark.parametrize("seccomp", [[], ["--security", "seccomp=unconfined"]])
def test_first_process_cannot_be_signalled(caisson, seccomp):
    box = caisson.detached("sleep", "1000", options=seccomp)
    for target in ("1", "-1"):
        names = "HUP INT QUIT ILL KILL USR1 SEGV TERM STOP SYS" if target == "1" else "STOP"
        script = f"for s in {names}; do kill -$s {target}; done"
        caisson("exec", "--timeout", "5s", box, "--", "sh", "-c", script)
        assert caisson("exec", box, "--", "echo", "alive").stdout == "alive\n"
    caisson("rm", "-f", box, check=True)


def test_signals_reach_no_process_of_the_host(caisson):
    with subprocess.Popen(["sleep", "1000"]) as canary:
        caisson.sh(f"kill -9 {canary.pid}; kill -9 -1", "--profile", "full", timeout=30)
        for target in range(canary.pid - 3, canary.pid + 3):
            assert caisson.sh(f"kill -0 {target}").returncode != 0
        alive = canary.poll() is None
        canary.kill()
    assert alive


def test_limits_set_on_the_first_process_harm_the_box_alone(caisson):
    """The first process has the id of the box's root, who may take its descriptors away."""
    script = """
import resource, subprocess, time
for what in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_AS):
    try:
        resource.prlimit(1, what, (0, 0))
    except (OSError, ValueError):
        pass
subprocess.Popen(["sh", "-c", "(sleep 0.1 &)"])
time.sleep(1000)
"""
    done = caisson("run", "--rm", "--json", "--timeout", "3s", "host:", "--", "python3", "-c", script, timeout=30)
    assert done.json()["reason"] in ("timeout", "signaled", "killed")
    box = caisson.detached("python3", "-c", script)
    for _ in range(3):
        caisson("exec", "--timeout", "2s", box, "--", "true", timeout=20)
        caisson("kill", "-s", "USR1", box, timeout=20)
    caisson("rm", "-f", box, check=True, timeout=20)
