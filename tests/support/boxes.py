"""Finding a box's processes from outside, and waiting for what it does."""

import os
import time


def await_state(caisson, box, *states, seconds=20):
    """The record of `box` once it is in one of `states`."""
    deadline = time.monotonic() + seconds
    while (info := caisson.inspect(box))["state"] not in states:
        assert time.monotonic() < deadline, f"{info['state']}, not {' or '.join(states)}"
        time.sleep(0.05)
    return info


def await_log(caisson, box, text, seconds=20):
    deadline = time.monotonic() + seconds
    while text not in caisson("logs", box).stdout:
        assert time.monotonic() < deadline, f"'{text}' is not in the log"
        time.sleep(0.05)


def descendants(parent=None):
    """{pid: (parent, name)} of everything below this process (which adopts orphans)."""
    parent = parent or os.getpid()
    found = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                text = file.read()
        except OSError:
            continue
        rest = text.rpartition(")")[2].split()
        if rest[0] not in "ZX":
            found[int(name)] = (int(rest[1]), text.partition("(")[2].rpartition(")")[0])
    below, grew = {parent}, True
    while grew:
        more = {pid for pid, (above, _) in found.items() if above in below} - below
        below |= more
        grew = bool(more)
    return {pid: found[pid] for pid in below if pid in found and pid != parent}


def shim_of(caisson, box):
    """The process that watches the running box: the parent of its init."""
    init = await_state(caisson, box, "running")["init_pid"]
    with open(f"/proc/{init}/stat", encoding="utf-8", errors="replace") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def refused(done, *words):
    """Caisson's own failure, in one line that has these words."""
    assert done.returncode == 125
    for word in words:
        assert word in done.error_line(), done.error_line()
