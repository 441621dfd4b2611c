#!/usr/bin/env python3
"""Runs the benchmarks and prints what Caisson costs as ratios to what real peers cost here.

Every comparison comes from one interleaved run; figures are medians and 90th percentiles. Slow
numbers are shown, not failed on; anything that does not work is an error.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import images
import microvms
import snapshots
from figures import figures, stages
from table import Table

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "release"
CAISSON = BUILD / "bin" / "caisson"
PARTS = ("programs", "boxes", "idle", "streams", "images", "snapshots", "microvms")


def fail(message):
    sys.exit(f"bench: {message}")


def read_arguments():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="NAME",
                        help=f"what to measure: {', '.join(PARTS)} (default: all)")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.add_argument("--rounds", type=int, default=60, help="interleaved rounds (default: 60)")
    parser.add_argument("--boxes", type=int, default=1000, help="idle boxes (default: 1000)")
    parser.add_argument("--bytes", type=int, default=1 << 30,
                        help="bytes of output in a stream (default: 1 GiB)")
    parser.add_argument("--pulls", type=int, default=3, help="pulls of each image (default: 3)")
    arguments = parser.parse_args()
    for part in arguments.parts:
        if part not in PARTS:
            fail(f"unknown benchmark '{part}'; there are {', '.join(PARTS)}")
    if min(arguments.rounds, arguments.boxes, arguments.bytes) < 1:
        fail("--rounds, --boxes and --bytes take a positive number")
    arguments.parts = arguments.parts or list(PARTS)
    return arguments


# --- what the measured programs need ------------------------------------------------------------

def bundle(directory, command):
    """An OCI bundle over a root directory that holds busybox alone."""
    root = directory / "rootfs" / "bin"
    if not root.exists():
        root.mkdir(parents=True)
        shutil.copy(shutil.which("busybox"), root / "busybox")
        for name in ("true", "sleep", "sh"):
            (root / name).symlink_to("busybox")
    folder = directory / command[0]
    folder.mkdir()
    subprocess.run(["runc", "spec"], cwd=folder, check=True)
    config = json.loads((folder / "config.json").read_text())
    config["process"].update(terminal=False, args=list(command))
    config["root"] = {"path": str(directory / "rootfs"), "readonly": True}
    (folder / "config.json").write_text(json.dumps(config))


@contextmanager
def home():
    """A fresh Caisson home beside the real one, that is on its file system; gone at the end."""
    beside = Path("/var/lib") if os.geteuid() == 0 else Path.home()
    path = Path(tempfile.mkdtemp(prefix="caisson-bench-", dir=beside))
    environment = dict(os.environ, CAISSON_HOME=str(path / "home"),
                       CAISSON_SHIM=str(BUILD / "bin" / "caisson-shim"))
    try:
        yield path, environment
    finally:
        remove_boxes(environment)
        shutil.rmtree(path)


def remove_boxes(environment):
    """What an interrupted measurement left; an ended one has removed its own running boxes."""
    if not Path(environment["CAISSON_HOME"]).exists():
        return
    for _ in range(3):  # a box that ends at this moment may refuse the first time
        listing = subprocess.run([CAISSON, "ps", "--all", "--quiet"], env=environment, text=True,
                                 stdout=subprocess.PIPE, check=True)
        boxes = listing.stdout.split()
        if not boxes:
            return
        for start in range(0, len(boxes), 100):
            subprocess.run([CAISSON, "rm", "--force", *boxes[start:start + 100]], env=environment,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    fail(f"boxes remain in '{environment['CAISSON_HOME']}': {' '.join(boxes)}")


# --- measuring ----------------------------------------------------------------------------------

def measure(part, words, environment):
    """The samples of one part: {name: [numbers]}."""
    print(f"==> measuring {part}", file=sys.stderr, flush=True)
    process = subprocess.Popen([BUILD / "bench" / "caisson-bench", part, *words], env=environment,
                               stdout=subprocess.PIPE, text=True)
    try:
        output, _ = process.communicate()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)  # it removes its boxes; a second one changes nothing
        process.communicate()
        raise
    if process.returncode != 0:
        fail(f"measuring '{part}' failed with status {process.returncode}")
    lines = (line.split() for line in output.splitlines())
    return {name: [float(v) for v in values] for name, *values in lines}


@dataclass
class Host:
    """What a reader must know of the machine to judge the figures."""
    text: str

    @staticmethod
    def look():
        versions = [subprocess.run([name, "--version"], capture_output=True, text=True,
                                   check=True).stdout.splitlines()[0]
                    for name in ("bwrap", "runc") if shutil.which(name)]
        load = os.getloadavg()[0]
        return Host(f"Linux {platform.release()}, {os.cpu_count()} processors, load {load:.1f} "
                    f"at the start; {', '.join(versions)}")


def busy_rounds(samples):
    rounds = samples.get("busy_rounds", [])
    return (f"{sum(rounds):.0f} of {len(rounds)} rounds began while something else kept more than "
            "15 % of the machine busy")


def report(samples, host, markdown):
    table = Table(("what", "p50", "p90", "peer", "peer p50", "ratio", "budget", "met"), markdown)
    for figure in figures(samples):
        table.row(figure.cells())
    steps = Table(("stage of a start", "p50 ms", "p90 ms", "share"), markdown)
    for cells in stages(samples):
        steps.row(cells)
    print(f"{host.text}; {busy_rounds(samples)}\n")
    if steps.rows:
        print(f"{steps}\n")
    print(table)


def main():
    arguments = read_arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    for name, module in (("images", images), ("snapshots", snapshots), ("microvms", microvms)):
        if name in arguments.parts:
            module.measure(arguments)
            arguments.parts.remove(name)
    if not arguments.parts:
        return
    for name in ("bwrap", "busybox", "runc"):
        if shutil.which(name) is None:
            fail(f"'{name}' is not installed; run ./dev setup")
    host = Host.look()
    samples = {}
    with home() as (path, environment):
        words = ["--caisson", CAISSON, "--rounds", str(arguments.rounds),
                 "--boxes", str(arguments.boxes), "--bytes", str(arguments.bytes)]
        if os.geteuid() == 0:
            for command in (("true",), ("sleep", "100000")):
                bundle(path / "runc", command)
            words += ["--runc", str(path / "runc")]
        else:
            print("bench: without runc, which here runs as root only", file=sys.stderr)
        for part in arguments.parts:
            for name, values in measure(part, words, environment).items():
                samples.setdefault(name, []).extend(values)
    report(samples, host, arguments.markdown)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        fail("interrupted")
    except subprocess.CalledProcessError as error:
        fail(f"'{' '.join(map(str, error.cmd))}' failed")
