#!/usr/bin/env python3
"""Makes what a microVM boots: OUTPUT/{vmlinux,initramfs,manifest.json}.

vmlinux     Debian's cloud kernel, taken out of its package (which is not installed) and unpacked:
            QEMU starts an ELF file with a PVH note directly, which under TCG is a second faster
initramfs   a cpio archive that is not compressed, for the same reason, with
              /init              the agent
              /dev/console       so that the agent has descriptors 0, 1 and 2
              /modules/NAME.ko   the kernel modules the agent loads
              /modules/release   what uname(2) says in the kernel that they are for
              /modules/early     their file names, in the order of loading
              /modules/late      the same: drivers that take no device before a template is restored
manifest    what it was made from and what came out; written last. While it says the truth about the
            inputs and the files, nothing is made again. The same inputs give the same bytes.

docs/formats/guest.md describes all of it.
"""

import argparse
import functools
import hashlib
import json
import lzma
import os
import re
import stat
import struct
import subprocess
import sys
import tempfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

FORMAT = 1  # of the manifest
KERNEL = "linux-image-cloud-amd64"  # depends on the package of the current version

# What a kernel has built in, it needs no file for; ext4 is named for what it depends on.
EARLY = ["virtio", "virtio_mmio", "virtio_console", "virtio_rng", "virtio_balloon", "overlay", "ext4",
         "fuse", "virtiofs", "vsock", "vmw_vsock_virtio_transport"]
LATE = ["virtio_blk"]
OPTIONAL = {"vsock", "vmw_vsock_virtio_transport"}


class GuestError(Exception):
    """One line: the action, the object in single quotes, the cause, and in brackets a hint."""


def run(action, *command, hint="", **options):
    """The standard output of a command, as bytes."""
    environment = dict(os.environ, LC_ALL="C.UTF-8")
    try:
        done = subprocess.run(command, capture_output=True, check=False, env=environment, **options)
    except FileNotFoundError:
        raise GuestError(f"{action}: program '{command[0]}' is missing (run './dev setup guest')") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        cause = re.sub("^(E|dpkg-deb: error): ", "", said[-1]) if said else f"exit status {done.returncode}"
        raise GuestError(f"{action}: {command[0]}: {cause}{hint}")
    return done.stdout


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- the kernel's package -----------------------------------------------------------------------

@dataclass(frozen=True)
class Package:
    name: str
    version: str
    sha256: str


def apt_fields(package):
    """The fields of a package's current version, {} when apt's lists do not name it."""
    try:
        text = run(f"find kernel package '{package}'", "apt-cache", "show", "--no-all-versions", package).decode()
    except GuestError as error:
        if "No packages found" in str(error):
            return {}
        raise
    return dict(re.findall(r"^([\w-]+): (.*)$", text, re.M))


def current_package():
    """The package that KERNEL stands for, as apt's lists describe it; needs no network."""
    depends = apt_fields(KERNEL).get("Depends", "")
    match = re.search(r"(linux-image-\S+) \(= ([^)]+)\)", depends)
    fields = apt_fields(f"{match[1]}={match[2]}") if match else {}
    if "SHA256" not in fields:
        raise GuestError(f"find kernel package '{KERNEL}': apt's lists do not name it "
                         "(run 'apt-get update', or give one with --kernel-package FILE.deb)")
    return Package(fields["Package"], fields["Version"], fields["SHA256"])


def given_package(path):
    text = run(f"read kernel package '{path}'", "dpkg-deb", "-W", "--showformat=${Package} ${Version}", path)
    name, version = text.decode().split()
    return Package(name, version, sha256(path))


def fetched(package, cache):
    """The path of the package's file, downloaded unless the cache has it."""
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / f"{package.sha256}.deb"
    if path.exists() and sha256(path) == package.sha256:
        return path
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        # apt's own user may not write here, and only warns then.
        run(f"fetch kernel package '{package.name}'", "apt-get", "download", "-o", "APT::Sandbox::User=root",
            f"{package.name}={package.version}", cwd=folder,
            hint=" (is there a network? or give a file with --kernel-package FILE.deb)")
        [file] = Path(folder).iterdir()
        if sha256(file) != package.sha256:
            raise GuestError(f"fetch kernel package '{package.name}': not the file that apt's list describes "
                             "(run 'apt-get update' and try again)")
        for old in cache.glob("*.deb"):
            old.unlink()
        file.rename(path)
    return path


# --- the kernel ---------------------------------------------------------------------------------

def inflate(data, decompressor, what):
    try:
        return decompressor.decompress(data)
    except (zlib.error, lzma.LZMAError) as error:
        raise GuestError(f"decompress {what}: {error}") from None


def decompress(data, what):
    if data.startswith(b"\x1f\x8b"):
        return inflate(data, zlib.decompressobj(wbits=31), what)
    if data.startswith(b"\xfd7zXZ"):
        return inflate(data, lzma.LZMADecompressor(), what)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return run(f"decompress {what}", "zstd", "-dc", input=data)
    if data.startswith((b"\x02\x21\x4c\x18", b"\x04\x22\x4d\x18")):
        return run(f"decompress {what}", "lz4", "-dc", input=data)
    raise GuestError(f"decompress {what}: neither gzip, xz, zstd nor lz4 (starts with {data[:6].hex(' ')})")


def extract_vmlinux(image, what):
    """The ELF file inside a bzImage; its header is described in Linux' Documentation/arch/x86/boot.rst."""
    if len(image) < 0x250 or image[0x202:0x206] != b"HdrS":
        raise GuestError(f"read kernel {what}: not a bzImage")
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = ((image[0x1f1] or 4) + 1) * 512 + offset
    payload = image[start:start + length]
    if length < 4 or len(payload) != length:
        raise GuestError(f"read kernel {what}: cut short")
    # The last four bytes are the length of the result: gzip writes them itself, for the other
    # formats they come after the compressed data.
    size = int.from_bytes(payload[-4:], "little")
    vmlinux = decompress(payload if payload.startswith(b"\x1f\x8b") else payload[:-4], f"kernel {what}")
    if len(vmlinux) != size:
        raise GuestError(f"decompress kernel {what}: {len(vmlinux)} bytes instead of {size}")
    check_vmlinux(vmlinux, what)
    return vmlinux


def check_vmlinux(vmlinux, what):
    if not vmlinux.startswith(b"\x7fELF\x02"):
        raise GuestError(f"read kernel {what}: its content is not a 64-bit ELF file")
    # XEN_ELFNOTE_PHYS32_ENTRY, where QEMU enters the kernel: name and description sizes, type 18, name.
    if not any(struct.pack("<III4s", 4, size, 18, b"Xen\0") in vmlinux for size in (4, 8)):
        raise GuestError(f"read kernel {what}: no PVH entry point (the kernel needs CONFIG_PVH)")


# --- modules ------------------------------------------------------------------------------------

def module_info(data, what):
    """[(key, value)] of a module's .modinfo section."""
    if not data.startswith(b"\x7fELF\x02"):
        raise GuestError(f"read module {what}: not a 64-bit ELF file")
    table, = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<HHH", data, 0x3a)
    sections = [struct.unpack_from("<I20xQQ", data, table + i * size) for i in range(count)]
    for name, offset, length in sections:
        at = sections[names][1] + name
        if data[at:at + 9] == b".modinfo\0":
            return parse_info(data[offset:offset + length])
    raise GuestError(f"read module {what}: no section .modinfo")


def parse_info(section):
    entries = section.decode(errors="replace").split("\0")
    return [tuple(entry.split("=", 1)) for entry in entries if "=" in entry]


def module_name(path):
    """Files are called virtio-rng.ko or virtio_blk.ko.xz; names have underscores only."""
    return re.sub(r"\.ko(\.\w+)?$", "", Path(path).name).replace("-", "_")


class Modules:
    """The modules of one kernel: a folder lib/modules/RELEASE as packages have it, without depmod's files."""

    def __init__(self, folder):
        self.files = {module_name(path): path for path in sorted(folder.rglob("*.ko*"))}
        self.builtin = {module_name(line) for line in (folder / "modules.builtin").read_text().split()}
        self.builtin_info = {}
        for key, value in parse_info((folder / "modules.builtin.modinfo").read_bytes()):
            module, _, field = key.partition(".")
            self.builtin_info.setdefault(module.replace("-", "_"), []).append((field, value))

    def read(self, name):
        """A module's content, decompressed."""
        path = self.files[name]
        data = path.read_bytes()
        return data if path.suffix == ".ko" else decompress(data, f"module '{path.name}'")

    @functools.lru_cache(maxsize=None)
    def info(self, name):
        if name in self.builtin:
            return self.builtin_info.get(name, [])
        return module_info(self.read(name), f"'{self.files[name].name}'")

    @functools.cached_property
    def aliases(self):
        """{alias: names}; reads every module."""
        found = {}
        for name in self.files:
            for alias in values(self.info(name), "alias"):
                found.setdefault(alias.replace("-", "_"), []).append(name)
        return found

    def depends(self, name):
        """The modules that must be, or better are, loaded before this one."""
        hard = [other.replace("-", "_") for entry in values(self.info(name), "depends")
                for other in entry.split(",") if other]
        soft = []
        for entry in values(self.info(name), "softdep"):
            before = entry.partition("post:")[0].replace("pre:", "").split()
            for other in (word.replace("-", "_") for word in before):
                known = other in self.files or other in self.builtin
                soft += [other] if known else self.aliases.get(other, [])
        return sorted(hard) + sorted(soft)

    def closure(self, wanted, already=()):
        """Names and what they depend on, in the order of loading; nothing built in, nothing `already` there."""
        order, seen = [], set(already)

        def visit(name, needed_by):
            if name in seen:
                return
            seen.add(name)
            if name not in self.files and name not in self.builtin:
                raise GuestError(f"find module '{name}': not in the kernel's package (needed by {needed_by})")
            for other in self.depends(name):
                visit(other, f"'{name}'")
            if name not in self.builtin:
                order.append(name)

        for name in wanted:
            if name in self.files or name in self.builtin or name not in OPTIONAL:
                visit(name, "the guest")
        return order


def values(info, key):
    return [value for name, value in info if name == key]


# --- the initramfs ------------------------------------------------------------------------------

@dataclass(frozen=True)
class Entry:
    """A file of the archive; `mode` includes the type, `device` is (major, minor)."""
    path: str
    mode: int
    data: bytes = b""
    device: tuple = (0, 0)


def folder(path):
    return Entry(path, stat.S_IFDIR | 0o755)


def regular(path, data, mode=0o644):
    return Entry(path, stat.S_IFREG | mode, data)


def cpio(entries):
    """An archive in the format "newc" (Linux' Documentation/driver-api/early-userspace/buffer-format.rst)."""
    archive = bytearray()
    for number, entry in enumerate([*entries, Entry("TRAILER!!!", 0)], 1):
        name = entry.path.encode() + b"\0"
        fields = (number, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, *entry.device, len(name), 0)
        archive += b"070701" + b"".join(b"%08X" % field for field in fields) + name
        archive += b"\0" * (-len(archive) % 4) + entry.data
        archive += b"\0" * (-len(archive) % 4)
    return bytes(archive)


def initramfs(agent, modules, release, early, late):
    entries = [folder("dev"), Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)),
               folder("proc"), folder("sys"), folder("run"), regular("init", agent, 0o755), folder("modules"),
               regular("modules/release", f"{release}\n".encode())]
    for list_name, names in (("early", early), ("late", late)):
        entries += [regular(f"modules/{file_name(name, modules)}", modules.read(name)) for name in names]
        text = "".join(f"{file_name(name, modules)}\n" for name in names)
        entries.append(regular(f"modules/{list_name}", text.encode()))
    return cpio(entries)


def file_name(name, modules):
    return re.sub(r"\.ko\.\w+$", ".ko", modules.files[name].name)


def read_agent(path):
    try:
        agent = Path(path).read_bytes()
    except OSError as error:
        raise GuestError(f"read agent '{path}': {error.strerror} (build it: './dev guest' does)") from None
    if not agent.startswith(b"\x7fELF\x02") or len(agent) < 64:
        raise GuestError(f"read agent '{path}': not a 64-bit ELF file")
    table, = struct.unpack_from("<Q", agent, 0x20)
    size, count = struct.unpack_from("<HH", agent, 0x36)
    if any(struct.unpack_from("<I", agent, table + i * size)[0] == 3 for i in range(count)):  # PT_INTERP
        raise GuestError(f"read agent '{path}': dynamically linked, and the initramfs has no libraries "
                         "(link it with -static)")
    return agent


# --- the output ---------------------------------------------------------------------------------

def write_atomically(path, data):
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def is_current(output, inputs):
    """Whether the manifest names these inputs and the files are still those it describes."""
    try:
        manifest = json.loads((output / "manifest.json").read_text())
        return manifest["format"] == FORMAT and manifest["inputs"] == inputs and all(
            sha256(output / name) == manifest["files"][name]["sha256"] for name in ("vmlinux", "initramfs"))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def describe(data):
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def make(output, inputs, package_file, agent):
    with tempfile.TemporaryDirectory(dir=output, prefix=".package-") as tree:
        run(f"unpack kernel package '{package_file}'", "dpkg-deb", "-x", package_file, tree)
        images = list(Path(tree, "boot").glob("vmlinuz-*"))
        if len(images) != 1:
            raise GuestError(f"read kernel package '{package_file}': {len(images)} files boot/vmlinuz-* "
                             "instead of one (a package linux-image-VERSION is needed)")
        release = images[0].name.removeprefix("vmlinuz-")
        folders = list(Path(tree).glob(f"**/lib/modules/{release}"))  # /lib in Debian 12, /usr/lib later
        if not folders:
            raise GuestError(f"read kernel package '{package_file}': no modules of '{release}' in it")
        vmlinux = extract_vmlinux(images[0].read_bytes(), f"'{images[0].name}'")
        modules = Modules(folders[0])
        early = modules.closure(EARLY)
        late = modules.closure(LATE, already=early)
        archive = initramfs(agent, modules, release, early, late)
    write_atomically(output / "vmlinux", vmlinux)
    write_atomically(output / "initramfs", archive)
    manifest = {
        "format": FORMAT, "kernel_release": release, "inputs": inputs,
        "files": {"vmlinux": describe(vmlinux), "initramfs": describe(archive)},
        "modules": {kind: [{"name": name, "file": file_name(name, modules)} for name in names]
                    for kind, names in (("early", early), ("late", late))}}
    write_atomically(output / "manifest.json", (json.dumps(manifest, indent=2) + "\n").encode())
    return release


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="make_guest", description="Makes kernel and initramfs of microVMs.")
    parser.add_argument("--agent", type=Path, required=True, metavar="FILE",
                        help="static executable, the guest's /init")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR")
    parser.add_argument("--kernel-package", type=Path, metavar="FILE.deb",
                        help=f"instead of fetching what {KERNEL} depends on")
    parser.add_argument("--cache", type=Path, metavar="DIR",
                        help="where the fetched package is kept (default: 'cache' in the output)")
    return parser.parse_args(arguments)


def guest(options):
    """Makes the files, or says that there is nothing to do; returns the line that says so."""
    agent = read_agent(options.agent)
    given = options.kernel_package
    package = given_package(given) if given else current_package()
    inputs = {"kernel_package": asdict(package), "agent": {"sha256": hashlib.sha256(agent).hexdigest()},
              "tool": {"sha256": sha256(__file__)}}
    if is_current(options.output, inputs):
        return f"{options.output} is current ({package.name} {package.version})"
    options.output.mkdir(parents=True, exist_ok=True)
    file = given or fetched(package, options.cache or options.output / "cache")
    release = make(options.output, inputs, file, agent)
    return f"{options.output} made: kernel {release} ({package.name} {package.version})"


def main(arguments=None):
    try:
        print(f"make_guest: {guest(parse_arguments(arguments))}", file=sys.stderr)
    except GuestError as error:
        print(f"make_guest: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"make_guest: make guest files: '{error.filename}': {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
