"""Pulling images that mean harm."""

import os
import threading
from pathlib import Path

from support.attack import rss_kib
from support.images import Image, Layer, busybox_image, write_layout

MOST_RSS_KIB = 64 << 10


class Watch:
    """The largest resident set of any caisson-fetch below this process, while it lasts."""

    def __enter__(self):
        self.most, self.ended = 0, threading.Event()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()
        return self

    def look(self):
        while not self.ended.wait(0.02):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    if Path(f"/proc/{pid}/comm").read_text() == "caisson-fetch\n":
                        self.most = max(self.most, rss_kib(pid))
                except (OSError, IndexError):
                    pass

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


class Trial:
    """Pulls of hostile images beside a good one that has to stay usable."""

    def __init__(self, caisson, workdir, canary):
        self.caisson, self.workdir, self.canary, self.count = caisson, workdir, canary, 0
        self.good = busybox_image()
        write_layout(workdir / "good", {"latest": self.good})
        caisson("pull", "-q", f"oci:{workdir}/good", check=True)
        caisson("image", "tag", self.good.digest, "good:1", check=True)  # no prune takes it
        self.remember()

    def remember(self):
        """What is here now is what a refused image must leave."""
        self.before = self.files()
        self.known = self.caisson("images", "-q", check=True).stdout.split()

    def forget(self, image):
        """Removes an image that was taken although it could have been refused."""
        self.caisson("rmi", image, check=True)
        assert self.files() == self.before

    def files(self):
        home = Path(self.caisson.home)
        return sorted(str(path) for pattern in ("blobs/sha256/*", "layers/*") for path in home.glob(pattern))

    def pull(self, image, timeout=60, **details):
        self.count += 1
        folder = write_layout(self.workdir / f"bad{self.count}", {"latest": image}, **details)
        return self.pull_source(f"oci:{folder}", timeout=timeout)

    def pull_source(self, source, timeout=60):
        with Watch() as watch:
            done = self.caisson("pull", "-q", source, timeout=timeout)
        self.canary.check()
        assert watch.most <= MOST_RSS_KIB, f"{watch.most} KiB resident"
        return done

    def refused(self, image, *words, **details):
        """The line. It names the layer, the image or the reference."""
        return self.check_refused(self.pull(image, **details), *words)

    def check_refused(self, done, *words):
        assert done.returncode == 1, f"status {done.returncode}: {done.stderr}"
        line = done.error_line()
        assert "sha256:" in line or str(self.workdir) in line, line
        assert "\x1b" not in line and len(line) < 6000
        for word in words:
            assert word in line, line
        assert self.caisson("images", "-q").stdout.split() == self.known
        assert self.files() == self.before
        return line

    def layer_refused(self, members, *words, **details):
        layer = members if isinstance(members, Layer) else Layer(members, "none")
        line = self.refused(Image([layer]), *words, **details)
        assert layer.digest[7:] in line, line
        return line

    def taken(self, members):
        """Pulled; the tree of its one layer on the good base."""
        image = busybox_image(members if isinstance(members, Layer) else Layer(members, "none"))
        done = self.pull(image)
        assert done.returncode == 0, done.stderr
        self.image = image
        self.remember()
        return Path(self.caisson.home) / "layers" / image.chain_ids[-1][7:]

    def run(self, script, *options):
        """Stdout of a box of the image taken last."""
        done = self.caisson("run", "--rm", "--pull", "never", *options, self.image.digest, "--", "sh", "-c", script)
        assert done.returncode == 0, done.stderr
        self.canary.check()
        return done.stdout

    def end(self):
        done = self.caisson("run", "--rm", "--pull", "never", self.good.digest, "--", "echo", "usable")
        assert done.stdout == "usable\n", done.stderr
        self.canary.check()
