"""Images out of directories and archives: the same trees whatever they come in, and what a box takes
over from an image."""

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from support import host
from support.attack import wait_for
from support.images import (Index, Layer, busybox_image, directory, fifo, file,
                            hardlink, link, opaque, pax, raw, sha256, whiteout, write_docker_archive,
                            write_layout, write_oci_archive)

STAT = "find / -xdev -path /proc -prune -o -path /dev -prune -o -path /sys -prune -o -print | sort"


@pytest.fixture
def layout(workdir):
    """Makes a layout in the work directory: layout({tag: image}) gives its reference."""
    made = []

    def make(images, **details):
        folder = workdir / f"layout{len(made)}"
        made.append(folder)
        write_layout(folder, images if isinstance(images, dict) else {"latest": images}, **details)
        return f"oci:{folder}"
    return make


def pull(caisson, *arguments):
    """The id of the image."""
    return caisson("pull", "-q", *arguments, check=True).stdout.strip()


def tree_path(caisson, chain_id):
    return Path(caisson.home) / "layers" / chain_id.removeprefix("sha256:")


def run(caisson, source, *words, options=(), **keywords):
    return caisson("run", "--rm", "-q", *options, source, *(["--", *words] if words else []), **keywords)


def listing(caisson, source, names):
    """What a box of `source` sees of `names`: type, mode, owner, size, time, target, content."""
    script = ('for f; do stat -c "%n %F %a %u:%g %Y" "$f"; if [ -L "$f" ]; then readlink "$f"; '
              'elif [ -f "$f" ]; then stat -c "%s" "$f"; sha256sum < "$f"; fi; done')
    done = run(caisson, source, "sh", "-c", script, "sh", *names, check=True)
    return done.stdout


SAMPLE = [
    directory("data", mode=0o751), file("data/a", "content a\n", mode=0o640, mtime=1_500_000_000),
    file("data/own", "x", uid=1000, gid=44), link("data/l", "a"), link("data/dangling", "/no/such"),
    hardlink("data/h", "data/a"), file("data/empty", b""), file("data/exec", "#!/bin/sh\necho ran\n", mode=0o755),
    fifo("data/pipe"), directory("data/sticky", mode=0o1777), file("data/ünï", "ü"),
    file("data/" + "n" * 200, "long"), file("data/" + "/".join(["d" * 90] * 4) + "/f", "longer than 256"),
]
SAMPLE_NAMES = ["/data", *(f"/data/{name}" for name in (
    "a", "own", "l", "dangling", "h", "empty", "exec", "pipe", "sticky", "ünï", "n" * 200,
    "/".join(["d" * 90] * 4), "/".join(["d" * 90] * 4) + "/f"))]


def sample_image(compression="gzip", **details):
    return busybox_image(Layer(SAMPLE, compression), compression=compression, **details)


# --- where an image comes from ------------------------------------------------------------------

@pytest.mark.without_subuid
def test_pull_and_run(caisson, layout):
    image = sample_image()
    assert pull(caisson, layout(image)) == image.digest
    done = run(caisson, f"{layout(image)}:latest", "cat", "/data/a")
    assert (done.returncode, done.stdout, done.stderr) == (0, "content a\n", "")


@pytest.mark.without_subuid
def test_every_source_gives_the_same_tree(caisson, layout, workdir):
    """With every compression, and with docker's media types."""
    sources = [layout(sample_image(kind)) for kind in ("none", "gzip", "zstd")]
    sources.append(layout(sample_image(family="docker")))
    sources.append(f"oci-archive:{write_oci_archive(workdir / 'a.tar', {'latest': sample_image()})}")
    sources.append(f"docker-archive:{write_docker_archive(workdir / 'd.tar', {'sample:1': sample_image()})}")
    seen = {source: listing(caisson, source, SAMPLE_NAMES) for source in sources}
    first = seen[sources[0]]
    if host.missing_subuid() is None:
        assert "/data/own regular file 644 1000:44 1600000000\n1\n" in first
        assert "/data/sticky directory 1777 0:0 1600000000\n" in first
    assert "/data/a regular file 640 0:0 1500000000\n10\n" in first
    assert "/data/dangling symbolic link 777 0:0 1600000000\n/no/such\n" in first
    assert "/data/pipe fifo 644" in first
    for source, text in seen.items():
        assert text == first, source
    assert len(os.listdir(f"{caisson.home}/layers")) == 2, "one tree for each chain id"
    assert caisson("image", "fsck").returncode == 0


def test_archive_that_has_a_tree_but_not_its_blob(caisson, layout, workdir):
    """In docker's archive the same layer is another blob."""
    pull(caisson, layout(busybox_image()))
    archive = write_docker_archive(workdir / "d.tar", {"b:1": busybox_image()})
    pull(caisson, f"docker-archive:{archive}")
    assert caisson("image", "fsck").returncode == 0


def test_tag_of_a_layout(caisson, layout):
    one, two = (busybox_image(Layer([file("which", which)])) for which in ("one", "two"))
    source = layout({"first": one, "second": two})
    assert pull(caisson, f"{source}:first") == one.digest
    assert run(caisson, f"{source}:second", "cat", "/which").stdout == "two"
    done = caisson("pull", f"{source}:third")
    assert done.returncode == 1
    assert "third" in done.stderr.splitlines()[-1]


def test_what_is_no_source(caisson, workdir):
    (workdir / "empty").mkdir()
    (workdir / "text").write_text("no archive\n" * 100)
    for source in ("oci:/no/such/dir", f"oci:{workdir}/empty", f"oci-archive:{workdir}/text",
                   f"docker-archive:{workdir}/text", f"oci-archive:{workdir}/empty", "oci:", "nonsense:/x y",
                   f"oci:{workdir}/text"):
        done = caisson("pull", "-q", source)
        assert done.returncode == 1, source
        done.error_line()
    assert caisson("images", "-q").stdout == ""


def test_compressed_archive_is_named(caisson, workdir):
    archive = write_docker_archive(workdir / "d.tar.gz", {"b:1": busybox_image()}, "gzip")
    done = caisson("pull", "-q", f"docker-archive:{archive}")
    assert done.returncode == 1 and "gzip" in done.error_line()


# --- what a box takes over ----------------------------------------------------------------------

def test_configuration_of_an_image(caisson, layout):
    script = "echo $A:$PATH:$(pwd):$(id -u):$(id -g):$HOME:$*"
    source = layout(busybox_image(config={
        "Entrypoint": ["/bin/sh", "-c", script, "sh"], "Cmd": ["one", "two"], "Env": ["A=b c", "PATH=/bin"],
        "WorkingDir": "/home/app", "User": "app:video"}))
    own = 0 if host.missing_subuid() else 1000
    done = run(caisson, source)
    if own:
        assert done.stdout == "b c:/bin:/home/app:1000:44:/home/app:one two\n", done.stderr
        assert run(caisson, source, "three").stdout == "b c:/bin:/home/app:1000:44:/home/app:three\n"
    done = run(caisson, source, options=("--entrypoint", "/bin/echo", "-u", "0"))
    assert done.stdout in ("\n", "one two\n")
    done = run(caisson, source, "x", options=("--entrypoint", '["/bin/echo", "a"]', "-u", "0"))
    assert done.stdout == "a x\n"
    done = run(caisson, source, "-w", options=("-e", "A=mine", "-w", "/tmp", "-u", "root"))
    assert done.stdout == "mine:/bin:/tmp:0:0:/root:-w\n"


@pytest.mark.without_subuid
def test_command_of_an_image(caisson, layout):
    source = layout(busybox_image(config={"Cmd": ["sh", "-c", "echo $0"]}))
    assert run(caisson, source).stdout == "sh\n"
    assert run(caisson, source, "echo", "own").stdout == "own\n"


def test_image_without_a_command(caisson, layout):
    source = layout(busybox_image(config={"Cmd": None}))
    done = run(caisson, source)
    assert done.returncode == 125
    assert "command" in done.error_line()


def test_command_that_is_not_there(caisson, layout):
    done = run(caisson, layout(busybox_image(config={"Cmd": ["/no/such"]})))
    assert done.returncode == 127
    assert "/no/such" in done.error_line()


def test_user_that_is_not_there(caisson, layout):
    done = run(caisson, layout(busybox_image(config={"User": "nobody-here"})), "id")
    assert done.returncode == 125
    assert "nobody-here" in done.error_line()


def test_volumes_are_writable_on_a_read_only_root(caisson, layout):
    """And have what the image has there."""
    layer = Layer([directory("vol"), file("vol/there", "x"), directory("other")])
    source = layout(busybox_image(layer, config={"Volumes": {"/vol": {}}}))
    done = run(caisson, source, "sh", "-c", "touch /other/f 2>&1; cat /vol/there; echo y > /vol/f && cat /vol/f",
               options=("--read-only",))
    assert "Read-only" in done.stdout
    assert done.stdout.endswith("xy\n"), done.stderr


def test_stop_signal_and_labels_are_shown(caisson, layout):
    source = layout(busybox_image(config={"StopSignal": "SIGUSR1", "Labels": {"org.example": "v\n1"}}))
    box = caisson.detached("sh", "-c", "trap 'exit 9' USR1; echo ready; while :; do sleep 0.05; done", source=source,
                           options=("-q",))
    wait_for(lambda: "ready" in caisson("logs", box).stdout, what="trap")
    assert caisson.inspect(box)["spec"]["stop_signal"] == "SIGUSR1"
    caisson("stop", box, check=True)
    assert caisson.inspect(box)["exit"]["exit_code"] == 9
    info = json.loads(caisson("image", "inspect", caisson("images", "-q").stdout.strip()).stdout)
    assert info["config"]["labels"] == {"org.example": "v\n1"}


# --- platforms ----------------------------------------------------------------------------------

def platforms(**details):
    return {architecture: busybox_image(Layer([file("arch", architecture)]), architecture=architecture, **details)
            for architecture in ("amd64", "arm64", "s390x")}


@pytest.mark.parametrize("nested", [False, True], ids=["flat", "nested"])
@pytest.mark.parametrize("family", ["oci", "docker"])
def test_platform_out_of_an_index(caisson, layout, family, nested):
    made = platforms(family=family)
    index = Index(made.values(), family)
    if nested:
        index = Index([index], family)
    source = layout({"latest": index})
    assert pull(caisson, source) == made["amd64"].digest
    assert pull(caisson, "--platform", "linux/arm64", source) == made["arm64"].digest
    done = caisson("pull", "-q", "--platform", "linux/riscv64", source)
    assert done.returncode == 1
    line = done.error_line()
    assert "linux/riscv64" in line
    for architecture in made:
        assert f"linux/{architecture}" in line
    info = json.loads(caisson("image", "inspect", made["arm64"].digest).stdout)
    assert info["architecture"] == "arm64"


def test_platform_that_is_none(caisson, layout):
    for platform in ("linux/", "/", "a/b/c/d", "linux/amd64\n", ""):
        done = caisson("pull", "-q", "--platform", platform, layout(busybox_image()))
        assert platform == "" or done.returncode == 1, platform


# --- layers on layers ---------------------------------------------------------------------------

def below():
    return Layer([directory("d", mode=0o711, uid=0, mtime=1_400_000_000), file("d/gone", "1"), file("d/kept", "2"),
                  directory("o"), file("o/hidden", "3"), directory("o/sub"), file("o/sub/hidden", "4"),
                  directory("implicit", mode=0o705, mtime=1_300_000_000), file("target", "linked\n", mode=0o604),
                  link("s", "d"), directory("replaced"), file("replaced/f", "5")])


def above():
    return Layer([whiteout("d/gone"), opaque("o"), file("o/new", "6"), file("implicit/new", "7"),
                  hardlink("linked", "target"), file("replaced", "now a file"), whiteout("absent"),
                  file("made/of/nothing", "8")])


EXPECTED = """/d kept
/o new
/implicit new
711 1400000000
705
linked
604
now a file
755 of nothing
8"""


@pytest.mark.without_subuid
@pytest.mark.parametrize("how", ["overlay", "merged"])
def test_layers_hide_each_other(caisson, layout, how):
    script = ("for d in d o implicit; do echo /$d $(ls /$d); done; stat -c '%a %Y' /d; stat -c %a /implicit; "
              "cat /linked; stat -c %a /linked; cat /replaced; echo; echo $(stat -c %a /made) $(ls /made) "
              "$(ls /made/of); cat /made/of/nothing")
    source = layout(busybox_image(below(), above()))
    done = run(caisson, source, "sh", "-c", script, options=("--rootfs", how))
    assert done.returncode == 0, done.stderr
    assert done.stdout == EXPECTED


def test_whiteouts_then_the_same_names_again(caisson, layout):
    layers = [Layer([directory("d"), file("d/f", "old"), file("d/g", "old")]), Layer([whiteout("d")]),
              Layer([directory("d"), file("d/f", "new")]), Layer([whiteout("d/f"), file("d/f2", "2")]),
              Layer([file("d/f", "newest")])]
    done = run(caisson, layout(busybox_image(*layers)), "sh", "-c", "ls /d; cat /d/f")
    assert done.stdout.split() == ["f", "f2", "newest"]


def sparse_member():
    """GNU's sparse format 1.0: 1 MiB of which the last 4 KiB are there."""
    size, part = 1 << 20, 4096
    table = b"1\n%d\n%d\n" % (size - part, part)
    content = table + bytes(512 - len(table)) + b"s" * part
    return pax({b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.name": b"sparse",
                b"GNU.sparse.realsize": b"%d" % size}) + raw(b"GNUSparseFile.0/sparse", content)


def test_sparse_file(caisson, layout):
    done = run(caisson, layout(busybox_image(Layer([sparse_member()]))), "sh", "-c",
               "stat -c %s /sparse; head -c 1044480 /sparse | sha256sum; grep -c ssss /sparse")
    expected = sha256(bytes(1044480)).removeprefix("sha256:")
    assert done.stdout.splitlines()[:2] == ["1048576", f"{expected}  -"], done.stderr


@pytest.mark.parametrize("count", [130, 300])
def test_many_layers(caisson, layout, count):
    layers = [Layer([file(f"many/{number:03}", str(number))], "none") for number in range(count)]
    done = run(caisson, layout(busybox_image(*layers)), "sh", "-c", "ls /many | wc -l; cat /many/000 /many/129")
    assert done.stdout == f"{count}\n0129", done.stderr
    caisson("image", "prune", "-a", "--grace", "0s", check=True)


def test_same_layer_twice(caisson, layout):
    layer = Layer([file("f", "x"), whiteout("g")])
    done = run(caisson, layout(busybox_image(layer, Layer([file("g", "y")]), layer)), "sh", "-c", "ls /f /g 2>&1")
    assert "/f\n" in done.stdout and "No such file" in done.stdout


# --- the same as umoci --------------------------------------------------------------------------

class Merged:
    """A root directory of trees, as the overlay would show it."""

    def __init__(self, trees):
        self.found = {}
        for tree in trees:
            self.add(tree, "")

    def add(self, tree, name):
        for entry in sorted(os.scandir(tree / name), key=lambda e: e.name):
            path = f"{name}{entry.name}"
            info = entry.stat(follow_symlinks=False)
            if stat.S_ISCHR(info.st_mode) and info.st_rdev == 0:
                self.remove(path)
                continue
            is_dir = entry.is_dir(follow_symlinks=False)
            if not is_dir or "user.overlay.opaque" in os.listxattr(entry.path, follow_symlinks=False):
                self.remove(path)
            self.found[path] = describe(entry.path)
            if is_dir:
                self.add(tree, f"{path}/")

    def remove(self, path):
        for known in [known for known in self.found if known == path or known.startswith(f"{path}/")]:
            del self.found[known]


def describe(path):
    info = os.lstat(path)
    kind = stat.S_IFMT(info.st_mode)
    content = os.readlink(path) if kind == stat.S_IFLNK else Path(path).read_bytes() if kind == stat.S_IFREG else b""
    xattrs = {name: os.getxattr(path, name, follow_symlinks=False)
              for name in os.listxattr(path, follow_symlinks=False) if not name.startswith("user.overlay.")}
    size = info.st_size if kind == stat.S_IFREG else 0
    return (oct(info.st_mode), info.st_uid, info.st_gid, info.st_mtime_ns, info.st_rdev, size, content, xattrs)


def umoci_tree(folder, tag, into):
    subprocess.run(["umoci", "unpack", "--image", f"{folder}:{tag}", str(into)], check=True, timeout=60,
                   capture_output=True)
    root = into / "rootfs"
    found = {}
    for path in sorted(root.rglob("*")):
        found[str(path.relative_to(root))] = describe(path)
    return found


@pytest.mark.root_only
def test_trees_equal_those_of_umoci(caisson, workdir):
    extra = Layer([directory("x"), file("x/attr", "x", xattrs={"user.one": b"1", "user.two": b"\x01bin"}),
                   file("x/setuid", "x", mode=0o4755), file("x/setgid", "x", mode=0o2755, gid=44),
                   file("x/times", "x", pax={"mtime": "1500000000.123456789"}),
                   file("x/before", "x", mtime=1), file("x/ids", "x", uid=65533, gid=60000)])
    image = busybox_image(Layer(SAMPLE), below(), above(), extra)
    write_layout(workdir / "l", {"latest": image})
    pull(caisson, f"oci:{workdir}/l")
    ours = Merged([tree_path(caisson, chain) for chain in image.chain_ids]).found
    theirs = umoci_tree(workdir / "l", "latest", workdir / "bundle")
    assert sorted(ours) == sorted(theirs)
    # A directory that no member names has the time of the unpacking at umoci's, and its parent too.
    deep = "data/" + "d" * 90
    for name in [name for name in ours if name.startswith(deep) and not name.endswith("/f")] + [
            "data", "made", "made/of"]:
        ours[name], theirs[name] = (ours[name][0:3], theirs[name][0:3])
    different = {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}
    assert not different, json.dumps(different, default=str, indent=1)
