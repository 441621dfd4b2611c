"""Images: pulls out of a real registry on loopback against skopeo with umoci and podman, and what
an image that is there adds to the start of a box.

Rounds are interleaved, and nothing is deleted until the end: ext4 without a journal looks at every
inode that was freed in the last minutes, so that who follows a deletion would pay for it.
"""

import gzip
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from support.registry import Registry, file_digest  # noqa: E402  pylint: disable=wrong-import-position

TOOLS = ("docker-registry", "skopeo", "umoci", "podman", "mmdebstrap")
KINDS = ("minbase", "ten", "big")
PARTS = (*KINDS, "cached")
GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"


def say(text):
    print(f"==> {text}", file=sys.stderr, flush=True)


# --- making the images --------------------------------------------------------------------------

@dataclass
class Blob:
    path: Path
    digest: str
    size: int
    diff_id: str


def compress(tar):
    """The gzip -6 of a tar file, as a layer; the tar goes."""
    blob = tar.with_suffix(".gz")
    diff = hashlib.sha256()
    with open(tar, "rb") as source, gzip.GzipFile(blob, "wb", compresslevel=6, mtime=0) as out:
        while chunk := source.read(1 << 20):
            diff.update(chunk)
            out.write(chunk)
    tar.unlink()
    return Blob(blob, file_digest(blob), blob.stat().st_size, "sha256:" + diff.hexdigest())


def minbase(folder):
    """A Debian of the essential packages: one tar."""
    tar = folder / "minbase.tar"
    subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "bookworm", tar], check=True)
    return tar


def split(tar, folder, count=10):
    """The members of `tar` in `count` tars of about the same size. Directories go into the first, a hard
    link into the layer of what it names."""
    with tarfile.open(tar) as source:
        members = source.getmembers()
        share = sum(member.size + 512 for member in members) / count
        paths = [folder / f"ten{number}.tar" for number in range(count)]
        layers = [tarfile.open(path, "w", format=tarfile.PAX_FORMAT) for path in paths]
        where, filled = {}, 0
        for member in members:
            if member.isdir():
                place = 0
            elif member.islnk():
                place = where[member.linkname]
            else:
                place = min(count - 1, int(filled / share))
            filled += member.size + 512
            where[member.name] = place
            layers[place].addfile(member, source.extractfile(member) if member.isreg() else None)
        for layer in layers:
            layer.close()
    return paths


WORDS = [word.encode() for word in
         "the layer of a box is read and written once more by its owner while others wait for it "
         "0123456789 {} [] () ; return const auto static include define usr share lib doc copyright".split()]


# Bytes of a file, and the share of an image that files of this size have: about 40,000 in 1 GiB.
SIZES = ((1 << 10, 0.02), (4 << 10, 0.05), (16 << 10, 0.08), (64 << 10, 0.15), (1 << 20, 0.3), (16 << 20, 0.4))


def big(folder, total):
    """`total` bytes in files of many sizes; half of the files are noise, half are text."""
    tar, dice = folder / "big.tar", random.Random(1)
    text = b" ".join(dice.choice(WORDS) for _ in range(1 << 20))
    text *= (32 << 20) // len(text)
    with tarfile.open(tar, "w", format=tarfile.PAX_FORMAT) as out:
        for size, share in SIZES:
            for number in range(int(total * share / size)):
                at = dice.randrange(len(text) - size)
                data = text[at:at + size] if number % 2 else dice.randbytes(size)
                info = tarfile.TarInfo(f"data/{size}/{number % 50}/{number}")
                info.size, info.mtime = size, 1_600_000_000
                out.addfile(info, io.BytesIO(data))
    return tar


def push(registry, name, blobs):
    """An image of these layers; what the manifest lists is in the registry first."""
    config = json.dumps({"architecture": machine(), "os": "linux", "config": {"Cmd": ["true"]},
                         "rootfs": {"type": "layers", "diff_ids": [blob.diff_id for blob in blobs]}}).encode()
    digest = "sha256:" + hashlib.sha256(config).hexdigest()
    registry.push_blob(name, digest, config)
    for blob in blobs:
        with open(blob.path, "rb") as file:
            registry.push_blob(name, blob.digest, file, blob.size)
    media = "application/vnd.oci.image.manifest.v1+json"
    layers = [{"mediaType": GZIP, "digest": blob.digest, "size": blob.size} for blob in blobs]
    manifest = {"schemaVersion": 2, "mediaType": media, "layers": layers,
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest,
                           "size": len(config)}}
    registry.push_manifest(name, "1", json.dumps(manifest).encode(), media)


def machine():
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def make_images(registry, folder, kinds, big_bytes):
    """{kind: [Blob]}, all of them in the registry."""
    made = {}
    if {"minbase", "ten", "cached"} & set(kinds):
        say("making a Debian minbase image")
        tar = minbase(folder)
        if "ten" in kinds:
            made["ten"] = [compress(path) for path in split(tar, folder)]
        made["minbase"] = [compress(tar)]
    if "big" in kinds:
        say("making an image of many bytes")
        made["big"] = [compress(big(folder, big_bytes))]
    for kind, blobs in made.items():
        push(registry, f"bench/{kind}", blobs)
    return made


# --- pulling ------------------------------------------------------------------------------------

class Memory:
    """The peaks of the resident memory of a process's caisson-fetch children, by looking often."""

    def __init__(self, pid):
        self.pid, self.peaks, self.sum = pid, {}, 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        while not self.done.wait(0.02):
            now = 0
            for pid in descendants(self.pid):
                high, current = resident(pid)
                self.peaks[pid] = max(self.peaks.get(pid, 0), high)
                now += current
            self.sum = max(self.sum, now)

    def stop(self):
        self.done.set()
        self.thread.join()
        return max(self.peaks.values(), default=0), self.sum


def descendants(pid):
    found, rest = [], [pid]
    while rest:
        try:
            tasks = list(Path(f"/proc/{rest.pop()}/task").iterdir())
            children = [int(word) for task in tasks for word in (task / "children").read_text().split()]
        except OSError:
            continue
        found += children
        rest += children
    return found


def resident(pid):
    """(peak, now) in KiB of a caisson-fetch process; nothing of any other."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0, 0
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    if fields["Name"].strip() != "caisson-fetch" or "VmHWM" not in fields:
        return 0, 0
    return int(fields["VmHWM"].split()[0]), int(fields["VmRSS"].split()[0])


class Pulls:
    """One way each to have an image from the registry unpacked; every round in a new directory."""

    def __init__(self, caisson, environment, registry, folder):
        self.caisson, self.environment = caisson, environment
        self.registry, self.folder = registry, folder
        self.round, self.peaks = 0, []

    def run(self, words, environment=None, watch=False):
        process = subprocess.Popen([*map(str, words)], env=environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        memory = Memory(process.pid) if watch else None
        errors = process.communicate()[1]
        if memory:
            self.peaks.append(memory.stop())
        if process.returncode != 0:
            sys.exit(f"bench: '{' '.join(map(str, words))}' failed: {errors.strip()}")

    def of_caisson(self, image):
        home = self.folder / f"caisson{self.round}"
        self.run([self.caisson, "pull", "--quiet", f"{self.registry}/{image}:1"],
                 dict(self.environment, CAISSON_HOME=str(home)), watch=True)

    def of_skopeo(self, image):
        layout, bundle = self.folder / f"oci{self.round}", self.folder / f"bundle{self.round}"
        self.run(["skopeo", "copy", "--quiet", "--src-tls-verify=false",
                  f"docker://{self.registry}/{image}:1", f"oci:{layout}:t"])
        self.run(["umoci", "unpack", "--rootless=false", "--image", f"{layout}:t", bundle])

    def of_podman(self, image):
        root = self.folder / f"podman{self.round}"
        self.run(["podman", "--storage-driver", "overlay", "--root", root, "--runroot", f"{root}.run",
                  "pull", "--quiet", "--tls-verify=false", f"{self.registry}/{image}:1"])

    def rounds(self, kind, count):
        """{name: seconds} of interleaved rounds, each with the disk's queue empty at its start."""
        samples, ways = {}, [("caisson", self.of_caisson), ("skopeo", self.of_skopeo), ("podman", self.of_podman)]
        for number in range(count):
            self.round += 1
            for name, pull in ways[number % 3:] + ways[:number % 3]:
                os.sync()
                start = time.monotonic()
                pull(f"bench/{kind}")
                samples.setdefault(name, []).append(time.monotonic() - start)
                print(f"{kind} {name} {samples[name][-1]:.2f} s", file=sys.stderr, flush=True)
        return samples


def ceiling(program, blobs, folder):
    """Seconds that one processor takes to hash, decompress, hash and write the layers, three times."""
    folder.mkdir(exist_ok=True)
    rounds = [0.0] * 3
    for blob in blobs:
        done = subprocess.run([program, blob.path, "gzip", folder], stdout=subprocess.PIPE, text=True, check=True)
        for number, line in enumerate(done.stdout.splitlines()):
            rounds[number] += float(line.split("ceiling")[1].split()[0])
    return rounds


def cached(caisson, environment, image, rounds):
    """Milliseconds of `true` in a new box of an image that is there, and of the host."""
    samples = {"cached.image": [], "cached.host": []}
    ways = [("cached.image", image), ("cached.host", "host:")]
    for number in range(-3, rounds):
        for name, source in ways if number % 2 else ways[::-1]:
            start = time.monotonic()
            subprocess.run([caisson, "run", source, "--", "true"], env=environment, stdin=subprocess.DEVNULL,
                           check=True)
            if number >= 0:
                samples[name].append(1000 * (time.monotonic() - start))
    samples["cached.extra"] = [a - b for a, b in zip(samples["cached.image"], samples["cached.host"])]
    return samples


def measure(build, environment, arguments):
    """The samples of images: pull.KIND.WAY in seconds, fetch.*_kib, cached.* in milliseconds."""
    caisson, samples, only = build / "bin" / "caisson", {}, arguments.only
    folder = Path(environment["CAISSON_HOME"]).parent / "images"
    folder.mkdir(mode=0o755)
    with Registry(folder / "registry") as registry:
        images = make_images(registry, folder, only, 1 << 30)
        ways = Pulls(caisson, environment, registry.name, folder)
        try:
            if "cached" in only:
                say("measuring a cached image")
                reference = f"{registry.name}/bench/minbase:1"
                ways.run([caisson, "pull", "--quiet", reference], environment)
                samples.update(cached(caisson, environment, reference, max(40, arguments.rounds)))
            for kind in [kind for kind in KINDS if kind in only]:
                say(f"measuring pulls of '{kind}'")
                for name, values in ways.rounds(kind, arguments.pulls).items():
                    samples[f"pull.{kind}.{name}"] = values
            for kind in [kind for kind in KINDS if kind in only]:
                samples[f"pull.{kind}.ceiling"] = ceiling(build / "bench" / "caisson-bench-unpack", images[kind],
                                                          folder / "ceiling")
        finally:
            unmount(ways)
    if ways.peaks:
        samples["fetch.largest_kib"] = [largest for largest, _ in ways.peaks]
        samples["fetch.together_kib"] = [together for _, together in ways.peaks]
    return samples


def unmount(ways):
    """What podman leaves mounted in its storage; the files go with the folder."""
    for number in range(1, ways.round + 1):
        place = ways.folder / f"podman{number}" / "overlay"
        if place.is_mount():
            subprocess.run(["umount", place], check=False)
