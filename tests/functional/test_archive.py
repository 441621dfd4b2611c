"""Boxes as images and as archives: commit, export, import."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from support.boxes import refused
from support.images import Layer, busybox_image, file, write_layout

pytestmark = [pytest.mark.without_subuid, pytest.mark.usefixtures("nothing_stays")]


CHANGE = """
mkdir -p /d/e; echo new > /d/e/f; ln -s e /d/l; ln /d/e/f /d/h; rm -f /removed; rm -rf /gone
echo changed > /kept; chmod 4711 /kept; rm -rf /swapped; echo file > /swapped
"""
LOOK = "cat /d/e/f /kept /swapped; readlink /d/l; ls -A / /d; stat -c '%a %h' /kept /d/h; test ! -e /removed; test ! -e /gone"


@pytest.fixture
def source(workdir):
    """An image with things to be changed."""
    image = busybox_image(Layer([file("removed", "r"), file("kept", "k"), file("gone/a", "a"), file("swapped/b", "b")]))
    write_layout(workdir / "layout", {"x": image})
    return f"oci:{workdir / 'layout'}:x"


@pytest.fixture
def changed(caisson, source):
    box = caisson.detached("sleep", "1000", source=source, options=("--name", "w", "-e", "A=b", "--label", "x=y"))
    caisson("exec", box, "--", "/bin/sh", "-c", CHANGE, check=True)
    return box


@pytest.mark.parametrize("state", ["runs", "stopped"])
def test_an_image_of_a_box_shows_what_the_box_shows(caisson, changed, state):
    look = caisson("exec", changed, "--", "/bin/sh", "-c", LOOK, check=True).stdout
    if state == "stopped":
        caisson("stop", "-t", "0", changed, check=True)
    ident = caisson("commit", "-m", "a change", changed, "localhost/w:1", check=True).stdout.strip()
    assert ident.startswith("sha256:")
    info = json.loads(caisson("image", "inspect", "localhost/w:1", check=True).stdout)
    assert info["id"] == ident
    assert "A=b" in info["config"]["env"] and info["config"]["labels"]["x"] == "y"
    assert info["history"][-1]["comment"] == "a change"
    done = caisson("run", "--rm", "localhost/w:1", "/bin/sh", "-c", LOOK, check=True)
    assert done.stdout == look
    # Its own command.
    again = caisson("create", "localhost/w:1", check=True).stdout.strip()
    assert caisson.inspect(again)["spec"]["command"] == ["sleep", "1000"]
    # Nothing is left of the making.
    assert caisson("snapshot", "ls", "-q", changed).stdout == ""
    assert not list(Path(caisson.home).glob("fetch/staging/*"))
    assert caisson("image", "fsck").returncode == 0


def test_other_tools_take_it(caisson, changed, workdir):
    caisson("commit", changed, "localhost/w:1", check=True)
    caisson("image", "save", "-o", workdir / "i.tar", "localhost/w:1", check=True)
    subprocess.run(["skopeo", "copy", "--insecure-policy", "-q", f"oci-archive:{workdir}/i.tar:localhost/w:1", f"oci:{workdir}/copy:x"], check=True,
                   env=dict(os.environ, HOME=str(workdir), XDG_RUNTIME_DIR=str(workdir)))
    assert caisson("run", "--rm", f"oci:{workdir}/copy:x", "/bin/cat", "/kept", check=True).stdout == "changed\n"


def test_an_image_of_an_image_of_a_box(caisson, changed):
    caisson("commit", changed, "localhost/w:1", check=True)
    second = caisson.detached("sleep", "1000", source="localhost/w:1")
    caisson("exec", second, "--", "/bin/sh", "-c", "echo 2 > /second; rm /kept", check=True)
    caisson("commit", second, "localhost/w:2", check=True)
    done = caisson("run", "--rm", "localhost/w:2", "/bin/sh", "-c", "cat /second /swapped; ls /kept")
    assert done.stdout == "2\nfile\n" and "kept" in done.stderr


def test_an_image_of_a_directory(caisson, busybox_root):
    box = caisson.detached("sleep", "1000", source=f"dir:{busybox_root}")
    caisson("exec", box, "--", "/bin/sh", "-c", "echo x > /new", check=True)
    caisson("commit", box, "localhost/d:1", check=True)
    assert caisson("run", "--rm", "localhost/d:1", "/bin/cat", "/new", check=True).stdout == "x\n"


def test_a_box_of_the_host_has_no_image(caisson):
    box = caisson("create", "host:", "true", check=True).stdout.strip()
    refused(caisson("commit", box, "x"), "host", "export")
    refused(caisson("commit", box, "Not/A/Name"), "Not/A/Name")


@pytest.mark.parametrize("state", ["runs", "stopped"])
def test_a_box_of_the_host_goes_through_an_archive(caisson, workdir, state):
    box = caisson.detached("sleep", "1000", options=("--name", "w", "-e", "A=b"))
    caisson("exec", box, "--", "sh", "-c", "echo x > /workspace/f; rm -f /etc/hostname", check=True)
    if state == "stopped":
        caisson("stop", "-t", "0", box, check=True)
    caisson("export", "-o", workdir / "w.tar", box, check=True)
    refused(caisson("import", "-i", workdir / "w.tar"), "'w'", "name")
    other = caisson("import", "-i", workdir / "w.tar", "--name", "w2", check=True).stdout.strip()
    info = caisson.inspect(other)
    assert info["state"] == "configured" and info["spec"]["env"]["A"] == "b"
    caisson("start", other, check=True)
    assert caisson("exec", other, "cat", "/workspace/f").stdout == "x\n"
    # Each has its own future.
    caisson("exec", other, "--", "sh", "-c", "echo y > /workspace/f", check=True)
    caisson("snapshot", "create", other, "s", check=True)
    assert caisson("diff", other).stdout.count("/workspace/f") == 1
    assert caisson("images", "-q").stdout == ""


def test_a_box_of_an_image_comes_back_when_all_else_is_gone(caisson, changed):
    look = caisson("exec", changed, "--", "/bin/sh", "-c", LOOK, check=True).stdout
    piped = caisson("export", changed, binary=True, check=True).stdout
    caisson("rm", "-f", changed, check=True)
    caisson("image", "prune", "-a", "--grace", "0s")
    made = caisson("import", input=piped, binary=True, check=True).stdout.decode().strip()
    caisson("start", made, check=True)
    assert caisson("exec", made, "--", "/bin/sh", "-c", LOOK, check=True).stdout == look
    assert caisson.inspect(made)["name"] == "w"


def members(archive):
    with tarfile.open(archive) as tar:
        return [(member, tar.extractfile(member).read() if member.isfile() else b"") for member in tar]


def rewrite(path, entries):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for member, content in entries:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_what_is_wrong_with_an_archive_is_said_and_nothing_is_made(caisson, workdir):
    box = caisson.detached("sleep", "1000", options=("--name", "w"))
    caisson("exec", box, "--", "sh", "-c", "echo x > /workspace/f", check=True)
    good = workdir / "good.tar"
    caisson("export", "-o", good, box, check=True)
    caisson("rm", "-f", box, check=True)
    bad = workdir / "bad.tar"
    whole = good.read_bytes()
    for length in (0, 100, 512, 1500, len(whole) // 2, len(whole) - 2000):
        bad.write_bytes(whole[:length])
        done = caisson("import", "-i", bad)
        assert done.returncode == 125, length
        assert done.error_line()
    bad.write_bytes(b"not a tar" * 1000)
    refused(caisson("import", "-i", bad), "archive")
    # A byte of any blob.
    for position, (member, content) in enumerate(members(good)):
        if not member.name.startswith("blobs/sha256/") or not content:
            continue
        entries = members(good)
        changed = bytearray(content)
        changed[len(changed) // 2] ^= 1
        entries[position] = (entries[position][0], bytes(changed))
        rewrite(bad, entries)
        done = caisson("import", "-i", bad)
        assert done.returncode == 125, member.name
    # Another version.
    entries = members(good)
    index = next(i for i, (member, _) in enumerate(entries) if member.name == "index.json")
    document = json.loads(entries[index][1])
    digest = document["manifests"][0]["annotations"]["run.caisson.box"]
    at = next(i for i, (member, _) in enumerate(entries) if member.name.endswith(digest[7:]))
    about = json.loads(entries[at][1])
    about["version"] = 2
    text = json.dumps(about).encode()
    document["manifests"][0]["annotations"]["run.caisson.box"] = "sha256:" + hashlib.sha256(text).hexdigest()
    entries[index] = (entries[index][0], json.dumps(document).encode())
    entries[at][0].name = "blobs/sha256/" + hashlib.sha256(text).hexdigest()
    entries[at] = (entries[at][0], text)
    rewrite(bad, entries)
    refused(caisson("import", "-i", bad), "version", "2")
    assert caisson("ps", "-aq").stdout == ""
    assert caisson("images", "-q").stdout == ""
    rewrite(bad, members(good))
    made = caisson("import", "-i", bad, check=True).stdout.strip()
    caisson("start", made, check=True)
    assert caisson("exec", made, "cat", "/workspace/f").stdout == "x\n"


def test_an_archive_without_a_box(caisson, changed, workdir):
    caisson("commit", changed, "localhost/w:1", check=True)
    caisson("image", "save", "-o", workdir / "i.tar", "localhost/w:1", check=True)
    refused(caisson("import", "-i", workdir / "i.tar"), "no box")


def test_what_an_archive_asks_for_is_checked(caisson, workdir):
    """A spec from an archive is validated like one from a person, and shows only what is there."""
    (workdir / "shared").mkdir()
    box = caisson("create", "-v", f"{workdir}/shared:/s", "--name", "w", "host:", "true", check=True).stdout.strip()
    caisson("export", "-o", workdir / "w.tar", box, check=True)
    refused(caisson("import", "-i", workdir / "w.tar", "--name", "w2"), "files of this host", "--trust")
    made = caisson("import", "-i", workdir / "w.tar", "--name", "w2", "--trust", check=True).stdout.strip()
    assert caisson.inspect(made)["spec"]["mounts"][0]["target"] == "/s"
    (workdir / "shared").rmdir()
    refused(caisson("import", "-i", workdir / "w.tar", "--name", "w3", "--trust"), "shared")


def test_an_archive_takes_no_name_and_no_image_away(caisson, workdir, source):
    """Of an image that is here already, or under a name that somebody uses."""
    box = caisson("create", "--name", "w", "host:", "true", check=True).stdout.strip()
    caisson("export", "-o", workdir / "w.tar", box, check=True)
    caisson("pull", source, check=True)
    ident = caisson("images", "-q", "--no-trunc", check=True).stdout.strip()
    caisson("image", "tag", ident, "localhost/mine:1", check=True)
    entries = members(workdir / "w.tar")
    at = next(i for i, (member, _) in enumerate(entries) if member.name == "index.json")
    document = json.loads(entries[at][1])
    document["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"] = "localhost/mine:1"
    entries[at] = (entries[at][0], json.dumps(document).encode())
    rewrite(workdir / "w2.tar", entries)
    caisson("import", "-i", workdir / "w2.tar", "--name", "w2", check=True)
    assert json.loads(caisson("image", "inspect", "localhost/mine:1", check=True).stdout)["id"] == ident


def test_killed_at_any_moment_nothing_is_left_of_it(caisson, changed, workdir):
    caisson("export", "-o", workdir / "w.tar", changed, check=True)
    for number in range(24):
        words = (("commit", changed, "localhost/k:1"), ("export", "-o", workdir / "k.tar", changed),
                 ("import", "-i", workdir / "w.tar", "--name", f"i{number}"))[number % 3]
        client = caisson.popen(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.003 * number)
        client.kill()
        client.wait()
    assert caisson("exec", changed, "--", "/bin/cat", "/kept", check=True).stdout == "changed\n"
    assert not (workdir / "k.tar").exists() or (workdir / "k.tar").stat().st_size > 1000
    # The next one clears what they have left.
    caisson("commit", changed, "localhost/w:1", check=True)
    assert caisson("snapshot", "ls", "-q", changed).stdout == ""
    for box in caisson.boxes():
        caisson("rm", "-f", box, check=True)
    caisson("prune", "-a", "--grace", "0s", check=True)
    assert caisson("image", "fsck").returncode == 0
    assert not [path for path in Path(caisson.home).glob("layers/*")]
    assert not [path for path in Path(caisson.home).glob("fetch/staging/*")]


@pytest.mark.root_only
def test_no_space_in_the_middle(caisson, workdir, source):
    """Of a commit, an export, an import, a copy: one clear line, and everything is as it was."""
    image, mount = workdir / "disk", workdir / "mount"
    mount.mkdir()
    subprocess.run(["truncate", "-s", "100M", image], check=True)
    subprocess.run(["mkfs.ext4", "-q", image], check=True, capture_output=True)
    subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    env = {"CAISSON_HOME": str(mount / "home")}
    try:
        box = caisson("run", "-d", "--name", "w", source, "sleep", "1000", env=env, check=True).stdout.strip()
        caisson("exec", box, "--", "/bin/sh", "-c", "head -c 25000000 /dev/urandom > /data; echo k > /kept", env=env, check=True)
        caisson("export", "-o", workdir / "w.tar", box, env=env, check=True)
        caisson("exec", box, "--", "/bin/sh", "-c", "head -c 18000000 /dev/urandom > /more; sync", env=env, check=True)
        before = caisson("ps", "-a", "-q", env=env, check=True).stdout
        (workdir / "big").write_bytes(bytes(90_000_000))
        (mount / "out").mkdir()
        for words in (("commit", box, "localhost/w:1"), ("import", "-i", workdir / "w.tar", "--name", "w2"),
                      ("cp", workdir / "big", f"{box}:/big"), ("export", "-o", mount / "out" / "w.tar", box),
                      ("cp", f"{box}:/data", mount / "out" / "data"), ("cp", f"{box}:/more", mount / "out" / "more"),
                      ("cp", f"{box}:/more", mount / "out" / "more2")):
            done = caisson(*words, env=env)
            if words[0] == "cp" and str(mount) in str(words[2]) and done.returncode == 0:
                continue  # there was room for this one
            refused(done, "No space left")
        assert sorted(path.name for path in (mount / "out").iterdir() if path.name.startswith(".")) == []
        assert not (mount / "out" / "w.tar").exists()
        for path in (mount / "out").iterdir():
            path.unlink()
        assert caisson("ps", "-a", "-q", env=env, check=True).stdout == before
        assert caisson("snapshot", "ls", "-q", box, env=env).stdout == ""
        assert caisson("exec", box, "--", "/bin/sh", "-c", "cat /kept; ls /big", env=env).stdout == "k\n"
        caisson("exec", box, "--", "/bin/rm", "/data", "/more", env=env, check=True)
        caisson("commit", box, "localhost/w:1", env=env, check=True)
        caisson("rm", "-f", box, env=env, check=True)
    finally:
        boxes = caisson("ps", "-aq", env=env).stdout.split()
        if boxes:
            caisson("rm", "-f", *boxes, env=env)
        subprocess.run(["umount", "-l", mount], check=True)
