"""What a microVM has changed, which only a guest can tell: diff, commit, export, import."""

import io
import json
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from support.boxes import refused
from support.images import Layer, busybox_image, directory, file, link, write_layout
from support.microvm import NEEDS_GUEST, VM, machine_of
from support.microvm import folder  # noqa: F401: fixture

pytestmark = NEEDS_GUEST

SMALL = (*VM, "--memory", "96m")

CHANGE = """
mkdir -p /d/e; echo new > /d/e/f; ln -s e /d/l; ln /d/e/f /d/h; rm -f /removed; rm -rf /gone
echo changed > /kept; chmod 4711 /kept; rm -rf /swapped; echo file > /swapped
rm -rf /again; mkdir /again; echo only > /again/this; rm /part/b; echo c > /part/c
chmod 600 /noted; chown 1000:44 /d/e; chmod 2775 /d; mkfifo /pipe; echo odd > "/d/a
b"; echo tmp > /mem/file; dd if=/dev/urandom of=/d/big bs=64k count=40 2>/dev/null; echo volume > /w/new
"""
LOOK = """cat /d/e/f /kept /swapped /again/*; readlink /d/l; ls -A / /d /part | grep -v lost+found; sha256sum /d/big
stat -c '%n %a %h %u %g' /kept /d /d/h /d/e /noted /pipe; test ! -e /removed && test ! -e /gone"""
DIFF = {"A /d", "A /d/e", "A /d/e/f", "A /d/h", "A /d/l", "A /d/big", "A /d/a\\x0ab", "D /removed", "D /gone", "C /kept", "C /swapped",
        "C /again", "A /again/this", "D /again/that", "C /part", "D /part/b", "A /part/c", "C /noted", "A /pipe"}


@pytest.fixture
def source(workdir):
    """An image with things to be changed."""
    more = Layer([file("removed", "r"), file("kept", "k"), file("gone/a", "a"), file("swapped/b", "b"), file("again/that", "t"),
                  file("part/a", "a"), file("part/b", "b"), file("noted", "n", xattrs={"user.note": b"1\x02"}), directory("w"),
                  directory("mem"), link("bin/chown", "busybox"), link("bin/mkfifo", "busybox")])
    write_layout(workdir / "layout", {"x": busybox_image(more)})
    return f"oci:{workdir / 'layout'}:x"


def change(caisson, source, folder, *options):
    """A box that runs and has changed what CHANGE says."""
    box = caisson.detached("sleep", "1000", source=source, options=(*options, "-v", f"{folder}:/w", "--tmpfs", "/mem"))
    caisson("exec", box, "--", "sh", "-c", CHANGE, check=True, timeout=60)
    return box


@pytest.fixture
def changed(caisson, source, folder):
    box = change(caisson, source, folder, *SMALL)
    yield box
    caisson("rm", "-f", box, check=True)


def layer_of(archive):
    """The newest layer in it: {name: what a box sees of it}, without times."""
    with tarfile.open(archive) as tar:
        def document(name):
            return json.load(tar.extractfile(name))
        index = document("index.json")
        manifest = document("blobs/sha256/" + index["manifests"][0]["digest"][7:])
        blob = tar.extractfile("blobs/sha256/" + manifest["layers"][-1]["digest"][7:]).read()
    plain = subprocess.run(["zstd", "-dc"], input=blob, stdout=subprocess.PIPE, check=True).stdout
    found = {}
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        for member in tar:
            xattrs = {key: value for key, value in member.pax_headers.items() if key.startswith("SCHILY.xattr.")}
            content = tar.extractfile(member).read() if member.isreg() else b""
            found[member.name] = (member.type, member.mode, member.uid, member.gid, member.linkname, xattrs, content)
    return found


@pytest.mark.parametrize("state", ["runs", "stopped"])
def test_it_is_what_a_container_says(caisson, source, folder, workdir, changed, state):
    """The same script, the same differences and the same layer, but for the bytes that are random."""
    container = change(caisson, source, folder)
    if state == "stopped":
        caisson("stop", "-t", "0", changed, container, check=True)
    said = [caisson("diff", box, check=True, timeout=120).stdout for box in (changed, container)]
    assert said[0] == said[1]
    assert DIFF <= set(said[0].splitlines()), said[0]
    assert "/w/" not in said[0] and "/mem/" not in said[0], "what is mounted is not the box's"
    layers = []
    for box in changed, container:
        caisson("export", "-o", workdir / "x.tar", box, check=True, timeout=120)
        layers.append(layer_of(workdir / "x.tar"))
        assert len(layers[-1].pop("d/big")[-1]) == 40 << 16
    assert layers[0] == layers[1]
    assert layers[0]["noted"][5] == {"SCHILY.xattr.user.note": "1\x02"}
    assert layers[0]["kept"][1] == 0o4711 and {"again/.wh.that", ".wh.gone"} <= layers[0].keys()
    caisson("rm", "-f", container, check=True)
    # Nothing is left of the making.
    assert caisson("snapshot", "ls", "-q", changed).stdout == ""
    assert not list(Path(caisson.home).glob("fetch/staging/*"))
    assert caisson.inspect(changed)["state"] == ("running" if state == "runs" else "stopped")


@pytest.mark.parametrize("isolation", ["container", "microvm"])
def test_its_image_runs(caisson, changed, isolation):
    look = caisson("exec", changed, "--", "sh", "-c", LOOK, check=True, timeout=60).stdout
    # With the parts of a second, which a smaller inode would not keep.
    assert ".000000000 " not in caisson("exec", changed, "--", "stat", "-c", "%y", "/d", "/d/e", check=True, timeout=60).stdout
    ident = caisson("commit", "-m", "a change", changed, "localhost/w:1", check=True, timeout=120).stdout.strip()
    info = json.loads(caisson("image", "inspect", "localhost/w:1", check=True).stdout)
    assert info["id"] == ident and info["history"][-1]["comment"] == "a change"
    done = caisson("run", "--rm", "--isolation", isolation, "localhost/w:1", "sh", "-c", LOOK, check=True, timeout=120)
    assert done.stdout == look
    assert caisson("image", "fsck").returncode == 0
    assert caisson("exec", changed, "--", "cat", "/kept", check=True, timeout=60).stdout == "changed\n", "it goes on"


def test_since_a_snapshot(caisson, changed):
    """Both are disks: the one of the snapshot, and the box's."""
    caisson("snapshot", "create", changed, "s", check=True, timeout=60)
    caisson("exec", changed, "--", "sh", "-c", "rm /d/h; echo more > /kept; echo x > /new", check=True, timeout=60)
    lines = caisson("diff", "--since", "s", changed, check=True, timeout=120).stdout.splitlines()
    assert sorted(lines) == ["A /new", "C /d", "C /kept", "D /d/h"]
    assert "D /removed" in caisson("diff", changed, check=True, timeout=120).stdout.splitlines()
    caisson("restore", changed, "s", check=True, timeout=60)
    assert caisson("diff", "--since", "s", changed, check=True, timeout=120).stdout == ""


def test_a_hibernated_and_a_paused_box(caisson, source):
    """What is told is of the disk, and the processes go on afterwards."""
    box = caisson.detached("sh", "-c", "echo a > /file; exec sleep 1000", source=source, options=SMALL)
    caisson("exec", box, "--", "sh", "-c", "while ! test -s /file; do sleep 0.1; done", check=True, timeout=60)
    caisson("pause", box, check=True)
    assert "A /file" in caisson("diff", box, check=True, timeout=120).stdout.splitlines()
    assert caisson.inspect(box)["state"] == "paused"
    caisson("resume", box, check=True)
    caisson("hibernate", box, check=True, timeout=120)
    assert "A /file" in caisson("diff", box, check=True, timeout=120).stdout.splitlines()
    caisson("commit", box, "localhost/h:1", check=True, timeout=120)
    caisson("resume", box, check=True, timeout=60)
    assert caisson("exec", box, "--", "cat", "/file", check=True, timeout=60).stdout == "a\n"
    assert caisson("run", "--rm", "localhost/h:1", "cat", "/file", check=True).stdout == "a\n"
    caisson("rm", "-f", box, check=True)


def test_one_that_was_never_started(caisson, source):
    box = caisson("create", *VM, source, "true", check=True).stdout.strip()
    assert caisson("diff", box, check=True).stdout == ""
    caisson("commit", box, "localhost/n:1", check=True)
    assert caisson("run", "--rm", "localhost/n:1", "cat", "/kept", check=True).stdout == "k"


def test_it_comes_back_from_an_archive(caisson, source, folder):
    changed = change(caisson, source, folder, *SMALL)
    look = caisson("exec", changed, "--", "sh", "-c", LOOK, check=True, timeout=60).stdout
    archive = caisson("export", changed, binary=True, check=True, timeout=120).stdout
    caisson("rm", "-f", changed, check=True)
    caisson("image", "prune", "-a", "--grace", "0s")
    made = caisson("import", "--name", "back", "--trust", input=archive, binary=True, check=True).stdout.decode().strip()
    assert caisson.inspect(made)["spec"]["isolation"] == "microvm"
    caisson("start", made, check=True, timeout=120)
    assert caisson("exec", made, "--", "sh", "-c", LOOK, check=True, timeout=60).stdout == look
    assert "C /kept" not in caisson("diff", made, check=True, timeout=120).stdout, "its image is the one of the archive"
    caisson("rm", "-f", made, check=True)


def test_a_box_of_the_host_goes_through_an_archive(caisson, workdir):
    """What it had changed is a tree below what it writes from then on, also in snapshots and forks."""
    box = caisson.detached("sleep", "1000", options=(*VM, "--name", "w"))
    caisson("exec", box, "--", "sh", "-c", "echo x > /workspace/f; rm -f /etc/hostname", check=True, timeout=60)
    refused(caisson("commit", box, "localhost/x:1"), "host", "export")
    caisson("export", "-o", workdir / "w.tar", box, check=True, timeout=120)
    caisson("rm", "-f", box, check=True)
    other = caisson("import", "-i", workdir / "w.tar", check=True).stdout.strip()
    caisson("start", other, check=True, timeout=120)
    caisson("exec", other, "--", "sh", "-c", "test ! -e /etc/hostname && echo y > /workspace/g", check=True, timeout=60)
    caisson("snapshot", "create", other, check=True, timeout=60)
    caisson("stop", "-t", "0", other, check=True)
    changes = caisson("diff", other, check=True, timeout=120).stdout.splitlines()
    assert {"A /workspace/f", "A /workspace/g", "D /etc/hostname"} <= set(changes)
    fork = caisson("fork", other, check=True).stdout.strip()
    caisson("start", fork, check=True, timeout=120)
    assert caisson("exec", fork, "--", "cat", "/workspace/f", "/workspace/g", check=True, timeout=60).stdout == "x\ny\n"
    caisson("rm", "-f", other, fork, check=True)


def test_an_image_of_a_directory(caisson, busybox_root):
    box = caisson.detached("sleep", "1000", source=f"dir:{busybox_root}", options=VM)
    caisson("exec", box, "--", "sh", "-c", "echo x > /new", check=True, timeout=60)
    caisson("commit", box, "localhost/d:1", check=True, timeout=120)
    caisson("rm", "-f", box, check=True)
    assert caisson("run", "--rm", "localhost/d:1", "/bin/cat", "/new", check=True).stdout == "x\n"


def test_killed_at_any_moment(caisson, changed):
    """What runs for it ends, and the next one clears what is left."""
    for number in range(5):
        client = caisson.popen("commit", changed, "localhost/k:1", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.2 + 0.5 * number)
        client.kill()
        client.wait()
    caisson("commit", changed, "localhost/k:1", check=True, timeout=120)
    assert caisson("snapshot", "ls", "-q", changed).stdout == ""
    assert not list(Path(caisson.home).glob("fetch/staging/*"))
    machine = machine_of(caisson, changed)
    others = [path.parent for path in Path("/proc").glob("[0-9]*/cmdline") if is_machine_of(path, caisson.home)]
    assert {int(path.name) for path in others} <= {machine}


def is_machine_of(cmdline, home):
    """Whether it is a QEMU that has a file of this home open."""
    try:
        if b"qemu-system" not in cmdline.read_bytes():
            return False
        return any(str(link.readlink()).startswith(home) for link in (cmdline.parent / "fd").iterdir())
    except OSError:
        return False


def test_a_disk_that_is_none(caisson, source):
    """A clear error, and nothing is left of the try."""
    box = caisson.detached("sleep", "1000", source=source, options=SMALL)
    caisson("stop", "-t", "0", box, check=True)
    [disk] = Path(caisson.home).glob(f"boxes/{box}/machine*/disk.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "64M"], check=True)
    for command in ("diff", box), ("commit", box, "localhost/x:1"), ("export", "-o", "/dev/null", box):
        refused(caisson(*command, timeout=120), "mount disk")
    assert caisson("snapshot", "ls", "-q", box).stdout == ""
    assert not list(Path(caisson.home).glob("fetch/staging/*"))
    caisson("rm", "-f", box, check=True)
