"""Snapshots, restoring and forks of a box with 100 MB of changes, on a file system that copies (the
home's own) and on one that shares blocks (XFS in a loop file), beside podman commit + podman run;
and how long a home with 1,000 dead boxes takes to open.
"""

import os
import shutil
import sqlite3
import statistics
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from table import Table

ROOT = Path(__file__).resolve().parent.parent
CAISSON = ROOT / "build" / "release" / "bin" / "caisson"
FILL = "head -c 100M /dev/urandom > /workspace/data; sync"
DEAD = 1000


def run(*words, env=None):
    return subprocess.run([str(word) for word in words], check=True, stdin=subprocess.DEVNULL, env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True).stdout.strip()


def timed(*words, env=None):
    began = time.perf_counter()
    out = run(*words, env=env)
    return (time.perf_counter() - began) * 1000, out


@contextmanager
def xfs(folder):
    image, mount = folder / "xfs", folder / "mount"
    mount.mkdir()
    run("truncate", "-s", "4G", image)
    run("mkfs.xfs", "-q", image)
    run("mount", "-o", "loop", image, mount)
    try:
        yield mount
    finally:
        run("umount", "-l", mount)


class Home:
    def __init__(self, folder):
        self.env = {"CAISSON_HOME": str(folder / "home"), "PATH": os.environ["PATH"], "HOME": "/nonexistent"}

    def __call__(self, *words):
        return timed(CAISSON, *words, env=self.env)

    def clear(self):
        boxes = self("ps", "-aq")[1].split()
        if boxes:
            self("rm", "-f", *boxes)


def operations(home, rounds):
    """{what: median in ms}, of a box that runs and has 100 MB of its own."""
    box = home("run", "-d", "host:", "sleep", "100000")[1]
    samples = {"snapshot, it runs": [], "fork x 1": [], "fork x 100": [], "restore": [], "attached again (exec true)": [],
               "snapshot, it is stopped": [], "cp of 100 MB into it": [], "cp of 100 MB out of it": [],
               "cp of one byte, it is stopped": []}
    for number in range(rounds):
        home("exec", box, "--", "sh", "-c", FILL)  # whatever snapshots have made a layer of
        samples["snapshot, it runs"].append(home("snapshot", "create", box, f"s{number}")[0])
        samples["attached again (exec true)"].append(home("exec", box, "true")[0])
        for count in (1, 100):
            took, ids = home("fork", "--no-start", "--count", str(count), box)
            samples[f"fork x {count}"].append(took)
            home("rm", *ids.split())
        samples["restore"].append(home("restore", box, f"s{number}")[0])
        home("exec", box, "--", "sh", "-c", FILL)
        out = Path(home.env["CAISSON_HOME"]).parent / "copied"
        samples["cp of 100 MB out of it"].append(home("cp", f"{box}:/workspace/data", out)[0])
        samples["cp of 100 MB into it"].append(home("cp", out, f"{box}:/workspace/copied")[0])
        out.write_text("x")
        home("stop", "-t", "0", box)
        samples["cp of one byte, it is stopped"].append(home("cp", out, f"{box}:/workspace/copied")[0])
        out.unlink()
        samples["snapshot, it is stopped"].append(home("snapshot", "create", box, f"t{number}")[0])
        for name in ("s", "t"):
            home("snapshot", "rm", box, f"{name}{number}")
        home("start", box)
    home.clear()
    return {what: statistics.median(values) for what, values in samples.items()}


def podman(folder, rounds):
    """Median ms of commit, and of commit + run, with the same 100 MB; none where podman does not run here."""
    base = ["podman", "--root", folder / "podman", "--runroot", folder / "podman-run", "--storage-driver", "overlay"]
    options = ["--network", "none", "--ulimit", "host"]
    root = folder / "root" / "bin"
    root.mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "busybox")
    for name in ("sh", "sleep", "head", "sync"):
        (root / name).symlink_to("busybox")
    commits, forks = [], []
    try:
        run("tar", "-C", folder / "root", "-cf", folder / "root.tar", ".")
        run(*base, "import", folder / "root.tar", "bench:1")
        box = run(*base, "run", "-d", *options, "bench:1", "/bin/sleep", "100000")
        run(*base, "exec", box, "/bin/sh", "-c", "/bin/busybox mkdir -p /workspace; " + FILL)
        for number in range(rounds):
            commit, _ = timed(*base, "commit", "-q", box, f"bench:c{number}")
            start, other = timed(*base, "run", "-d", *options, f"bench:c{number}", "/bin/sleep", "100000")
            commits.append(commit)
            forks.append(commit + start)
            run(*base, "rm", "-f", "-t", "0", other)
    except subprocess.CalledProcessError as error:
        print(f"podman does not run here: {error.stderr.strip().splitlines()[-1:]}")
    finally:
        subprocess.run([str(word) for word in (*base, "rm", "-f", "-a", "-t", "0")], check=False, capture_output=True)
        subprocess.run(["umount", "-l", folder / "podman" / "overlay"], check=False, capture_output=True)
    return (statistics.median(commits), statistics.median(forks)) if forks else (None, None)


def dead_boxes(home, rounds):
    """Median ms of the first command in a home whose boxes all ran when the machine went down, and of the next."""
    box = home("create", "host:", "true")[1]
    for _ in range(DEAD // 500):
        home("fork", "--count", "500", box)
    first, next_ = [], []
    for _ in range(rounds):
        with sqlite3.connect(Path(home.env["CAISSON_HOME"]) / "db" / "state.db") as state:
            state.execute("UPDATE boxes SET state = 'running', boot_id = 'before'")
            state.execute("UPDATE meta SET value = 'before' WHERE key = 'boot_id'")
        state.close()
        first.append(home("inspect", box)[0])
        next_.append(home("inspect", box)[0])
    return statistics.median(first), statistics.median(next_)


def measure(arguments):
    for name in ("mkfs.xfs", "podman", "busybox"):
        if shutil.which(name) is None:
            raise SystemExit(f"bench: '{name}' is not installed; run ./dev setup")
    if os.geteuid() != 0:
        raise SystemExit("bench: snapshots: a loop file and podman are used as root")
    rounds = max(3, arguments.rounds // 12)
    folder = Path(tempfile.mkdtemp(prefix="caisson-bench-", dir="/var/tmp"))
    try:
        own = operations(Home(folder), rounds)
        with xfs(folder) as mount:
            sharing = operations(Home(mount), rounds)
        commit, fork = podman(folder, rounds)
        table = Table(("a box with 100 MB of changes", "ms, copying", "ms, blocks shared", "podman ms"), arguments.markdown)
        peers = {"snapshot, it runs": commit, "fork x 1": fork}
        for what, took in own.items():
            peer = peers.get(what)
            table.row((what, f"{took:.1f}", f"{sharing[what]:.1f}", f"{peer:.1f}" if peer else ""))
        print(table)
        home = Home(folder)
        first, after = dead_boxes(home, 5)
        print(f"\na command in a home with {DEAD} boxes that ran when the machine went down: {first:.1f} ms, the next one "
              f"{after:.1f} ms (budget of opening: 100 ms)")
    finally:
        Home(folder).clear()
        shutil.rmtree(folder, ignore_errors=True)
