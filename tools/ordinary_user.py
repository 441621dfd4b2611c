"""An ordinary user that exists for one test run."""

import fcntl
import os
import pwd
import signal
import subprocess
import time
from pathlib import Path

RANGE = 65536
LOCK = "/run/lock/caisson-test-user"


class OrdinaryUser:
    """Context manager: creates the user if absent, and then removes it again.

    The programs run under it get an environment of their own and no privilege. Test runs of one
    machine take turns: ending one ends all processes of the user it made.
    """

    def __init__(self, name, subordinate_ids):
        self.name = name
        self.subordinate_ids = subordinate_ids
        self.created = False
        self.lock = None

    def __enter__(self):
        self.lock = open(LOCK, "w", encoding="ascii")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        try:
            pwd.getpwnam(self.name)
        except KeyError:
            # useradd hands out subordinate ids only when the files exist.
            for file in ("/etc/subuid", "/etc/subgid"):
                Path(file).touch(mode=0o644)
            run("useradd", "--create-home", "--shell", "/bin/sh", self.name)
            self.created = True
        try:
            self._settle_ranges()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.created:
            self._end_processes()
            run("userdel", "--remove", "--force", self.name)
        self.lock.close()

    def prefix(self, **env):
        """The command words that start a program as this user with `env` alone."""
        entry = pwd.getpwnam(self.name)
        keep = [f"{key}={value}" for key, value in env.items()]
        return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--init-groups",
                "--inh-caps=-all", "--reset-env", "env", *keep]

    def _settle_ranges(self):
        for file, kind in (("/etc/subuid", "uids"), ("/etc/subgid", "gids")):
            ranges = ranges_of(file, self.name)
            if self.subordinate_ids and not ranges:
                start = first_free(file)
                run("usermod", f"--add-sub{kind}", f"{start}-{start + RANGE - 1}", self.name)
            elif not self.subordinate_ids and self.created:
                for start, count in ranges:
                    run("usermod", f"--del-sub{kind}", f"{start}-{start + count - 1}", self.name)

    def _end_processes(self):
        uid = pwd.getpwnam(self.name).pw_uid
        ranges = [(uid, 1), *ranges_of("/etc/subuid", self.name)]
        for _ in range(20):
            alive = [pid for pid in all_pids() if any(a <= owner(pid) < a + n for a, n in ranges)]
            if not alive:
                return
            for pid in alive:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.1)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


def all_pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def owner(pid):
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return -1


def ranges_of(file, name):
    """[(start, count)] of `name` in /etc/subuid or /etc/subgid."""
    return [(start, count) for who, start, count in entries(file) if who == name]


def first_free(file):
    return max([start + count for _, start, count in entries(file)], default=100000)


def entries(file):
    if not os.path.exists(file):
        return []
    fields = [line.strip().split(":") for line in Path(file).read_text().splitlines()]
    return [(f[0], int(f[1]), int(f[2])) for f in fields if len(f) == 3]
