"""Images of a home: listing, naming, removing, saving, checking, and pulls that are killed."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.images import Layer, busybox_image, file, write_docker_archive, write_layout, write_oci_archive

BASE = 3 << 20  # about what the busybox layer takes, blob and tree


def one(text, **details):
    return busybox_image(Layer([file("which", text)]), **details)


@pytest.fixture
def layout(workdir):
    def make(image, name="l"):
        return f"oci:{write_layout(workdir / name, {'latest': image})}"
    return make


def pull(caisson, source):
    return caisson("pull", "-q", source, check=True).stdout.strip()


def ids(caisson):
    return caisson("images", "-q", check=True).stdout.split()


def names(caisson, image):
    return json.loads(caisson("image", "inspect", image, check=True).stdout)["names"]


def fsck(caisson):
    done = caisson("image", "fsck", "--json")
    return done.returncode, done.json()["problems"]


def in_home(caisson, pattern):
    return sorted(Path(caisson.home).glob(pattern))


# --- looking ------------------------------------------------------------------------------------

@pytest.mark.without_subuid
def test_inspect_tells_everything(caisson, layout):
    image = one("1", config={"Env": ["A=b"], "ExposedPorts": {"80/tcp": {}}})
    pull(caisson, layout(image))
    info = json.loads(caisson("image", "inspect", image.digest[:19]).stdout)
    assert info["id"] == image.digest
    assert [layer["digest"] for layer in info["layers"]] == [layer.digest for layer in image.layers]
    assert [layer["diff_id"] for layer in info["layers"]] == [layer.diff_id for layer in image.layers]
    assert [layer["chain_id"] for layer in info["layers"]] == image.chain_ids
    assert info["config"]["env"] == ["A=b"] and info["config"]["command"] == ["sh"]
    assert (info["os"], info["architecture"]) == ("linux", "amd64")
    assert info["size"] == sum(len(data) for data in image.blobs().values())
    done = caisson("image", "inspect", "absent", image.digest)
    assert done.returncode != 0 and json.loads(done.stdout.splitlines()[-1])["id"] == image.digest


def test_history(caisson, layout):
    pull(caisson, layout(one("1", outer={"history": [
        {"created_by": "first"}, {"created_by": "\x1b]0;title\x07", "empty_layer": True}, {"created_by": "last"}]})))
    lines = [json.loads(line) for line in
             caisson("image", "history", "--json", ids(caisson)[0]).stdout.splitlines()]
    assert [line["created_by"] for line in lines] == ["last", "\x1b]0;title\x07", "first"]
    text = caisson("image", "history", ids(caisson)[0], check=True).stdout
    assert "\x1b" not in text and "last" in text


def test_common_layers_take_space_once(caisson, layout):
    first, second = (busybox_image(Layer([file("f", os.urandom(size))])) for size in (200_000, 500_000))
    pull(caisson, layout(first))
    pull(caisson, layout(second, "l2"))
    found = {line["id"]: line for line in map(json.loads, caisson("images", "--json").stdout.splitlines())}
    assert set(found) == {first.digest, second.digest}
    assert len(in_home(caisson, "layers/*")) == 3
    for image, size in ((first, 200_000), (second, 500_000)):
        own = found[image.digest]["own_bytes"]
        assert 2 * size <= own <= 2 * size + 100_000, "the blob, and the tree"
        assert found[image.digest]["disk_bytes"] >= own + 1_000_000
    assert "2 images" in caisson("images").stdout


def test_pull_prints_the_id_and_progress(caisson, layout):
    image = one("1")
    done = caisson("pull", layout(image), check=True)
    assert done.stdout == f"{image.digest}\n"
    assert "2 layers" in done.stderr and "done" in done.stderr and "\x1b" not in done.stderr and "\r" not in done.stderr
    done = caisson("pull", "-q", layout(one("2"), "l2"), check=True)
    assert done.stderr == ""
    done = caisson("pull", "--json", layout(one("3"), "l3"), check=True)
    assert done.stderr == ""
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0]["event"] == "resolved" and lines[-1]["image"]["id"] == one("3").digest
    assert {line.get("state") for line in lines} >= {"done", None}


# --- names --------------------------------------------------------------------------------------

@pytest.mark.without_subuid
def test_names_come_and_go(caisson, layout):
    image, other = one("1"), one("2")
    pull(caisson, layout(image))
    pull(caisson, layout(other, "l2"))
    caisson("image", "tag", image.digest, "app:1", check=True)
    caisson("image", "tag", "app:1", "localhost:5000/team/app", check=True)
    assert names(caisson, "app:1") == ["docker.io/library/app:1", "localhost:5000/team/app:latest"]
    assert caisson("run", "--rm", "--pull", "never", "app:1", "--", "cat", "/which").stdout == "1"
    done = caisson("rmi", image.digest)
    assert done.returncode == 1 and "names" in done.error_line()
    caisson("image", "tag", other.digest, "app:1", check=True)
    assert names(caisson, other.digest) == ["docker.io/library/app:1"]
    assert names(caisson, image.digest) == ["localhost:5000/team/app:latest"]
    assert "Deleted" not in caisson("rmi", "docker.io/library/app:1").stdout.split(other.digest)[0].replace("Deleted: ", "")
    caisson("rmi", image.digest[:20], check=True)
    assert ids(caisson) == []
    assert caisson("rmi", "app:1").returncode == 1


def test_names_that_are_none(caisson, layout):
    pull(caisson, layout(one("1")))
    for name in ("", "UPPER", "a:b:c:d", "../x", "a//b", "x" * 300, "a b", "\x1b[31m", f"a@{one('1').digest}"):
        done = caisson("image", "tag", ids(caisson)[0], name)
        assert done.returncode != 0, name
        assert "\x1b" not in done.error_line()
    assert names(caisson, ids(caisson)[0]) == []


def test_image_of_a_box_stays(caisson, layout):
    image = one("1")
    source = layout(image)
    box = caisson("create", "-q", source, "cat", "/which", check=True).stdout.strip()
    for command in (("rmi", image.digest), ("rmi", image.digest[7:20])):
        done = caisson(*command)
        assert done.returncode == 1 and box in done.error_line()
    caisson("image", "prune", "-a", "--grace", "0s", check=True)
    assert ids(caisson) == [image.digest]
    caisson("rmi", "-f", image.digest, check=True)
    assert caisson("start", "-a", box).stdout == "1", "its layers are kept"
    caisson("rm", "-f", box, check=True)
    caisson("image", "prune", "--grace", "0s", check=True)
    assert ids(caisson) == [] and in_home(caisson, "layers/*") == []


# --- archives -----------------------------------------------------------------------------------

@pytest.mark.without_subuid
def test_save_and_load(caisson, layout, workdir):
    image = one("saved", config={"Env": ["A=b"]})
    pull(caisson, layout(image))
    caisson("image", "tag", image.digest, "app:1", check=True)
    caisson("image", "save", "-o", workdir / "s.tar", "app:1", check=True)
    piped = caisson("image", "save", "app:1", binary=True, check=True).stdout
    assert piped == (workdir / "s.tar").read_bytes()
    for kind in ("oci-archive", "docker-archive"):
        done = subprocess.run(["skopeo", "inspect", "--config", f"{kind}:{workdir}/s.tar"], capture_output=True,
                              timeout=30, check=False)
        assert done.returncode == 0, f"{kind}: {done.stderr}"
        assert json.loads(done.stdout)["config"]["Env"] == ["A=b"]
    caisson("image", "prune", "-a", "--grace", "0s", check=True)
    assert ids(caisson) == []
    caisson("image", "load", "-q", "-i", workdir / "s.tar", check=True)
    assert ids(caisson) == [image.digest]
    assert names(caisson, "app:1") == ["docker.io/library/app:1"]
    caisson("image", "load", "-q", input=piped, check=True)
    assert caisson("run", "--rm", "app:1", "--", "cat", "/which").stdout == "saved"
    assert fsck(caisson) == (0, [])


def test_load_of_two_images(caisson, workdir):
    images = {"one:1": one("1"), ("two:1", "localhost/two:2"): one("2")}
    caisson("image", "load", "-q", "-i", write_docker_archive(workdir / "d.tar", images), check=True)
    assert len(ids(caisson)) == 2
    assert caisson("run", "--rm", "localhost/two:2", "--", "cat", "/which").stdout == "2"
    assert caisson("run", "--rm", "one:1", "--", "cat", "/which").stdout == "1"
    archive = write_oci_archive(workdir / "o.tar", {"one:3": one("3"), "four:4": one("4")})
    done = caisson("image", "load", "-q", "-i", archive, check=True)
    assert len(ids(caisson)) == 4, done.stdout
    done = caisson("image", "save", "-o", workdir / "both.tar", "one:1", "two:1", check=True)
    caisson("image", "prune", "-a", "--grace", "0s", check=True)
    caisson("image", "load", "-q", "-i", workdir / "both.tar", check=True)
    assert len(ids(caisson)) == 2


def test_load_beside_the_same_trees(caisson, layout, workdir):
    """Blobs are others in docker's archives. What fails in one layer is never a silent success."""
    pull(caisson, layout(one("1")))
    archive = write_docker_archive(workdir / "d.tar", {"a:1": one("1"), "b:1": one("2")})
    caisson("image", "load", "-q", "-i", archive, check=True)
    assert len(ids(caisson)) == 3
    assert fsck(caisson) == (0, [])


def test_load_of_what_is_no_archive(caisson, workdir):
    (workdir / "text").write_text("text\n" * 1000)
    (workdir / "empty").write_bytes(b"")
    write_docker_archive(workdir / "none", {}, manifest=b"[]")
    write_oci_archive(workdir / "no-index", {}, index=b'{"schemaVersion":2,"manifests":[]}')
    for name in ("text", "empty", "none", "no-index", "absent"):
        done = caisson("image", "load", "-q", "-i", workdir / name)
        assert done.returncode != 0, name
        done.error_line()
    assert ids(caisson) == []


# --- pruning ------------------------------------------------------------------------------------

def test_prune(caisson, layout):
    named, unnamed = one("1"), one("2")
    pull(caisson, layout(named))
    pull(caisson, layout(unnamed, "l2"))
    caisson("image", "tag", named.digest, "app", check=True)
    report = caisson("image", "prune", "--json", check=True).json()
    assert report["deleted"] == [unnamed.digest] and report["freed_bytes"] > 0
    assert ids(caisson) == [named.digest]
    assert caisson("image", "prune", "-a", "--json", check=True).json()["deleted"] == [named.digest]


def test_prune_spares_what_a_pull_may_need(caisson, layout):
    caisson("images", check=True)
    pull(caisson, layout(one("1")))
    stray = Path(caisson.home) / "blobs/sha256" / ("0" * 64)
    stray.write_bytes(b"x")
    half = Path(caisson.home) / "fetch/partial" / ("1" * 64)
    half.write_bytes(b"x")
    caisson("image", "prune", check=True)
    assert stray.exists() and half.exists()
    caisson("image", "prune", "--grace", "0s", check=True)
    assert not stray.exists() and not half.exists()


def test_prune_between_watermarks(caisson, layout):
    images = []
    for number in range(4):
        images.append(busybox_image(Layer([file("f", os.urandom(1_000_000))], "none")))
        pull(caisson, layout(images[-1], f"l{number}"))
        caisson("image", "tag", images[-1].digest, f"app:{number}", check=True)
        time.sleep(0.01)
    caisson("run", "--rm", "app:0", "--", "true", check=True)  # used last
    caisson("image", "prune", "--high", "1g", check=True)
    assert len(ids(caisson)) == 4
    report = caisson("image", "prune", "--high", "9m", "--low", "8m", "--json", check=True).json()
    assert images[1].digest in report["deleted"] and images[0].digest not in report["deleted"]
    assert images[0].digest in ids(caisson) and 1 <= len(ids(caisson)) < 4


# --- checking -----------------------------------------------------------------------------------

def flip(path, offset):
    mode = os.stat(path).st_mode
    os.chmod(path, 0o600)
    with open(path, "r+b") as file_:
        file_.seek(offset)
        byte = file_.read(1)
        file_.seek(offset)
        file_.write(bytes([byte[0] ^ 1]))
    os.chmod(path, mode & 0o7777)


def test_save_passes_no_changed_blob_on(caisson, layout, workdir):
    image = one("saved")
    pull(caisson, layout(image))
    blob = Path(caisson.home) / "blobs/sha256" / image.layers[-1].digest[7:]
    flip(blob, blob.stat().st_size // 2)
    done = caisson("image", "save", "-o", workdir / "s.tar", image.digest)
    assert done.returncode == 125 and blob.name in done.error_line() and "rmi" in done.error_line()
    assert not (workdir / "s.tar").exists()


@pytest.mark.parametrize("what", ["layer", "manifest", "config"])
def test_fsck_finds_a_flipped_byte_in_a_blob_and_pull_repairs_it(caisson, layout, what):
    image = one("1")
    source = layout(image)
    pull(caisson, source)
    assert fsck(caisson) == (0, [])
    digest = {"layer": image.layers[1].digest, "manifest": image.digest,
              "config": json.loads(image.manifest)["config"]["digest"]}[what]
    flip(Path(caisson.home) / "blobs/sha256" / digest[7:], 30)
    status, problems = fsck(caisson)
    assert status == 1 and any(digest[7:19] in problem["object"] + problem["text"] for problem in problems)
    if what == "layer":  # a pull does not look at a layer that is here: it has to go first
        caisson("rmi", image.digest, check=True)
        caisson("image", "prune", "--grace", "0s", check=True)
    caisson("pull", "-q", source, check=True)
    assert fsck(caisson) == (0, [])


@pytest.mark.root_only
def test_fsck_finds_a_changed_tree_and_a_pull_repairs_it(caisson, layout):
    image = one("content")
    source = layout(image)
    tree = Path(caisson.home) / "layers" / image.chain_ids[1][7:]
    changes = {"byte": lambda: flip(tree / "which", 0), "mode": lambda: (tree / "which").chmod(0o777),
               "gone": lambda: (tree / "which").unlink(), "more": lambda: (tree / "more").write_text("x")}
    for name, change in changes.items():
        pull(caisson, source)
        assert fsck(caisson) == (0, []), name
        change()
        status, problems = fsck(caisson)
        assert status == 1 and len(problems) == 1, name
        assert image.chain_ids[1][7:19] in problems[0]["object"]
        caisson("rmi", image.digest, check=True)
        caisson("image", "prune", "-a", "--grace", "0s", check=True)


@pytest.mark.root_only
def test_pull_repairs_a_tree_that_is_gone(caisson, layout):
    image = one("content")
    source = layout(image)
    pull(caisson, source)
    subprocess.run(["rm", "-r", str(Path(caisson.home) / "layers" / image.chain_ids[1][7:])], check=True)
    assert fsck(caisson)[0] == 1
    done = caisson("run", "--rm", "--pull", "never", image.digest, "--", "true")
    assert done.returncode == 125 and "fsck" in done.error_line()
    pull(caisson, source)
    assert fsck(caisson) == (0, [])


# --- killed and concurrent pulls ----------------------------------------------------------------

def several_layers():
    return busybox_image(*[Layer([file(f"f{number}", os.urandom(300_000)), *(file(f"d{number}/{i}", b"x") for i in
                                  range(50))]) for number in range(5)])


@pytest.mark.without_subuid
def test_pull_killed_at_any_moment(caisson, layout):
    """A later one succeeds, and nothing is left of the others."""
    image = several_layers()
    source = layout(image)
    began = time.monotonic()
    pull(caisson, source)
    whole = time.monotonic() - began
    caisson("image", "prune", "-a", "--grace", "0s", check=True)
    chance = random.Random(3)
    for turn in range(50):
        process = caisson.popen("pull", "-q", source, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(chance.random() * whole * 1.1)
        process.send_signal(signal.SIGKILL if turn % 3 else signal.SIGTERM)
        process.wait(timeout=20)
        if turn % 10 == 9:
            pull(caisson, source)
            assert fsck(caisson) == (0, []), turn
            caisson("image", "prune", "-a", "--grace", "0s", check=True)
    pull(caisson, source)
    assert fsck(caisson) == (0, [])
    caisson("image", "prune", "--grace", "0s", check=True)
    assert in_home(caisson, "fetch/staging/*") == []


def test_interrupted_pull_says_so(caisson, workdir):
    image = busybox_image(*[Layer([file(f"f{i}", os.urandom(4_000_000))], "none") for i in range(6)])
    write_layout(workdir / "l", {"latest": image})
    process = caisson.popen("pull", f"oci:{workdir}/l", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE)
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode in (0, 128 + signal.SIGINT), err
    pull(caisson, f"oci:{workdir}/l")


def test_pulls_at_the_same_time(caisson, layout):
    """Of one image, and of others on the same base."""
    image = several_layers()
    sources = [layout(image), layout(one("2"), "l2"), layout(image, "l3")] * 2
    running = [caisson.popen("pull", "-q", source, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE) for source in sources]
    for process in running:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert out.decode().strip() in (image.digest, one("2").digest)
    assert fsck(caisson) == (0, [])
    assert len(in_home(caisson, "layers/*")) == 1 + 5 + 1


def test_pull_and_prune_at_the_same_time(caisson, layout):
    image = several_layers()
    source = layout(image)
    pruning = [caisson.popen("image", "prune", "-a", "--grace", "0s", stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL) for _ in range(1)]
    for _ in range(10):
        process = caisson.popen("pull", "-q", source, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.PIPE)
        pruning.append(caisson.popen("image", "prune", "-a", "--grace", "1h", stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL))
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    for process in pruning:
        assert process.wait(timeout=60) == 0
    pull(caisson, source)
    assert fsck(caisson) == (0, [])
