"""Pulls as tests look at them: what a failed one says, what is visible afterwards, and what memory
its processes took."""

import json
import threading
import time
from pathlib import Path

from support.boxes import descendants

FETCH_RSS_KIB = 64 * 1024


def visible(caisson):
    """What a home shows of images: their ids, and the names of published blobs and trees."""
    home = Path(caisson.home)
    files = [path for folder in ("blobs/sha256", "layers")
             for path in (home / folder).glob("*")]
    ids = caisson("images", "-q", "--no-trunc", check=True).stdout.split()
    return sorted(ids), sorted(str(path.relative_to(home)) for path in files)


def pull_fails(caisson, source, reason, *words, timeout=60):
    """A pull that is refused with `reason`, in one line that names what `words` say, after which
    nothing more is visible than before."""
    before = visible(caisson)
    done = caisson("pull", "--json", source, timeout=timeout)
    assert done.returncode == 1, f"status {done.returncode}: {done.stdout}{done.stderr}"
    error = done.json()["error"]
    assert error["reason"] == reason, error
    for word in words:
        assert word in error["message"], error["message"]
    line = done.error_line()
    assert error["message"] in line and "\x1b" not in line
    assert visible(caisson) == before, "a pull that failed left something visible"
    return error


def fsck(caisson):
    done = caisson("image", "fsck", "--json")
    return done.json()["problems"]


class FetchMemory:
    """The largest peak of memory that any process named caisson-fetch below us has had.

        with FetchMemory() as memory:
            caisson("pull", ...)
        assert memory.kib <= FETCH_RSS_KIB
    """

    def __enter__(self):
        self.kib, self.seen = 0, set()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def _watch(self):
        while not self.over.is_set():
            for pid, (_, name) in descendants().items():
                if name.startswith("caisson-fetch"):
                    self.seen.add(pid)
                    self.kib = max(self.kib, self._peak(pid))
            time.sleep(0.005)

    @staticmethod
    def _peak(pid):
        try:
            text = Path(f"/proc/{pid}/status").read_text()
            return int(text.split("VmHWM:")[1].split()[0])
        except (OSError, IndexError):
            return 0  # it has ended


def last_line(done):
    return json.loads(done.stdout.splitlines()[-1])
