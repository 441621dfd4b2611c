"""Pulls from a real registry, side by side with skopeo + umoci and podman; and what a box of a
cached image costs more than one of `host:`.

Nothing is removed before the end: without a journal ext4 looks at every inode that was freed in the
last minutes before it gives one out, which would slow down whoever comes next.
"""

import gzip
import hashlib
import http.client
import io
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import tarfile
import tempfile
import threading
import time
from pathlib import Path

from table import Table

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / "build" / "release" / "bin"
NEEDED = ("docker-registry", "skopeo", "umoci", "podman", "mmdebstrap")
BUDGET = 0.35


def run(*words, **options):
    return subprocess.run([str(word) for word in words], check=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options).stdout


class Registry:
    """Debian's docker-registry on a free port of the loopback."""

    def __init__(self, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{probe.getsockname()[1]}"
        config = folder / "registry.yml"
        config.write_text("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: "
                          f"'{folder}/registry'}}}}\nhttp: {{addr: '{self.host}'}}\n")
        self.process = subprocess.Popen(["docker-registry", "serve", config], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            try:
                self.ask("GET", "/v2/")
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("docker-registry does not answer")

    def ask(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(self.host)
        connection.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        answer.read()
        return answer

    def push_blob(self, name, data):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        place = self.ask("POST", f"/v2/{name}/blobs/uploads/").getheader("Location")
        place = place.split(self.host, 1)[-1]
        self.ask("PUT", f"{place}&digest={digest}", data, Content_Type="application/octet-stream")
        return {"digest": digest, "size": len(data)}

    def push(self, name, tars):
        """An image of these layers (tar bytes); returns their blobs."""
        layers, diff_ids, blobs = [], [], []
        for tar in tars:
            blobs.append(gzip.compress(tar, 6, mtime=0))
            diff_ids.append("sha256:" + hashlib.sha256(tar).hexdigest())
            layers.append(self.push_blob(name, blobs[-1]) |
                          {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip"})
        config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/true"]},
                  "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        about = self.push_blob(name, json.dumps(config).encode()) | {
            "mediaType": "application/vnd.oci.image.config.v1+json"}
        kind = "application/vnd.oci.image.manifest.v1+json"
        manifest = {"schemaVersion": 2, "mediaType": kind, "config": about, "layers": layers}
        answer = self.ask("PUT", f"/v2/{name}/manifests/1", json.dumps(manifest).encode(), Content_Type=kind)
        if answer.status != 201:
            raise RuntimeError(f"push of {name}: {answer.status}")
        return blobs

    def stop(self):
        self.process.terminate()
        self.process.wait()


def debian(folder):
    path = folder / "debian.tar"
    run("mmdebstrap", "--variant=minbase", "bookworm", path)
    return path.read_bytes()


def in_ten(tar):
    """The same files in ten layers."""
    sinks = [io.BytesIO() for _ in range(10)]
    outs = [tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) for sink in sinks]
    source = tarfile.open(fileobj=io.BytesIO(tar))
    for number, member in enumerate(source):
        # Hard links stay with what they link to.
        out = outs[0 if member.islnk() or number < 200 else number * 10 // 9500 % 10]
        out.addfile(member, source.extractfile(member) if member.isreg() else None)
    for out in outs:
        out.close()
    return [sink.getvalue() for sink in sinks]


def big(text):
    """A gigabyte in two layers: half of it can be compressed."""
    chance, layers = random.Random(1), []
    for layer in range(2):
        sink, size, number = io.BytesIO(), 0, 0
        with tarfile.open(fileobj=sink, mode="w") as out:
            while size < 512 << 20:
                length = chance.choice([1000, 5000, 30_000, 200_000, 1_000_000, 8_000_000])
                at = chance.randrange(len(text) - length)
                data = chance.randbytes(length) if number % 2 else text[at:at + length]
                member = tarfile.TarInfo(f"data{layer}/{number // 100}/{number}")
                member.size, member.mtime = length, 1_700_000_000
                out.addfile(member, io.BytesIO(data))
                size, number = size + length, number + 1
        layers.append(sink.getvalue())
    return layers


class PeakMemory:
    """The largest resident set of any caisson-fetch process while it is entered, in MiB."""

    def __enter__(self):
        self.peak, self.over = 0, threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.over.wait(0.02):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
                except OSError:
                    continue
                if status.startswith("Name:\tcaisson-fetch") and "VmHWM:" in status:
                    self.peak = max(self.peak, int(status.split("VmHWM:")[1].split()[0]) / 1024)

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def timed(*words, **options):
    began = time.perf_counter()
    run(*words, **options)
    return time.perf_counter() - began


class Pullers:
    """Each pull is into a place of its own."""

    def __init__(self, folder, host):
        self.folder, self.host, self.count = folder, host, 0

    def place(self):
        self.count += 1
        path = self.folder / f"pull{self.count}"
        path.mkdir()
        return path

    def caisson(self, name):
        environment = {"CAISSON_HOME": str(self.place()), "PATH": os.environ["PATH"], "HOME": "/nonexistent"}
        return timed(BIN / "caisson", "pull", "-q", f"{self.host}/{name}:1", env=environment)

    def skopeo_umoci(self, name):
        path = self.place()
        return (timed("skopeo", "copy", "-q", "--insecure-policy", "--src-tls-verify=false",
                      f"docker://{self.host}/{name}:1", f"oci:{path}/oci:1") +
                timed("umoci", "unpack", "--rootless=false", "--image", f"{path}/oci:1", path / "bundle"))

    def podman(self, name):
        path = self.place()
        policy = self.folder / "policy.json"
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        return timed("podman", "--root", path / "root", "--runroot", path / "run", "--storage-driver",
                     "overlay", "pull", "-q", "--tls-verify=false", "--signature-policy", policy,
                     f"{self.host}/{name}:1")


def ceiling(blobs, folder):
    """One core, one thing after the other: hash, inflate, hash, write; with Python's zlib, OpenSSL."""
    began = time.perf_counter()
    with open(folder / "ceiling", "wb") as out:
        for blob in blobs:
            hashlib.sha256(blob).digest()
            tar = gzip.decompress(blob)
            hashlib.sha256(tar).digest()
            out.write(tar)
    return time.perf_counter() - began


def cached(folder, host, rounds):
    environment = {"CAISSON_HOME": str(folder / "cached"), "PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    image = f"{host}/debian:1"
    run(BIN / "caisson", "pull", "-q", image, env=environment)
    samples = {"host:": [], image: []}
    for _ in range(rounds):
        for source, times in samples.items():
            times.append(timed(BIN / "caisson", "run", "--rm", source, "--", "/bin/true", env=environment))
    return [statistics.median(times) * 1000 for times in samples.values()]


def measure(arguments):
    for name in NEEDED:
        if shutil.which(name) is None:
            raise SystemExit(f"bench: '{name}' is not installed; run ./dev setup")
    if os.geteuid() != 0:
        raise SystemExit("bench: images: umoci and podman are measured as root")
    folder = Path(tempfile.mkdtemp(prefix="caisson-bench-", dir="/var/tmp"))
    registry = Registry(folder)
    try:
        report(folder, registry, arguments)
    finally:
        registry.stop()
        subprocess.run(["umount", "-l", *(path / "root" / "overlay" for path in folder.glob("pull*"))], check=False,
                       stderr=subprocess.DEVNULL)
        shutil.rmtree(folder, ignore_errors=True)


def report(folder, registry, arguments):
    root = debian(folder)
    images = {"debian": ("Debian minbase, one layer", [root]), "ten": ("the same in ten layers", in_ten(root)),
              "big": ("1 GB in two layers", big(root))}
    table = Table(("pull + unpack", "caisson s", "skopeo + umoci s", "podman s", "ratio to the faster",
                   "budget", "met", "one core s", "peak RSS MiB"), arguments.markdown)
    pullers = Pullers(folder, registry.host)
    for name, (title, tars) in images.items():
        blobs = registry.push(name, tars)
        times = {"caisson": [], "skopeo_umoci": [], "podman": []}
        with PeakMemory() as memory:
            for _ in range(arguments.pulls):
                for who, values in times.items():
                    values.append(getattr(pullers, who)(name))
        ours, theirs, podmans = (statistics.median(values) for values in times.values())
        ratio = ours / min(theirs, podmans)
        table.row((title, f"{ours:.2f}", f"{theirs:.2f}", f"{podmans:.2f}", f"{ratio:.2f} x", f"<= {BUDGET} x",
                   "yes" if ratio <= BUDGET else "no", f"{ceiling(blobs, folder):.2f}", f"{memory.peak:.0f}"))
    print(table)
    host, image = cached(folder, registry.host, arguments.rounds)
    print(f"\nrun of a cached image {image:.2f} ms, of host: {host:.2f} ms: {image - host:+.2f} ms (budget +1 ms)")
