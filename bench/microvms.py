"""MicroVMs: starts (cold, in a machine of a template, in one with the box made), forks of a running one, execs, memory
of idle ones and the stream of one, beside QEMU alone that boots the same kernel to a trivial init. By KVM where a guest
boots with it, else by TCG.
"""

import json
import os
import shutil
import stat
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path += [str(ROOT / "tests"), str(ROOT / "tools")]

import make_guest  # noqa: E402
from support.images import Layer, busybox_image, link, write_layout  # noqa: E402
from table import Table  # noqa: E402

CAISSON = ROOT / "build" / "release" / "bin" / "caisson"
BENCH = ROOT / "build" / "release" / "bench" / "caisson-bench"
GUEST = Path(os.environ.get("CAISSON_GUEST", ROOT / "build" / "guest"))
QEMU = "/usr/bin/qemu-system-x86_64"
MIB = 1 << 20
VM = ("--isolation", "microvm")
IDLE = 8
STREAM = 256 * MIB


def run(*words, env=None, **options):
    return subprocess.run([str(word) for word in words], check=True, stdin=subprocess.DEVNULL, env=env,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options).stdout.strip()


def timed(*words, env=None):
    began = time.perf_counter()
    out = run(*words, env=env)
    return (time.perf_counter() - began) * 1000, out


class Peer:
    """QEMU alone, with the words that Caisson gives it as far as they make a guest."""

    def __init__(self, folder, accelerator):
        init = b"#!/bin/busybox sh\necho caisson-bench-ready\n/bin/busybox poweroff -f\n"
        busybox = Path(shutil.which("busybox")).read_bytes()
        (folder / "initramfs").write_bytes(make_guest.cpio([
            make_guest.folder("dev"), make_guest.Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)),
            make_guest.folder("bin"), make_guest.regular("bin/busybox", busybox, 0o755),
            make_guest.regular("init", init, 0o755)]))
        words = "console=ttyS0 quiet panic=-1 cryptomgr.notests apparmor=0 audit=0 8250.nr_uarts=1"
        if accelerator == "tcg":
            words += f" tsc_early_khz={tsc_khz()} tsc=reliable mitigations=off no5lvl"
        self.words = [QEMU, "-M", "microvm,x-option-roms=off,pit=off,pic=off,rtc=on,acpi=on,auto-kernel-cmdline=off",
                      "-accel", accelerator, "-cpu", "max,erms=off" if accelerator == "tcg" else "host", "-m", "512M", "-nodefaults",
                      "-no-user-config", "-nographic", "-no-reboot", "-kernel", str(GUEST / "vmlinux"),
                      "-initrd", str(folder / "initramfs"), "-append", words, "-serial", "stdio"]

    def boot(self):
        """ms until its init says that it runs."""
        began = time.perf_counter()
        process = subprocess.Popen(self.words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        for line in process.stdout:
            if b"caisson-bench-ready" in line:
                took = (time.perf_counter() - began) * 1000
                process.kill()
                process.communicate()
                return took
        raise SystemExit("bench: QEMU alone does not boot the guest's kernel")


def tsc_khz():
    """As the kernel of this machine knows it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("cpu MHz"):
            return round(float(line.split(":")[1]) * 1000)
    raise SystemExit("bench: /proc/cpuinfo has no clock rate")


class Home:
    def __init__(self, folder):
        write_layout(folder / "image", {"latest": busybox_image(Layer([link("bin/head", "busybox")]))})
        self.image = f"oci:{folder}/image"
        self.env = {"CAISSON_HOME": str(folder / "home"), "PATH": os.environ["PATH"], "HOME": "/nonexistent",
                    "CAISSON_GUEST": str(GUEST)}

    def __call__(self, *words):
        return timed(CAISSON, *words, env=self.env)

    def once(self, *options):
        return self("run", "--rm", *options, self.image, "true")[0]

    def execs(self, box):
        """Of one program in one box, each from the call until it is known how `true` ended."""
        name, *times = run(BENCH, "execs", "--box", box, "--rounds", 5, env=self.env).split()
        assert name == "exec"
        return [float(time) for time in times]

    def clear(self):
        boxes = self("ps", "-aq")[1].split()
        if boxes:
            self("rm", "-f", *boxes)


def accelerator_of(home):
    """What Caisson has found that a guest boots with."""
    home.once(*VM)
    note = Path(home.env["CAISSON_HOME"]) / "cache" / "accelerator"
    return "kvm" if note.exists() and note.read_text().endswith(" kvm\n") else "tcg"


def starts(home, peer, rounds):
    samples = {name: [] for name in ("raw", "cold", "size", "box", "fork", "exec", "library", "container", "container exec")}
    box = home("run", "-d", *VM, home.image, "sleep", "100000")[1]
    beside = home("run", "-d", home.image, "sleep", "100000")[1]
    for user in range(1, rounds + 1):
        samples["raw"].append(peer.boot())
        samples["cold"].append(home.once(*VM, "--cold"))
        samples["size"].append(home.once(*VM, "-u", str(user)))  # of each kind the first
        samples["box"].append(home.once(*VM))
        samples["container"].append(home.once())
        took, fork = home("fork", box)
        samples["fork"].append(took)
        home("rm", "-f", fork)
        for _ in range(3):
            samples["exec"].append(home("exec", box, "true")[0])
            samples["container exec"].append(home("exec", beside, "true")[0])
        samples["library"] += home.execs(box)
    home.clear()
    return samples


def memory_of(process):
    """PSS, and what it has for itself alone, in MiB."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:])
    kib = {name: int(value.split()[0]) for name, value in fields.items()}
    return kib["Pss"] / 1024, (kib["Private_Clean"] + kib["Private_Dirty"]) / 1024


def processes_of(home, box):
    shim = json.loads(home("inspect", box)[1])["shim_pid"]
    return [shim, *map(int, Path(f"/proc/{shim}/task/{shim}/children").read_text().split())]


def idle(home):
    """PSS of the first, and of each that comes on top of it with what it shares with none."""
    boxes, sums = [], []
    for _ in range(IDLE):
        boxes.append(home("run", "-d", *VM, home.image, "sleep", "100000")[1])
        if len(boxes) in (1, IDLE):
            time.sleep(8)  # for what is free to be given back
            figures = [memory_of(process) for box in boxes for process in processes_of(home, box)]
            sums.append((sum(pss for pss, _ in figures), sum(own for _, own in figures)))
    home.clear()
    (first, _), (whole, own) = sums
    return first, (whole - first) / (IDLE - 1), own / IDLE


def streams(home, rounds):
    """MB/s out of a guest and out of a container."""
    found = []
    for options in VM, ():
        box = home("run", "-d", *options, home.image, "sleep", "100000")[1]
        rates = []
        for _ in range(rounds):
            began = time.perf_counter()
            with subprocess.Popen([CAISSON, "exec", box, "head", "-c", str(STREAM), "/dev/zero"], env=home.env,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
                count = 0
                while chunk := process.stdout.read1(MIB):
                    count += len(chunk)
            assert count == STREAM, count
            rates.append(STREAM / 1e6 / (time.perf_counter() - began))
        found.append(statistics.median(rates))
        home("rm", "-f", box)
    return found


def measure(arguments):
    if not (GUEST / "manifest.json").exists():
        raise SystemExit("bench: microvms: there is no guest; run ./dev guest")
    rounds = max(3, arguments.rounds // 6)
    beside = "/var/lib" if os.geteuid() == 0 else str(Path.home())
    folder = Path(tempfile.mkdtemp(prefix="caisson-bench-", dir=beside))
    home = Home(folder)
    try:
        accelerator = accelerator_of(home)
        samples = starts(home, Peer(folder, accelerator), rounds)
        first, more, own = idle(home)
        out, out_of_container = streams(home, 3)
    finally:
        home.clear()
        shutil.rmtree(folder, ignore_errors=True)
    table = Table(("microVM", "p50", "p90", "peer", "peer p50", "ratio", "budget"), arguments.markdown)

    def row(what, name, peer, peer_name, budget):
        values, others = samples[name], samples.get(peer_name)
        middle = statistics.median(values)
        other = statistics.median(others) if others else None
        table.row((what, f"{middle:.0f} ms", f"{sorted(values)[int(len(values) * 0.9) - 1]:.0f} ms", peer,
                   f"{other:.0f} ms" if other else "", f"{middle / other:.2f} ×" if other else "", budget))
    row("run --cold --rm IMAGE true", "cold", "QEMU alone, to its init", "raw", "≤ 1.15 ×")
    row("run --rm IMAGE true, a box of another kind", "size", "container", "container", "")
    row("run --rm IMAGE true", "box", "container", "container", "≤ 350 ms")
    row("fork of one that runs", "fork", "", "", "≤ 350 ms")
    row("exec true, the command", "exec", "container", "container exec", "")
    row("exec true, a call of the library", "library", "", "", "≤ 10 ms")
    print(f"guests run by {accelerator.upper()}; {rounds} interleaved rounds; load {os.getloadavg()[0]:.1f} at the end\n")
    print(table)
    print(f"\nidle: PSS of shim and QEMU {first:.0f} MiB of one box alone, {more:.1f} MiB for each more of {IDLE}; what each has "
          f"for itself alone: {own:.1f} MiB (budget beyond shared pages: 24 MiB)")
    print(f"stdout of an exec, 256 MiB: {out:.0f} MB/s; of a container's {out_of_container:.0f} MB/s")
