"""Registries that lie. Each lie ends in one line that names the registry and the reference, and
leaves nothing behind that could be taken for an image."""

import base64
import json
from pathlib import Path

import pytest

from support.fake_registry import FakeRegistry, endless, instead, redirect, status, truncated
from support.images import MEDIA_TYPES, Image, Index, Layer, busybox_image, file, sha256

INDEX, MANIFEST = MEDIA_TYPES["oci"]["index"], MEDIA_TYPES["oci"]["manifest"]
SECRET = "the-secret-of-a-test"


@pytest.fixture
def fake():
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def image():
    return busybox_image(Layer([file("which", "true")]))


@pytest.fixture
def lied_to(caisson):
    """Pulls what must be refused; the one line that says so."""
    def pull(name, registry, *words, **keywords):
        done = caisson("pull", "-q", name, **keywords)
        assert done.returncode == 1, (done.stdout, done.stderr)
        assert done.stdout == ""
        line = done.error_line()
        assert registry.name in line and name in line, line
        for word in words:
            assert word in line, line
        assert line.isprintable(), line
        nothing_kept(caisson)
        return line
    return pull


def nothing_kept(caisson):
    assert caisson("images", "-q", check=True).stdout == ""
    home = Path(caisson.home)
    for place in ("blobs/sha256", "layers", "fetch/staging"):
        assert list((home / place).glob("*")) == [], place


@pytest.fixture
def trusted(workdir, certificates):
    """The environment in which these registries' certificates are good, and each has the same user."""
    def environment(*registries):
        (workdir / "registries.json").write_text(json.dumps(
            {"registries": {one.name: {"ca": str(certificates.ca)} for one in registries}}))
        auth = base64.b64encode(f"me:{SECRET}".encode()).decode()
        (workdir / "auth.json").write_text(json.dumps({"auths": {registries[0].name: {"auth": auth}}}))
        return {"CAISSON_REGISTRIES": str(workdir / "registries.json"),
                "REGISTRY_AUTH_FILE": str(workdir / "auth.json")}
    return environment


def told(registry):
    """Every credential that a server was sent."""
    return [one.headers["authorization"] for one in registry.requests if "authorization" in one.headers]


# --- digests and sizes --------------------------------------------------------------------------

@pytest.mark.without_subuid
def test_layer_of_another_digest(lied_to, fake, image):
    layer = image.layers[1]
    other = Layer([file("which", "evil")], "none").blob
    name = fake.push("test/lies", "1", image)
    fake.fault(layer.digest, instead(other[:len(layer.blob)].ljust(len(layer.blob), b"\0")))
    lied_to(name, fake, layer.digest)
    assert fake.count("GET", layer.digest) <= 2


@pytest.mark.parametrize("change", [-1, 1, 1000])
def test_layer_of_another_size(lied_to, fake, image, change):
    layer = image.layers[1]
    name = fake.push("test/lies", "1", image)
    fake.fault(layer.digest, instead(layer.blob[:change] if change < 0 else layer.blob + bytes(change)))
    lied_to(name, fake, layer.digest, "bytes")


def test_layer_without_an_end(lied_to, fake, image):
    layer = image.layers[1]
    name = fake.push("test/lies", "1", image)
    fake.fault(layer.digest, endless("application/octet-stream"))
    lied_to(name, fake, layer.digest)
    assert max(one.sent for one in fake.seen("GET", layer.digest)) < 32 << 20


@pytest.mark.seconds(180)
def test_layer_that_is_never_whole(lied_to, fake):
    """Each answer breaks off with the connection before a byte was sent."""
    image = busybox_image(Layer([file("data", bytes(100_000))], "none"))
    layer = image.layers[1]
    name = fake.push("test/lies", "1", image)
    fake.fault(layer.digest, truncated(layer.blob, 0))
    lied_to(name, fake, layer.digest)
    assert fake.count("GET", layer.digest) <= 6


def test_layer_of_another_diff_id(lied_to, fake):
    image = busybox_image(Layer([file("which", "x")], lies={"diff_id": "sha256:" + "1" * 64}))
    lied_to(fake.push("test/lies", "1", image), fake, image.layers[1].digest)


def test_manifest_of_another_digest(lied_to, fake, image):
    other = busybox_image(Layer([file("which", "evil")]))
    fake.push("test/lies", "1", image)
    fake.fault("/manifests/", instead(other.manifest, MANIFEST))
    lied_to(f"{fake.name}/test/lies@{image.digest}", fake, image.digest)


def test_platform_of_another_digest(lied_to, fake, image):
    """The index is believed, what it names is checked."""
    other = busybox_image(Layer([file("which", "evil")]))
    name = fake.push("test/lies", "1", Index([image]))
    fake.fault(f"/manifests/{image.digest}", instead(other.manifest, MANIFEST))
    lied_to(name, fake, image.digest)


def test_configuration_of_another_digest(lied_to, fake, image):
    name = fake.push("test/lies", "1", image)
    config = sha256(image.config)
    fake.fault(config, instead(image.config.replace(b"step", b"stop")))
    lied_to(name, fake, config)


def test_tag_that_changes_meanwhile(caisson, fake, image):
    """The tag is asked for once: there is no second answer to mix with the first."""
    other = busybox_image(Layer([file("which", "evil")]))
    name = fake.push("test/race", "1", image)
    fake.push("test/other", "1", other)
    fake.fault("/manifests/1$", instead(image.manifest, MANIFEST), times=1)
    fake.fault("/manifests/1$", instead(other.manifest, MANIFEST))
    done = caisson("pull", "-q", name, check=True)
    assert done.stdout.strip() == image.digest
    assert fake.count("GET", "/manifests/1$") == 1
    assert caisson("run", "--rm", name, "--", "cat", "/which", check=True).stdout == "true"


# --- documents ----------------------------------------------------------------------------------

def test_manifest_without_an_end(lied_to, fake):
    fake.fault("/manifests/", endless(MANIFEST))
    lied_to(f"{fake.name}/test/endless:1", fake, "bytes")
    assert max(one.sent for one in fake.requests) < 32 << 20


def test_configuration_without_an_end(lied_to, fake, image):
    name = fake.push("test/endless", "1", image)
    fake.fault(sha256(image.config), endless("application/json"))
    lied_to(name, fake)
    assert max(one.sent for one in fake.requests) < 32 << 20


def test_error_without_an_end(lied_to, fake):
    def act(handler):
        handler.send_response = lambda *_: type(handler).send_response(handler, 404)
        endless("application/json")(handler)
    fake.fault("/manifests/", act)
    lied_to(f"{fake.name}/test/endless:1", fake, "404")
    assert max(one.sent for one in fake.requests) < 32 << 20


def test_token_without_an_end(lied_to, fake, image):
    name = fake.push("test/endless", "1", image)
    fake.require_token("me", SECRET)
    fake.fault("^/token", endless("application/json"))
    lied_to(name, fake)
    assert max(one.sent for one in fake.requests) < 32 << 20


def test_indexes_in_a_circle(lied_to, fake, image):
    """An index cannot hold its own digest, but a registry can answer so for any digest."""
    inner = Index([image])
    deep = Index([Index([Index([inner])])])
    lied_to(fake.push("test/deep", "1", deep), fake)
    assert fake.count("GET", "/manifests/") < 10


def test_index_that_is_given_for_each_of_its_manifests(lied_to, fake, image):
    index = Index([image])
    name = fake.push("test/loop", "1", index)
    fake.fault("/manifests/", instead(index.manifest, INDEX))
    lied_to(name, fake)
    assert fake.count("GET", "/manifests/") < 10


@pytest.mark.parametrize("manifest", [
    b"", b"[]", b"nonsense", b"{", b"\xff\xfe", b"[" * 100_000, b'{"schemaVersion": 2}',
    b'{"schemaVersion": 1, "name": "x", "fsLayers": []}'], ids=range(8))
def test_manifest_that_is_none(lied_to, fake, manifest):
    fake.fault("/manifests/", instead(manifest, MANIFEST))
    lied_to(f"{fake.name}/test/bad:1", fake)


@pytest.mark.parametrize("digest", ["sha256:../../../../etc/passwd", "sha256:" + "A" * 64, "sha256:",
                                    "md5:" + "0" * 32, "../../x"])
def test_digest_that_is_a_path(lied_to, fake, digest):
    image = Image([Layer([file("x")], lies={"digest": digest})])
    lied_to(fake.push("test/path", "1", image), fake)


def test_what_a_registry_says_is_shown_harmlessly(lied_to, fake):
    said = json.dumps({"errors": [{"code": "X", "message": "\x1b]0;title\x07\x1b[31m\nred\r" + "y" * 5000}]})
    fake.fault("/manifests/", status(403, body=said.encode()))
    assert len(lied_to(f"{fake.name}/test/escape:1", fake, "403")) < 2000


# --- where it leads -----------------------------------------------------------------------------

@pytest.mark.without_subuid
def test_token_is_not_sent_to_another_origin(caisson, fake, image, certificates, trusted):
    """A redirect of a blob, as registries lead to their storage; there credentials stay at home."""
    with FakeRegistry(certificates) as home, FakeRegistry(certificates) as storage:
        name = home.push("test/redirect", "1", image)
        storage.push("test/redirect", "1", image)
        home.require_token("me", SECRET)
        home.fault("/blobs/", redirect(lambda path: f"{storage.url}{path}"))
        env = trusted(home, storage)
        done = caisson("pull", "-q", name, env=env, check=True)
        assert done.stdout.strip() == image.digest
        assert storage.count("GET", "/blobs/") == 3, (storage.requests, done.stderr)
        assert told(storage) == []
        assert told(home) != []


def test_other_origin_that_asks_who_we_are(lied_to, image, certificates, trusted):
    with FakeRegistry(certificates) as home, FakeRegistry(certificates) as storage:
        name = home.push("test/redirect", "1", image)
        home.fault("/blobs/", redirect(lambda path: f"{storage.url}{path}"))
        for challenge in ("Basic realm=x", f'Bearer realm="{storage.url}/token",service="own"'):
            storage.fault("/blobs/", status(401, {"WWW-Authenticate": challenge}))
            lied_to(name, home, env=trusted(home, storage))
            storage.faults.clear()
        assert told(storage) == []
        assert storage.count("GET", "/token") == 0


def test_redirect_from_https_to_http(lied_to, fake, image, certificates, trusted):
    with FakeRegistry(certificates) as home:
        name = home.push("test/downgrade", "1", image)
        home.fault("/manifests/", redirect(lambda path: f"{fake.url}{path}"))
        lied_to(name, home, "from https to", env=trusted(home))
    assert fake.requests == []


@pytest.mark.parametrize("place", ["file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/x", "//", "",
                                   "http://user:pw@127.0.0.1:1/", "http://[::1", "\x01", "http:///"])
def test_redirect_to_what_is_no_registry(lied_to, fake, place):
    fake.fault("/manifests/", redirect(place))
    lied_to(f"{fake.name}/test/away:1", fake)


def test_redirects_without_an_end(lied_to, fake):
    fake.fault("/v2/", redirect(lambda path: path + "x"))
    lied_to(f"{fake.name}/test/away:1", fake)
    assert fake.count() <= 12


@pytest.mark.parametrize("scheme", ["http", "file", "gopher", "nonsense"])
def test_token_server_that_is_none(lied_to, fake, image, certificates, trusted, scheme):
    """The password stays at home."""
    with FakeRegistry(certificates) as home:
        name = home.push("test/realm", "1", image)
        home.require_token("me", SECRET, realm=f"{scheme}://{fake.name}/token")
        line = lied_to(name, home, env=trusted(home))
        assert SECRET not in line
        assert told(home) == []
    assert fake.requests == []


@pytest.mark.parametrize("challenge", [
    "", "Bearer", 'Bearer realm="', 'Bearer realm="x', "Bearer realm=\"\",realm=\"\"", "Negotiate", "Basic",
    "Bearer " + "a=b," * 10_000, 'Bearer realm="' + "\\" * 999, ",,,,=,=", 'Digest realm="x",nonce="y"'],
    ids=range(11))
def test_challenges(lied_to, fake, challenge):
    fake.fault("/manifests/", status(401, {"WWW-Authenticate": challenge}))
    lied_to(f"{fake.name}/test/challenge:1", fake)
    assert fake.count("GET", "/manifests/") <= 3


def test_token_that_would_be_another_header(lied_to, fake, image):
    name = fake.push("test/token", "1", image)
    fake.require_token("me", SECRET)
    fake.fault("^/token", instead(json.dumps({"token": "a\r\nX-Injected: yes"}).encode()))
    lied_to(name, fake)
    assert not any("x-injected" in one.headers for one in fake.requests)


def test_https_that_refused_is_not_asked_by_http(lied_to, image, certificates, trusted):
    """Plain HTTP is for a registry that does not speak HTTPS, not for one that said no."""
    with FakeRegistry(certificates) as home:
        name = home.push("test/no", "1", image)
        home.fault("/manifests/", status(403))
        env = trusted(home)
        Path(env["CAISSON_REGISTRIES"]).write_text(json.dumps({"registries": {home.name: {"insecure": True}}}))
        lied_to(name, home, "403", env=env)
