"""Answers of registries that are no good: one clear error with its reason, nothing new is visible,
memory is bounded, and what is cached stays usable."""

import base64
import json
import re

import pytest

from support.fake_registry import PASS, FakeRegistry, endless, instead, status, truncated
from support.fetching import FETCH_RSS_KIB, FetchMemory, fsck, pull_fails, visible
from support.images import MEDIA_TYPES, Image, Index, Layer, busybox_image, file, sha256

LAYERS = [Layer([file("first", "1" * 5000)]), Layer([file("second", "2" * 5000)])]
BIG = Layer([file("big", bytes(range(256)) * 4096)], "none")


@pytest.fixture
def fake():
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def image():
    return Image(LAYERS, {"Cmd": ["sh"]})


@pytest.fixture(autouse=True)
def cached(caisson, fake):
    """An image that is here already; at the end it still is, whole, and runs."""
    name = fake.push("good/cached", "1", busybox_image())
    caisson("pull", "-q", name, check=True)
    yield name
    assert fsck(caisson) == []
    done = caisson("run", "--rm", "--pull", "never", name, "--", "echo", "usable", check=True)
    assert done.stdout == "usable\n"


def fails(caisson, name):
    """A pull that fails for whichever reason: one line, nothing visible, nothing for a terminal."""
    before = visible(caisson)
    done = caisson("pull", "--json", name)
    assert done.returncode == 1, done.stdout
    line = done.error_line()
    assert name in line and len(line) < 2000 and line.isprintable() and "root:" not in line
    assert visible(caisson) == before
    return done.json()["error"]


# --- documents ----------------------------------------------------------------------------------

@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"<html>hello</html>", b"[" * 100_000,
                                  b'{"schemaVersion": 3}', b'{"schemaVersion": 2}',
                                  b'{"schemaVersion": 2, "layers": {}}', b"\xff\xfe{}"])
def test_a_manifest_that_is_none(caisson, fake, text):
    name = fake.push("a/b", "1", Image(LAYERS, lies={"manifest": text}))
    pull_fails(caisson, name, "manifest_invalid", name)


@pytest.mark.parametrize("kind, reason", [
    (MEDIA_TYPES["oci"]["index"], "manifest_invalid"), (MEDIA_TYPES["docker"]["manifest"], "manifest_invalid"),
    ("application/vnd.docker.distribution.manifest.v1+prettyjws", "media_type_unsupported")])
def test_a_manifest_sent_as_another(caisson, fake, image, kind, reason):
    name = fake.push("a/b", "1", image)
    fake.manifests["a/b", "1"] = (kind, image.manifest)
    pull_fails(caisson, name, reason, name)


@pytest.mark.parametrize("lies", [{"size": -1}, {"size": 1 << 63}, {"size": "12"}, {"digest": "sha256:12"},
                                  {"digest": "md5:d41d8cd98f00b204e9800998ecf8427e"}, {"digest": None}])
def test_a_descriptor_that_is_none(caisson, fake, lies):
    name = fake.push("a/b", "1", Image([Layer([file("x", "1")], lies=lies)]))
    pull_fails(caisson, name, "manifest_invalid", name)


@pytest.mark.parametrize("media_type, reason", [
    ("application/vnd.oci.image.layer.v1.tar+xz", "media_type_unsupported"),
    ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "layer_foreign"),
    ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "layer_foreign"),
    ("text/html", "media_type_unsupported")])
def test_a_layer_of_another_media_type(caisson, fake, media_type, reason):
    layer = Layer([file("x", "1")], lies={"media_type": media_type})
    name = fake.push("a/b", "1", Image([layer]))
    pull_fails(caisson, name, reason, name, layer.digest)
    assert fake.count("GET", layer.digest) == 0


@pytest.mark.parametrize("change", [lambda data: data + b" ", lambda data: data[:-1], lambda _: b"",
                                    lambda data: data.replace(b"linux", b"lynux")])
def test_a_configuration_of_another_content(caisson, fake, image, change):
    name = fake.push("a/b", "1", image)
    fake.blobs[sha256(image.config)] = change(image.config)
    pull_fails(caisson, name, "config_digest_mismatch", name)


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"rootfs": {"type": "layers", "diff_ids": []}}',
                                  b'{"architecture": "amd64", "os": "linux"}'])
def test_a_configuration_that_is_none(caisson, fake, text):
    name = fake.push("a/b", "1", Image(LAYERS, lies={"config": text}))
    pull_fails(caisson, name, "config_invalid", name)


def test_a_platform_that_is_not_there(caisson, fake):
    index = Index([Image(LAYERS, architecture="riscv64"), Image(LAYERS, architecture="s390x")])
    name = fake.push("a/b", "1", index)
    error = pull_fails(caisson, name, "platform_not_found", name)
    assert "riscv64" in error["hint"] and "s390x" in error["hint"]


def test_too_many_layers_are_refused_before_any_is_fetched(caisson, fake):
    name = fake.push("a/b", "1", Image([LAYERS[0]] * 1000))
    pull_fails(caisson, name, "too_many_layers", name)
    assert fake.count("GET", LAYERS[0].digest) == 0


# --- floods -------------------------------------------------------------------------------------

@pytest.mark.parametrize("what", ["manifest", "configuration", "layer", "headers"])
def test_memory_is_bounded_whatever_is_sent(caisson, fake, image, what):
    name = fake.push("a/b", "1", image)
    pattern = {"manifest": "/a/b/manifests/", "configuration": sha256(image.config),
               "layer": LAYERS[0].digest, "headers": "/a/b/manifests/"}[what]

    def headers(handler):
        handler.close_connection = True
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(200_000):
            handler.wfile.write(b"X-%d: " % number + b"x" * 1000 + b"\r\n")
    fake.fault(pattern, headers if what == "headers" else endless(MEDIA_TYPES["oci"]["manifest"], 4 << 30))
    with FetchMemory() as memory:
        error = fails(caisson, name)
    assert error["reason"] in {"manifest": ("manifest_too_large",), "layer": ("layer_size_mismatch",),
                               "configuration": ("manifest_too_large", "config_digest_mismatch"),
                               "headers": ("registry_unreachable", "registry_error")}[what]
    assert sum(one.sent for one in fake.seen("GET", pattern)) < 64 << 20
    assert 0 < memory.kib <= FETCH_RSS_KIB


def test_what_is_no_http(caisson, fake, image):
    name = fake.push("a/b", "1", image)

    def noise(handler):
        handler.close_connection = True
        handler.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\x1b[2J")
    fake.fault("/a/b/manifests/", noise)
    fails(caisson, name)


# --- parts --------------------------------------------------------------------------------------

@pytest.mark.parametrize("where", ["bytes 7-{last}/{size}", "bytes 0-{last}/{size}", "bytes {offset}-{last}/7",
                                   "lines 1-2/3", "bytes */{size}", "bytes {offset}-99999999999999999999/{size}"])
def test_a_part_that_was_not_asked_for(caisson, fake, where):
    """A wrong Content-Range: the whole blob is fetched instead."""
    name = fake.push("a/b", "1", Image([BIG]))
    size = len(BIG.blob)

    def wrong(handler):
        asked = re.search(r"bytes=(\d+)-", handler.seen.headers.get("range", ""))
        if not asked:
            return PASS
        text = where.format(offset=asked[1], last=size - 1, size=size)
        return handler.reply(206, BIG.blob[int(asked[1]):], {"Content-Range": text})
    fake.fault(BIG.digest, truncated(BIG.blob, 100_000), times=1)
    fake.fault(BIG.digest, wrong)
    caisson("pull", "-q", name, check=True)


def test_a_part_of_another_content(caisson, fake):
    """The right range, the wrong bytes: refused, and not stuck in what is kept for the next time."""
    name = fake.push("a/b", "1", Image([BIG]))
    size = len(BIG.blob)
    lies = []

    def wrong(handler):
        asked = re.search(r"bytes=(\d+)-", handler.seen.headers.get("range", ""))
        if not asked or lies:
            return PASS
        lies.append(offset := int(asked[1]))
        return handler.reply(206, bytes(size - offset), {"Content-Range": f"bytes {offset}-{size - 1}/{size}"})
    fake.fault(BIG.digest, truncated(BIG.blob, 100_000), times=1)
    fake.fault(BIG.digest, wrong)
    before = visible(caisson)
    done = caisson("pull", "--json", name)
    assert lies
    if done.returncode != 0:
        assert done.json()["error"]["reason"] in ("layer_digest_mismatch", "layer_invalid")
        assert visible(caisson) == before
        caisson("pull", "-q", name, check=True)


# --- credentials --------------------------------------------------------------------------------

@pytest.mark.parametrize("realm", ["file:///etc/passwd", "", "/token", "http://", "x" * 100_000,
                                   "http://127.0.0.1:1/token", "http://user:pass@127.0.0.1:1/"])
def test_a_realm_that_is_no_token_server(caisson, fake, image, realm):
    name = fake.push("a/b", "1", image)
    fake.fault("/a/b/", status(401, {"WWW-Authenticate": f'Bearer realm="{realm}",service="own"'}))
    fails(caisson, name)


@pytest.mark.parametrize("token", [b"", b"{", b"[]", b'{"token": 7}', b'{"token": ""}', b"{}", b" " * (8 << 20)],
                         ids=lambda token: token[:12].decode())
def test_a_token_that_is_none(caisson, fake, image, token):
    name = fake.push("a/b", "1", image)
    fake.fault("^/token", instead(token, "application/json"))
    fake.fault("/a/b/", status(401, {"WWW-Authenticate": f'Bearer realm="{fake.url}/token",service="own"'}))
    fails(caisson, name)


def test_a_password_is_in_no_message(caisson, fake, image, workdir):
    name = fake.push("a/b", "1", image)
    auth = base64.b64encode(b"me:very-secret").decode()
    (workdir / "auth.json").write_text(json.dumps({"auths": {fake.name: {"auth": auth}}}))

    def echo(handler):
        said = json.dumps({"errors": [{"message": handler.seen.headers.get("authorization", "who?")}]})
        return handler.reply(401, said.encode(), {"WWW-Authenticate": 'Basic realm="own"'})
    fake.fault("/a/b/", echo)
    done = caisson("pull", name, env={"REGISTRY_AUTH_FILE": str(workdir / "auth.json")})
    assert done.returncode == 1 and any("authorization" in one.headers for one in fake.requests)
    for text in ("very-secret", auth):
        assert text not in done.stdout + done.stderr
