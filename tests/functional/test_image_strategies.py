"""What layers become: `--rootfs merged`, a copy for the box, and `image disk`, a file system in a file."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from support import host
from support.images import (Image, Layer, busybox_image, device, directory, fifo, file, hardlink,
                            link, opaque, whiteout, write_layout)

HOLES = b"\0" * (8 << 20) + b"end"
LOW = [directory(".", mode=0o751), directory("d", mode=0o1771, uid=3, gid=4, mtime=1_400_000_000),
       file("d/own", "mine\n", mode=0o4750, uid=1000, gid=44, mtime=1_500_000_000),
       hardlink("d/again", "d/own"), file("d/gone", "hidden"), link("d/l", "own", uid=9),
       fifo("d/pipe", mode=0o666, uid=7), device("d/null", mode=0o666), file("d/holes", HOLES),
       file("d/nano", "n", pax={"mtime": "1500000000.123456789"}),
       file("d/noted", "n", xattrs={"user.note": "kept"}),
       directory("o"), file("o/under", "hidden"), file("o2", "a file"), directory("w"), file("w/f", "hidden")]
TOP = [whiteout("d/gone"), file("d/new", "new"), opaque("o"), file("o/over", "over"),
       directory("o2"), file("o2/inner", "x"), whiteout("w"), directory(".", mode=0o751, mtime=1_300_000_000)]
LOOK = ('cd / && for f in d d/* o o/* o2 o2/*; do stat -c "%n %F %a %u:%g %s %y" "$f"; done; '
        'for f in d/own d/again d/new o/over d/holes; do sha256sum "$f"; done; '
        '[ d/own -ef d/again ] && readlink d/l; ls -d w; stat -c %a /')


@pytest.fixture
def image(workdir):
    """The reference of an image whose top layer hides a part of the one below it."""
    write_layout(workdir / "layout", {"latest": busybox_image(Layer(LOW), Layer(TOP))})
    return f"oci:{workdir}/layout"


@pytest.fixture
def pulled(caisson, image):
    return caisson("pull", "-q", image, check=True).stdout.strip()


def run(caisson, image, script, *options, **keywords):
    return caisson("run", "-q", *options, image, "--", "sh", "-c", script, **keywords)


# --- merged -------------------------------------------------------------------------------------

@pytest.mark.without_subuid
def test_a_copy_shows_what_an_overlay_shows(caisson, image):
    overlay, merged = (run(caisson, image, LOOK, "--rm", "--rootfs", strategy)
                       for strategy in ("overlay", "merged"))
    of_directories = re.compile(r"(?<=directory )(\d+ \S+ )\d+", re.MULTILINE)  # sizes
    assert of_directories.sub(r"\1", merged.stdout) == of_directories.sub(r"\1", overlay.stdout)
    assert "2017-07-14 02:40:00.123456789" in merged.stdout
    assert merged.stdout.endswith("\n751\n")
    assert merged.stderr == overlay.stderr


@pytest.mark.without_subuid
def test_a_copy_is_the_boxs_own_and_stays_with_it(caisson, image):
    script = "cat /kept; rm -rf /d; echo once more >> /kept; cat /kept"
    box = run(caisson, image, script, "-d", "--rootfs", "merged", check=True).stdout.strip()
    caisson("wait", box, check=True)
    copy = Path(caisson.home) / "boxes" / box
    assert sorted(set(os.listdir(copy)) - {"ids"}) == ["lock", "logs", "rootfs", "rootfs.size"]
    again = caisson("start", "-a", box, check=True)
    assert again.stdout == "once more\nonce more\nonce more\n"
    assert run(caisson, image, "cat /d/new; ls /kept", "--rm", "--rootfs", "merged").stdout == "new"
    assert caisson("image", "fsck").returncode == 0
    caisson("rm", box, check=True)
    assert not copy.exists()


@pytest.mark.without_subuid
def test_a_copy_that_a_crash_left_unfinished_is_made_anew(caisson, image):
    box = run(caisson, image, "ls /partly; echo > /partly", "-d", "--rootfs", "merged").stdout.strip()
    caisson("wait", box, check=True)
    data = Path(caisson.home) / "boxes" / box
    (data / "making").mkdir()
    (data / "rootfs").rename(data / "making/rootfs")
    assert "No such file" in caisson("start", "-a", box).stderr
    assert not (data / "making").exists()


@pytest.mark.without_subuid
def test_a_copy_as_a_read_only_root_with_volumes(caisson, workdir):
    layer = Layer([directory("v"), file("v/f", "x")])
    write_layout(workdir / "l", {"latest": busybox_image(layer, config={"Volumes": {"/v": {}}})})
    done = run(caisson, f"oci:{workdir}/l", "echo y >> /v/f && cat /v/f; touch /t", "--rm",
               "--rootfs", "merged", "--read-only")
    assert done.stdout == "xy\n"
    assert "Read-only file system" in done.stderr


@pytest.mark.without_subuid
def test_only_what_a_box_writes_counts_against_its_disk_limit(caisson, image):
    options = ("--rm", "--json", "--rootfs", "merged", "--disk", "1m")
    assert run(caisson, image, "sleep 0.3; echo fine", *options).json()["exit"]["reason"] == "exited"
    script = "for i in 1 2 3; do dd if=/dev/zero of=/f$i bs=1000 count=900; done; sleep 20"
    assert run(caisson, image, script, *options).json()["exit"]["reason"] == "disk_full"


# --- disk ---------------------------------------------------------------------------------------

def debugfs(disk, command):
    return subprocess.run(["/usr/sbin/debugfs", "-R", command, disk], capture_output=True, text=True,
                          timeout=30, check=True).stdout


def inode(disk, path):
    """(type, mode, uid, gid, size, links, seconds of the modification time)."""
    text = debugfs(disk, f"stat {path}")
    found = re.search(r"Type: (.+?)  +Mode:  (\d+).*User: +(\d+) +Group: +(\d+) +Project.*Size: (\d+)"
                      r".*Links: (\d+).* mtime: 0x([0-9a-f]+)", text, re.DOTALL)
    kind, mode, uid, gid, size, links, mtime = found.groups()
    return kind, int(mode, 8), int(uid), int(gid), int(size), int(links), int(mtime, 16)


def owners(*ids):
    """Without subordinate ids everything is root's."""
    return (0, 0) if host.missing_subuid() else ids


@pytest.mark.without_subuid
def test_disk_has_what_a_box_sees(caisson, pulled):
    disk = caisson("image", "disk", pulled, check=True).stdout.strip()
    assert disk == f"{caisson.home}/disks/{pulled.removeprefix('sha256:')}.ext4"
    assert os.listdir(f"{caisson.home}/disks") == [os.path.basename(disk)]
    assert os.stat(disk).st_mode & 0o7777 == 0o444
    check = subprocess.run(["/usr/sbin/fsck.ext4", "-fn", disk], capture_output=True, text=True,
                           timeout=60, check=False)
    assert check.returncode == 0, check.stdout
    assert " extent " in debugfs(disk, "features")
    assert inode(disk, "/")[:4] == ("directory", 0o751, 0, 0)
    assert inode(disk, "/")[6] == 1_300_000_000
    assert inode(disk, "/d")[:4] == ("directory", 0o1771, *owners(3, 4))
    assert inode(disk, "/d/own") == ("regular", 0o4750, *owners(1000, 44), 5, 2, 1_500_000_000)
    assert inode(disk, "/d/again") == inode(disk, "/d/own")
    assert inode(disk, "/d/l")[:4] == ("symlink", 0o777, *owners(9, 0))
    assert inode(disk, "/d/pipe")[:4] == ("FIFO", 0o666, *owners(7, 0))
    assert inode(disk, "/d/holes")[4] == len(HOLES)
    assert debugfs(disk, "cat /d/own") == "mine\n"
    assert '"kept"' in debugfs(disk, "ea_list /d/noted")
    names = debugfs(disk, "ls -p /d")
    assert "/new/" in names and "/gone/" not in names
    assert re.findall("/(under|over)/", debugfs(disk, "ls -p /o")) == ["over"]
    assert debugfs(disk, "cat /o2/inner") == "x"
    assert "/w/" not in debugfs(disk, "ls -p /")
    if host.IS_ROOT:
        assert inode(disk, "/d/null")[0] == "character special"
    else:
        assert inode(disk, "/d/null")[0] == "regular", "what an ordinary user cannot make"


@pytest.mark.without_subuid
def test_disk_is_made_once_and_goes_with_its_image(caisson, pulled):
    disk = caisson("image", "disk", pulled, check=True).stdout.strip()
    before = os.stat(disk)
    assert caisson("image", "disk", pulled[:20], check=True).stdout.strip() == disk
    assert os.stat(disk).st_ino == before.st_ino
    caisson("rmi", pulled, check=True)
    assert os.listdir(f"{caisson.home}/disks") == []


@pytest.mark.without_subuid
def test_disk_as_a_file_of_ones_own(caisson, pulled, workdir):
    copy = workdir / "copy.ext4"
    if not host.IS_ROOT:
        workdir.chmod(0o755)
    assert caisson("image", "disk", "-o", copy, pulled, check=True).stdout == ""
    disk = Path(caisson("image", "disk", pulled, check=True).stdout.strip())
    assert copy.read_bytes() == disk.read_bytes()
    assert os.stat(copy).st_blocks * 512 < len(HOLES) + (4 << 20), "holes stay holes"
    overlay = workdir / "w.qcow2"
    assert caisson("image", "disk", "-o", overlay, pulled, check=True).stdout == ""
    told = subprocess.run(["qemu-img", "info", overlay], capture_output=True, text=True, timeout=30,
                          check=True).stdout
    assert "file format: qcow2" in told and f"backing file: file:{disk}" in told
    assert overlay.stat().st_size < 1 << 20


def test_disks_of_hostile_names(caisson, workdir):
    """debugfs and mke2fs get no word of what a layer holds."""
    names = ["-w", "a b", 'q"q', "$(id)", "new\nline", "%s%n", "ü", "n" * 255]
    write_layout(workdir / "l", {"latest": Image([Layer([file(f"d/{name}", "x") for name in names])])})
    image = caisson("pull", "-q", f"oci:{workdir}/l", check=True).stdout.strip()
    disk = caisson("image", "disk", image, check=True).stdout.strip()
    listed = debugfs(disk, "ls -p /d")
    assert listed.count("/100644/") == len(names)


def test_disk_of_many_files_and_layers(caisson, workdir):
    """More than a guess from the sizes alone would find room for."""
    many = [file(f"m/{number}", "x") for number in range(2000)]
    layers = [Layer([file(f"l{number}", "")], "none") for number in range(60)]
    write_layout(workdir / "l", {"latest": Image([Layer(many), *layers])})
    image = caisson("pull", "-q", f"oci:{workdir}/l", check=True).stdout.strip()
    disk = caisson("image", "disk", image, check=True).stdout.strip()
    assert debugfs(disk, "ls -p /m").count("/100644/") == 2000
    assert len(re.findall(r"/l\d+/", debugfs(disk, "ls -p /"))) == 60


@pytest.mark.without_subuid
def test_an_image_with_a_missing_layer(caisson, image, pulled):
    box = caisson("create", "-q", "--rootfs", "merged", image, "--", "true", check=True).stdout.strip()
    layers = Path(caisson.home) / "layers"
    tree = next(layers.iterdir())
    tree.rename(layers.parent / "elsewhere")
    try:
        done = caisson("image", "disk", pulled)
        assert done.returncode == 125
        assert "it is missing" in done.error_line()
        assert "it is missing" in caisson("start", "-a", box).error_line()
        assert os.listdir(f"{caisson.home}/disks") == []
    finally:
        (layers.parent / "elsewhere").rename(tree)


@pytest.mark.without_subuid
def test_disks_that_cannot_be_made(caisson, pulled, workdir):
    assert "is none here" in caisson("image", "disk", "nosuch").error_line()
    done = caisson("image", "disk", "-o", workdir / "no/such.qcow2", pulled)
    assert done.returncode != 0
    assert "qemu-img" in done.error_line()
