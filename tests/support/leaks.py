"""Finds what a test left behind outside its home: processes, mounts, cgroups, namespaces, loop
devices and sockets.

The test process adopts orphans (PR_SET_CHILD_SUBREAPER), so whatever a test started stays its
descendant, however it detaches. Only descendants count as stray processes and only they are ever
ended: other programs of this machine, boxes of another run among them, are never touched. The rest
is recognised by the home's path or its boxes' ids.
"""

import ctypes
import glob
import os
import signal
import time

from support import host

GRACE_SECONDS = 5.0  # the kernel and the shim may finish after the client has ended
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Makes this process the parent of every descendant whose own parent ends."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


class Snapshot:
    """The state before a test."""

    def __init__(self):
        self.processes = set(processes())
        self.cgroups = set(box_cgroups())


def processes():
    """{(pid, start time): parent pid} of everything that runs; a zombie does not."""
    return {(pid, start): parent for pid, start, parent, state in all_processes() if state not in "ZX"}


def all_processes():
    for name in filter(str.isdigit, os.listdir("/proc")):
        fields = read(f"/proc/{name}/stat").rpartition(")")[2].split()
        if fields:
            yield int(name), int(fields[19]), int(fields[1]), fields[0]


def reap_adopted():
    """Takes the status of adopted processes that have ended."""
    for pid, _, parent, state in all_processes():
        if state == "Z" and parent == os.getpid():
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""


def box_cgroups():
    """Directories of boxes in every hierarchy this user can see."""
    patterns = ["/sys/fs/cgroup/caisson/*", "/sys/fs/cgroup/*/caisson/*"]
    for line in read("/proc/self/cgroup").splitlines():
        own = line.split(":", 2)[2].strip("/")
        while own:
            patterns += [f"/sys/fs/cgroup/{own}/caisson/*", f"/sys/fs/cgroup/*/{own}/caisson/*"]
            own = own.rpartition("/")[0]
    return {path for pattern in patterns for path in glob.glob(pattern) if os.path.isdir(path)}


def is_descendant(pid, parents):
    while pid := parents.get(pid, 0):
        if pid == os.getpid():
            return True
    return False


class LeakCheck:
    """What the home at `home` with the boxes `ids` has left since `before`."""

    def __init__(self, home, ids, before):
        self.home = os.path.realpath(home)
        self.needles = [self.home, *ids]
        self.ids = set(ids)
        self.before = before
        self.stray = {}  # pid -> start time, for kill_stray

    def find(self):
        """Descriptions of the leftovers that are still there after a time to go. What comes and
        goes meanwhile, such as another run's boxes, is none."""
        deadline = time.monotonic() + GRACE_SECONDS
        pause = 0.01
        left = None
        while True:
            reap_adopted()
            found = [*self._processes(), *self._mounts(), *self._cgroups(), *self._others()]
            left = found if left is None else [item for item in left if item in found]
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(pause)
            pause = min(pause * 2, 0.25)

    def kill_stray(self):
        """Ends the processes that the last find() named; all are descendants of this one."""
        for pid, start in self.stray.items():
            if (pid, start) in processes():
                try:
                    os.kill(pid, signal.SIGKILL)
                except OSError:
                    pass

    def _ours(self, text):
        return any(needle in text for needle in self.needles)

    def _processes(self):
        self.stray = {}
        running = processes()
        parents = {pid: parent for (pid, _), parent in running.items()}
        for pid, start in running:
            if (pid, start) in self.before.processes or not is_descendant(pid, parents):
                continue
            self.stray[pid] = start
            words = read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()
            yield f"process {pid} ({words or read(f'/proc/{pid}/comm').strip()})"

    def _mounts(self):
        seen = set()
        for pid, _ in processes():
            namespace = link(f"/proc/{pid}/ns/mnt")
            if namespace in seen:
                continue
            seen.add(namespace)
            for line in read(f"/proc/{pid}/mountinfo").splitlines():
                if self._ours(line):
                    yield f"mount in the namespace of process {pid}: {line}"

    def _cgroups(self):
        for path in sorted(box_cgroups()):
            new = path not in self.before.cgroups and os.access(path, os.W_OK)
            if os.path.basename(path) in self.ids or new and not read(f"{path}/cgroup.procs"):
                yield f"cgroup {path}"

    def _others(self):
        for path in glob.glob("/sys/block/loop*/loop/backing_file"):
            if self._ours(text := read(path).strip()):
                yield f"loop device {path.split('/')[3]} on {text}"
        for line in read("/proc/net/unix").splitlines():
            if self._ours(line):
                yield f"unix socket {line.split()[-1]}"
        runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.geteuid()}")
        for folder in ("/run/caisson", f"{runtime}/caisson", "/dev/shm", "/tmp"):
            for path in glob.glob(f"{glob.escape(folder)}/*"):
                if os.path.realpath(path) != self.home and self._ours(os.path.basename(path)):
                    yield f"file {path}"
