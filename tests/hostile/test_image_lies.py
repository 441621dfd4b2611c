"""Images whose documents, blobs, directories or archives lie. Whatever comes: nothing outside changes;
and what is refused is refused in one line and leaves nothing."""

import json
import os
import subprocess
import time

import pytest

from support.images import (Image, Index, Layer, busybox_image, file, hardlink, header, link, sha256, tar_bytes,
                            write_docker_archive, write_layout, write_oci_archive)


# --- lies about blobs ---------------------------------------------------------------------------

def lying(**lies):
    return Layer([file("f", "x")], lies=lies)


@pytest.mark.without_subuid
def test_lies_about_a_layer(trial):
    good = Layer([file("f", "x")])
    wrong = sha256(b"something else")
    trial.refused(Image([lying(digest=wrong)]), wrong[7:19])
    for size in (len(good.blob) - 1, len(good.blob) + 1, 0, -1, 1 << 62, "12", None, 1.5):
        trial.refused(Image([lying(size=size)]))
    trial.refused(Image([lying(diff_id=wrong)]))
    for media_type in ("application/vnd.oci.image.layer.v1.tar+zstd", "application/vnd.oci.image.layer.v1.tar",
                       "text/plain", "", "application/vnd.oci.image.layer.v1.tar+lzma", 5):
        trial.refused(Image([lying(media_type=media_type)]))
    trial.refused(Image([lying(media_type="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")]))
    trial.refused(Image([lying(media_type="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip")]))
    for digest in ("sha256:" + "0" * 63, "sha256:" + "A" * 64, "sha256:../../../../etc/passwd", "md5:abc", "", "sha512:" + "0" * 128):
        layer = Layer([file("f", "x")])
        layer.digest = digest
        image = Image([layer])
        trial.refused(image, leave_out=(digest,))


@pytest.mark.without_subuid
def test_blobs_cut_short_or_missing(trial):
    for compression in ("none", "gzip", "zstd"):
        whole = Layer([file("f", os.urandom(5000))], compression)
        for size in (0, 1, 20, len(whole.blob) // 2, len(whole.blob) - 1):
            image = Image([Layer(whole.tar, compression, blob=whole.blob[:size])])
            trial.refused(image)
        trial.refused(Image([whole]), leave_out=(whole.digest,))
        if compression != "none":
            trial.refused(Image([Layer(whole.tar, compression, blob=whole.blob + b"garbage behind")]))


@pytest.mark.without_subuid
def test_number_of_layers_and_diff_ids_differ(trial):
    layer = Layer([file("f", "x")])
    for diff_ids in ([], [layer.diff_id] * 2, "x", None, [5], [layer.diff_id + "0"]):
        trial.refused(Image([layer], outer={"rootfs": {"type": "layers", "diff_ids": diff_ids}}))


# --- documents ----------------------------------------------------------------------------------

NESTING = b'{"schemaVersion":2,"x":' + b"[" * 500_000 + b"]" * 500_000 + b"}"


@pytest.mark.without_subuid
def test_manifests_that_are_none(trial):
    good = Image([Layer([file("f", "x")])])
    padding = b'{"schemaVersion": 2, "pad": "' + b"x" * (5 << 20) + b'"}'
    for text in (b"", b"{}", b"[]", b"null", b"\xff\xfe", b'{"schemaVersion":1}', b"{" * 100_000, NESTING, padding,
                 good.manifest[:-1], good.manifest + b"x", good.manifest.replace(b'"layers"', b'"layer"'),
                 b'{"schemaVersion":2,"schemaVersion":2,"config":{},"layers":[]}', b"1e999999999", b'"\\ud800"'):
        trial.refused(Image([Layer([file("f", "x")])], lies={"manifest": text}))
        trial.refused(Index([], manifest=text))


@pytest.mark.without_subuid
def test_configurations_that_are_none(trial):
    for text in (b"", b"[]", b"null", NESTING, b'{"config": ' + b"9" * 1_000_000 + b"}", b"{" * 1000, b"\0" * 100,
                 b'{"x": "' + b"x" * (5 << 20) + b'"}'):
        trial.refused(Image([Layer([file("f", "x")])], lies={"config": text}))


def test_configuration_with_hostile_values(trial):
    """Refused, or shown without doing anything to a terminal."""
    for config in ({"Env": ["A=\x1b[31m", "=x", "NUL\0=x", "no equals"]}, {"Env": "A=b"}, {"User": "../../x"},
                   {"WorkingDir": "/../../../x"}, {"WorkingDir": "/proc/self/fd/3"}, {"Volumes": {"/../x": {}}},
                   {"Volumes": {"/proc": {}, "/": {}, "relative": {}}}, {"Entrypoint": [""]}, {"Cmd": [5]},
                   {"StopSignal": "SIGNOTHING"}, {"StopSignal": "99999"}, {"Labels": {"\x1b": "\x1b"}},
                   {"User": "-1"}, {"User": "4294967295"}, {"ExposedPorts": {"\x1b[2J": {}}}, {"Env": ["X=" + "y" * 500_000]}):
        done = trial.pull(busybox_image(config=config))
        if done.returncode != 0:
            done.error_line()
            continue
        done = trial.caisson("run", "--rm", "--pull", "never", done.stdout.strip(), "--", "sh", "-c", "ls -d /canary; true")
        assert done.returncode in (0, 125, 126) and "\x1b[" not in done.stderr
        if done.returncode != 0:
            done.error_line()
        assert "\x1b" not in trial.caisson("image", "inspect", *trial.caisson("images", "-q").stdout.split()).stdout
        assert "\x1b" not in trial.caisson("images").stdout


@pytest.mark.without_subuid
def test_indexes_that_never_end(trial):
    inner = Image([Layer([file("f", "x")])])
    for _ in range(6):
        inner = Index([inner])
    trial.refused(inner)
    # One that names a digest which is its own place: the digest cannot be right.
    name = "sha256:" + "5" * 64
    text = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": name, "size": 250}]}).encode()
    folder = write_layout(trial.workdir / "loop", {}, index=text)
    (folder / "blobs/sha256" / name[7:]).write_bytes(text.ljust(250))
    trial.check_refused(trial.pull_source(f"oci:{folder}"))
    crowd = json.dumps({"schemaVersion": 2, "manifests": [Image([]).descriptor()] * 20_000}).encode()
    trial.refused(Index([], manifest=crowd))


@pytest.mark.without_subuid
def test_a_thousand_layers(trial):
    layer = Layer([file("f", "x")], "none")
    trial.refused(Image([layer] * 1000))


# --- directories and archives -------------------------------------------------------------------

@pytest.mark.without_subuid
def test_layouts_that_lead_out(trial, canary):
    """The source reads as whom it must, and never what a link names outside."""
    image = Image([Layer([file("f", "x")])])
    for name in ("index.json", "oci-layout", "blobs", "blobs/sha256", f"blobs/sha256/{image.digest[7:]}"):
        folder = write_layout(trial.workdir / name.replace("/", "-"), {"latest": image})
        path = folder / name
        path.rename(trial.workdir / ("moved-" + name.replace("/", "-")))
        for target in (canary.folder, canary.file, "/dev/zero", "/proc/self/fd/3", name):
            path.symlink_to(target)
            done = trial.pull_source(f"oci:{folder}")
            trial.check_refused(done)
            assert canary.secret not in done.stderr
            path.unlink()
        os.mkfifo(path)
        trial.check_refused(trial.pull_source(f"oci:{folder}"))


@pytest.mark.without_subuid
def test_archives_that_are_none(trial, canary):
    image = Image([Layer([file("f", "x")])])
    files = {"text": b"no archive " * 1000, "empty": b"", "zeros": bytes(10240), "tar": tar_bytes([file("x", "y")]),
             "cut": write_oci_archive(trial.workdir / "whole", {"latest": image}).read_bytes()[:3000],
             "link": tar_bytes([link("index.json", str(canary.file)), link("manifest.json", str(canary.file))]),
             "hardlink": tar_bytes([hardlink("index.json", str(canary.file)), hardlink("manifest.json", "x")]),
             "loop": tar_bytes([link("index.json", "index.json"), link("manifest.json", "manifest.json")]),
             "huge": header(b"manifest.json", size=1 << 33) + bytes(512),
             "deep": tar_bytes([file("manifest.json", NESTING), file("index.json", NESTING)])}
    for name, data in files.items():
        (trial.workdir / name).write_bytes(data)
        for kind in ("oci-archive", "docker-archive"):
            done = trial.pull_source(f"{kind}:{trial.workdir / name}")
            trial.check_refused(done)
            assert canary.secret not in done.stderr
        assert trial.caisson("image", "load", "-q", "-i", trial.workdir / name).returncode != 0
    for fields in ([{"Config": "../../x", "Layers": []}], [{"Config": "/etc/passwd", "Layers": ["/etc/passwd"]}],
                   [{"Config": "c", "Layers": ["../l"]}], [{"Layers": ["x"]}], {}, [5], [{}], [],
                   [{"Config": "c", "Layers": 5, "RepoTags": "x"}]):
        path = write_docker_archive(trial.workdir / "d", {}, manifest=json.dumps(fields).encode(),
                                    extra=[file("c", "{}"), file("l", "x")])
        trial.check_refused(trial.pull_source(f"docker-archive:{path}"))


def test_archive_that_shrinks_and_grows(trial):
    """A source that changes while it is read is an error, never a crash or another image."""
    big = Image([Layer([file("f", os.urandom(20_000_000))], "none")])
    path = write_oci_archive(trial.workdir / "a", {"latest": big})
    whole = path.stat().st_size
    process = trial.caisson.popen("pull", "-q", f"oci-archive:{path}", stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    time.sleep(0.02)
    os.truncate(path, whole // 2)
    _, err = process.communicate(timeout=30)
    assert process.returncode in (0, 1) and len(err.splitlines()) <= 1
