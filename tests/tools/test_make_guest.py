"""tools/make_guest.py takes a kernel's package apart and puts a guest together, the same each time."""

import gzip
import json
import lzma
import stat
import struct
import subprocess

import make_guest
import pytest

RELEASE = "6.1.0-test"
PVH_NOTE = struct.pack("<III4sQ", 4, 8, 18, b"Xen\0", 0x1000850)
KERNEL = b"\x7fELF\x02" + bytes(59) + PVH_NOTE + b"kernel" * 100
AGENT = b"\x7fELF\x02".ljust(64, b"\0")  # no program headers: nothing asks for a dynamic linker


def module(*entries):
    """A kernel object with nothing but a .modinfo section."""
    info = b"".join(entry.encode() + b"\0" for entry in entries)
    names = b"\0.shstrtab\0.modinfo\0"
    data = bytearray(64) + info + names
    table = len(data)
    for name, offset, size in ((0, 0, 0), (1, 64 + len(info), len(names)), (11, 64, len(info))):
        data += struct.pack("<I20xQQ24x", name, offset, size)
    data[:5] = b"\x7fELF\x02"
    struct.pack_into("<Q", data, 0x28, table)
    struct.pack_into("<HHH", data, 0x3a, 64, 3, 1)
    return bytes(data)


def bzimage(payload, setup_sectors=1):
    image = bytearray((setup_sectors + 1) * 512)
    image[0x1f1] = setup_sectors
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<II", image, 0x248, 16, len(payload))
    return bytes(image) + bytes(16) + payload + b"code after it"


def with_size(compressed, data=KERNEL):
    return compressed + struct.pack("<I", len(data))


@pytest.fixture
def tree(tmp_path):
    """A kernel's package, unpacked."""
    folder = tmp_path / f"package/lib/modules/{RELEASE}"
    kernel = folder / "kernel"
    kernel.mkdir(parents=True)
    needs = {"virtio_ring": "", "virtio": "virtio_ring", "virtio_mmio": "virtio,virtio_ring", "fuse": "",
             "virtio_console": "virtio_ring,virtio", "virtio-rng": "virtio", "virtio_balloon": "virtio",
             "overlay": "", "virtiofs": "fuse,virtio", "virtio_blk": "blk_mq,virtio", "blk_mq": "sbitmap",
             "sbitmap": ""}
    for name, depends in needs.items():
        (kernel / f"{name}.ko").write_bytes(module(f"depends={depends}", f"name={name}"))
    (kernel / "crc32c-intel.ko").write_bytes(module("alias=crypto-crc32c", "alias=crc32c", "depends="))
    (folder / "modules.builtin").write_text("kernel/fs/ext4/ext4.ko\nkernel/net/vmw_vsock/vsock.ko\n")
    (folder / "modules.builtin.modinfo").write_bytes(b"ext4.softdep=pre: crc32c\0ext4.license=GPL\0")
    boot = tmp_path / "package/boot"
    boot.mkdir()
    (boot / f"vmlinuz-{RELEASE}").write_bytes(bzimage(gzip.compress(KERNEL, mtime=0)))
    return tmp_path / "package"


@pytest.fixture
def deb(tree):
    """Makes the package's file."""
    def build():
        control = tree / "DEBIAN/control"
        control.parent.mkdir(exist_ok=True)
        control.write_text(f"Package: linux-image-{RELEASE}\nVersion: 6.1-1\nArchitecture: all\n"
                           "Maintainer: nobody <nobody@example.org>\nDescription: a kernel\n")
        file = tree.parent / "kernel.deb"
        subprocess.run(["dpkg-deb", "-Znone", "--root-owner-group", "-b", tree, file], check=True,
                       capture_output=True)
        return file
    return build


@pytest.fixture
def agent(tmp_path):
    (tmp_path / "agent").write_bytes(AGENT)
    return tmp_path / "agent"


def make(deb, agent, output):
    return make_guest.main(["--agent", str(agent), "--kernel-package", str(deb), "--output", str(output)])


def read_cpio(data):
    """{path: (mode, (major, minor), content)}; insists on owner 0:0 and time 0."""
    entries, at = {}, 0
    while True:
        assert data[at:at + 6] == b"070701"
        field = [int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16) for i in range(13)]
        assert (field[2], field[3], field[5]) == (0, 0, 0)
        name = data[at + 110:at + 110 + field[11] - 1].decode()
        start = (at + 110 + field[11] + 3) // 4 * 4
        if name == "TRAILER!!!":
            return entries
        entries[name] = (field[1], (field[9], field[10]), data[start:start + field[6]])
        at = (start + field[6] + 3) // 4 * 4


def names(text):
    return [line.removesuffix(".ko") for line in text.decode().splitlines()]


# --- a whole guest ------------------------------------------------------------------------------

def test_guest(deb, agent, tmp_path):
    assert make(deb(), agent, tmp_path / "out") == 0
    assert (tmp_path / "out/vmlinux").read_bytes() == KERNEL
    files = read_cpio((tmp_path / "out/initramfs").read_bytes())
    assert files["init"] == (stat.S_IFREG | 0o755, (0, 0), AGENT)
    assert files["dev/console"] == (stat.S_IFCHR | 0o600, (5, 1), b"")
    assert all(stat.S_ISDIR(files[name][0]) for name in ("dev", "proc", "sys", "run", "modules"))
    early, late = (names(files[f"modules/{kind}"][2]) for kind in ("early", "late"))
    assert early == ["virtio_ring", "virtio", "virtio_mmio", "virtio_console", "virtio-rng", "virtio_balloon",
                     "overlay", "crc32c-intel", "fuse", "virtiofs"]
    assert late == ["sbitmap", "blk_mq", "virtio_blk"]
    assert files["modules/release"][2].decode() == RELEASE + "\n"
    assert {f"modules/{name}.ko" for name in early + late} < files.keys()
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["kernel_release"] == RELEASE
    assert manifest["inputs"]["kernel_package"]["version"] == "6.1-1"
    assert [module["file"] for module in manifest["modules"]["late"]] == [f"{name}.ko" for name in late]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["initramfs", "manifest.json", "vmlinux"]


def test_same_inputs_same_bytes(deb, agent, tmp_path):
    file = deb()
    for output in ("one", "two"):
        assert make(file, agent, tmp_path / output) == 0
    for name in ("vmlinux", "initramfs", "manifest.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_nothing_is_made_twice(deb, agent, tmp_path, capsys):
    file = deb()
    out = tmp_path / "out"
    make(file, agent, out)
    before = (out / "manifest.json").stat().st_mtime_ns
    assert make(file, agent, out) == 0
    assert "is current" in capsys.readouterr().err
    assert (out / "manifest.json").stat().st_mtime_ns == before
    (out / "initramfs").write_bytes(b"damaged")
    make(file, agent, out)
    assert (out / "initramfs").read_bytes() != b"damaged"
    agent.write_bytes(AGENT + b"new")
    make(file, agent, out)
    assert read_cpio((out / "initramfs").read_bytes())["init"][2] == AGENT + b"new"


def test_compressed_modules(tree, deb, agent, tmp_path):
    for path in list(tree.rglob("*.ko")):
        path.with_name(path.name + ".xz").write_bytes(lzma.compress(path.read_bytes()))
        path.unlink()
    assert make(deb(), agent, tmp_path / "out") == 0
    files = read_cpio((tmp_path / "out/initramfs").read_bytes())
    assert files["modules/virtio.ko"][2].startswith(b"\x7fELF")
    assert b".xz" not in files["modules/early"][2]


# --- the kernel ---------------------------------------------------------------------------------

@pytest.mark.parametrize("payload", [gzip.compress(KERNEL), with_size(lzma.compress(KERNEL))],
                         ids=["gzip", "xz"])
@pytest.mark.parametrize("setup_sectors", [1, 27])
def test_payload(payload, setup_sectors):
    assert make_guest.extract_vmlinux(bzimage(payload, setup_sectors), "'k'") == KERNEL


@pytest.mark.parametrize("program", ["lz4", "zstd"])
def test_payload_by_program(program):
    options = ["-l"] if program == "lz4" else []  # the kernel's is lz4's "legacy" format
    packed = subprocess.run([program, *options, "-c"], input=KERNEL, capture_output=True, check=True).stdout
    assert make_guest.extract_vmlinux(bzimage(with_size(packed)), "'k'") == KERNEL


@pytest.mark.parametrize("image, cause", [
    (b"MZ", "not a bzImage"),
    (bytes(4096), "not a bzImage"),
    (bzimage(gzip.compress(KERNEL))[:1060], "cut short"),
    (bzimage(b"BZh9 something"), "neither gzip, xz, zstd nor lz4"),
    (bzimage(b"\x1f\x8b no gzip"), "decompress kernel 'k':"),
    (bzimage(with_size(lzma.compress(KERNEL), b"?")), "bytes instead of 1"),
    (bzimage(gzip.compress(b"#!/bin/sh\n")), "not a 64-bit ELF file"),
    (bzimage(gzip.compress(KERNEL.replace(PVH_NOTE, b""))), "no PVH entry point"),
], ids=range(8))
def test_bad_kernels(image, cause):
    with pytest.raises(make_guest.GuestError) as error:
        make_guest.extract_vmlinux(image, "'k'")
    assert cause in str(error.value)


# --- modules ------------------------------------------------------------------------------------

def test_order_of_modules(tree):
    modules = make_guest.Modules(tree / f"lib/modules/{RELEASE}")
    assert modules.closure(["virtio_blk"]) == ["sbitmap", "blk_mq", "virtio_ring", "virtio", "virtio_blk"]
    assert modules.closure(["virtio_blk"], already=["virtio"]) == ["sbitmap", "blk_mq", "virtio_blk"]
    assert modules.closure(["ext4"]) == ["crc32c_intel"]
    assert modules.closure(["vsock", "vmw_vsock_virtio_transport"]) == []


def test_module_that_is_missing(tree, deb, agent, tmp_path, capsys):
    next(tree.rglob("sbitmap.ko")).unlink()
    assert make(deb(), agent, tmp_path / "out") == 1
    assert capsys.readouterr().err == ("make_guest: find module 'sbitmap': not in the kernel's package "
                                       "(needed by 'blk_mq')\n")
    assert not (tmp_path / "out/manifest.json").exists()


# --- other bad inputs ---------------------------------------------------------------------------

def test_bad_agents(deb, tmp_path, capsys):
    agent = tmp_path / "agent"
    dynamic = bytearray(AGENT + struct.pack("<I52x", 3))
    struct.pack_into("<Q", dynamic, 0x20, 64)
    struct.pack_into("<HH", dynamic, 0x36, 56, 1)
    for content, cause in ((None, "No such file"), (b"#!/bin/sh", "not a 64-bit ELF"),
                           (b"\x7fELF\x02", "not a 64-bit ELF"), (bytes(dynamic), "dynamically linked")):
        if content:
            agent.write_bytes(content)
        assert make(tmp_path / "none.deb", agent, tmp_path / "out") == 1
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(f"make_guest: read agent '{agent}': ") and cause in line


def test_bad_packages(tree, deb, agent, tmp_path, capsys):
    (tmp_path / "text.deb").write_text("no package")
    assert make(tmp_path / "text.deb", agent, tmp_path / "out") == 1
    assert "dpkg-deb: unexpected end of file" in capsys.readouterr().err
    next(tree.glob("boot/vmlinuz-*")).unlink()
    assert make(deb(), agent, tmp_path / "out") == 1
    assert "0 files boot/vmlinuz-* instead of one" in capsys.readouterr().err


def test_what_apt_says(monkeypatch, tmp_path, agent, capsys):
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    apt = programs / "apt-cache"
    apt.write_text("#!/bin/sh\necho 'E: No packages found' >&2\nexit 100\n")
    apt.chmod(0o755)
    assert make_guest.main(["--agent", str(agent), "--output", str(tmp_path / "out")]) == 1
    assert "apt's lists do not name it (run 'apt-get update'" in capsys.readouterr().err
    apt.write_text("#!/bin/sh\ncase $3 in *cloud*) echo 'Depends: linux-image-6.1 (= 6.1-1)' ;;\n"
                   "*) printf 'Package: linux-image-6.1\\nVersion: 6.1-1\\nSHA256: 00\\n' ;; esac\n")
    assert make_guest.current_package() == make_guest.Package("linux-image-6.1", "6.1-1", "00")
    get = programs / "apt-get"
    get.write_text("#!/bin/sh\necho other >file.deb\n")
    get.chmod(0o755)
    assert make_guest.main(["--agent", str(agent), "--output", str(tmp_path / "out")]) == 1
    assert "not the file that apt's list describes" in capsys.readouterr().err
    assert list((tmp_path / "out/cache").iterdir()) == []
