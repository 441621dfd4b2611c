"""Attacking from inside a box, and watching from outside."""

import ctypes
import hashlib
import json
import os
import signal
import time
from pathlib import Path

SYSCALLS = """
import ctypes, errno, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(number, *arguments):
    ctypes.set_errno(0)
    words = [a.encode() if isinstance(a, str) else a for a in arguments]
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in words]
    result = libc.syscall(ctypes.c_long(number), *words)
    return "done" if result >= 0 else errno.errorcode[ctypes.get_errno()]
def attempt(action):
    try:
        return action()
    except OSError as error:
        return errno.errorcode[error.errno]
def write(path, text):
    def action():
        fd = os.open(path, os.O_WRONLY)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
        return "done"
    return attempt(action)
def read(path):
    def action():
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return "read " + os.read(fd, 4096).decode(errors="replace")
        finally:
            os.close(fd)
    return attempt(action)
def tell(value):
    print(json.dumps(value))
"""


def run_inside(caisson, code, *options, source="host:", **keywords):
    """Runs python `code` in a new box; what it passes to tell(). It may use call, attempt, write
    and read of above, each of which answers "done", "read TEXT" or the name of the errno."""
    done = caisson("run", "--rm", *options, source, "--", "python3", "-c", SYSCALLS + code,
                   **keywords)
    assert done.returncode == 0, f"status {done.returncode}: {done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


class Canary:
    """A directory outside that nothing may read, change or add to."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.secret = f"canary-{os.urandom(8).hex()}"
        (self.folder / "inner").mkdir(parents=True)
        self.file = self.folder / "file"
        self.file.write_text(self.secret)
        (self.folder / "inner/file").write_text(self.secret)
        (self.folder / "null").write_text(self.secret)
        self.before = self.state()

    def state(self):
        found = {}
        for path in [self.folder, *sorted(self.folder.rglob("*"))]:
            info = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            found[str(path)] = (info.st_mode, info.st_uid, info.st_gid, info.st_size,
                                info.st_mtime_ns, info.st_ctime_ns, content)
        return found

    def check(self):
        assert self.state() == self.before, "the canary was changed"


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def fingerprint(path):
    """What changes when a program is written to, replaced, or given other rights."""
    info = os.stat(path)
    return (info.st_mode, info.st_uid, info.st_size, info.st_ino, info.st_mtime_ns, digest(path),
            tuple(os.listxattr(path)))


def rss_kib(pid):
    """Resident memory of a process, peak included."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0])


def shim_of(caisson, box):
    """The process id of a box's shim: the parent of its first process."""
    init = wait_for(lambda: caisson.inspect(box).get("init_pid"), what="running box")
    return int(Path(f"/proc/{init}/stat").read_text().rpartition(")")[2].split()[1])


def wait_for(condition, seconds=10.0, what="condition"):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"no {what} within {seconds} s"
        time.sleep(0.01)
    return value


def kill_quietly(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def libc_call(number, *arguments):
    """A system call on the host; raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) for a in arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
