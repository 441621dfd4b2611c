"""Registries that lie, break or attack: one clear error, nothing visible, the cached stays usable."""

import json
import re
import time

import pytest

from support.fake_registry import FakeRegistry, TokenServer
from support.fetching import FETCH_RSS_KIB, FetchMemory, fsck, pull_fails, visible
from support.images import Image, Index, Layer, busybox_image, file, sha256
from support.registry import auth_file, free_port

LAYERS = [Layer([file("first", "1" * 5000)]), Layer([file("second", "2" * 5000)])]


@pytest.fixture
def image():
    return Image(LAYERS, {"Cmd": ["sh"]})


@pytest.fixture
def cached(caisson, fake):
    """An image that is here already; at the end it still is, whole, and runs."""
    reference = fake.add("good/cached", "1", busybox_image())
    caisson("pull", "-q", reference, check=True)
    yield reference
    assert fsck(caisson) == []
    done = caisson("run", "--rm", "--pull", "never", reference, "--", "echo", "usable", check=True)
    assert done.stdout == "usable\n"


pytestmark = pytest.mark.usefixtures("cached")


# --- answers ------------------------------------------------------------------------------------

def test_nobody_listens(caisson):
    host = f"127.0.0.1:{free_port()}"
    pull_fails(caisson, f"{host}/a/b:1", "registry_unreachable", f"{host}/a/b:1", f"'{host}'")


def test_a_name_that_does_not_resolve(caisson):
    pull_fails(caisson, "registry.invalid/a/b:1", "registry_unreachable", "registry.invalid")


@pytest.mark.parametrize("status, reason", [(401, "registry_unauthorized"), (403, "registry_denied"),
                                            (404, "image_not_found_remote"), (400, "registry_error"),
                                            (418, "registry_error")])
def test_a_refusal_is_asked_for_once(caisson, fake, image, status, reason):
    reference = fake.add("a/b", "1", image)
    fake.on("/a/b/manifests/", lambda request: request.fail(status, message="not\x1b[31m you"))
    error = pull_fails(caisson, reference, reason, reference, fake.host)
    assert status == 401 or str(status) in error["message"]
    assert fake.count("/a/b/") == 1


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_that_stays_broken(caisson, fake, image, status):
    reference = fake.add("a/b", "1", image)
    fake.on("/a/b/manifests/", lambda request: request.fail(status))
    pull_fails(caisson, reference, "registry_error", reference, str(status))
    assert 2 <= fake.count("/a/b/manifests/") <= 6


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_a_server_that_recovers(caisson, fake, image, status):
    reference = fake.add("a/b", "1", image)
    fake.on("/a/b/manifests/", lambda request: request.fail(status), times=1)
    fake.on("/a/b/blobs/", lambda request: request.fail(status), times=2)
    caisson("pull", "-q", reference, check=True)


def test_a_short_wait_that_is_asked_for_is_kept(caisson, fake, image):
    reference = fake.add("a/b", "1", image)
    fake.on("/a/b/manifests/", lambda request: request.fail(429, headers={"Retry-After": "2"}), times=1)
    begin = time.monotonic()
    caisson("pull", "-q", reference, check=True)
    assert time.monotonic() - begin >= 1.9


def test_a_long_wait_is_an_error_that_says_so(caisson, fake, image):
    reference = fake.add("a/b", "1", image)
    fake.on("/a/b/manifests/", lambda request: request.fail(429, headers={"Retry-After": "86400"}))
    error = pull_fails(caisson, reference, "registry_rate_limited", reference, "429", timeout=10)
    assert "86400" in error["hint"]
    assert fake.count("/a/b/") == 1


def test_a_blob_that_is_not_there(caisson, fake, image):
    reference = fake.add("a/b", "1", image)
    fake.on(LAYERS[1].digest, lambda request: request.fail(404))
    pull_fails(caisson, reference, "registry_error", reference, LAYERS[1].digest, "404")


# --- wrong content ------------------------------------------------------------------------------

def other(data):
    """The same size, another content."""
    return bytes([data[0] ^ 1]) + data[1:]


def test_a_manifest_of_another_digest(caisson, fake, image):
    fake.add("a/b", "1", image)
    reference = f"{fake.host}/a/b@{image.digest}"
    kind, text = fake.manifests["a/b", image.digest]
    fake.manifests["a/b", image.digest] = (kind, text.replace(b'"schemaVersion": 2', b'"schemaVersion":  2'))
    pull_fails(caisson, reference, "manifest_digest_mismatch", image.digest)


@pytest.mark.parametrize("change, reason", [
    (other, "config_digest_mismatch"), (lambda data: data + b" ", "config_digest_mismatch"),
    (lambda data: data[:-1], "config_digest_mismatch"), (lambda _: b"", "config_digest_mismatch")])
def test_a_configuration_of_another_content(caisson, fake, image, change, reason):
    reference = fake.add("a/b", "1", image)
    digest = sha256(image.config)
    fake.blobs[digest] = change(image.config)
    pull_fails(caisson, reference, reason, reference)


def test_a_layer_of_another_content(caisson, fake, image):
    reference = fake.add("a/b", "1", image)
    blob = LAYERS[0].blob
    fake.blobs[LAYERS[0].digest] = blob[:-9] + other(blob[-9:])
    done = caisson("pull", "--json", reference)
    assert done.json()["error"]["reason"] in ("layer_digest_mismatch", "layer_invalid")
    fake.blobs[LAYERS[0].digest] = Layer([file("first", "3" * 5000)]).blob.ljust(len(blob), b"\0")[:len(blob)]
    pull_fails(caisson, reference, "layer_digest_mismatch", reference, LAYERS[0].digest)


@pytest.mark.parametrize("change", [lambda data: data + b"more", lambda data: data[:-4], lambda _: b""])
def test_a_layer_of_another_size(caisson, fake, image, change):
    reference = fake.add("a/b", "1", image)
    fake.blobs[LAYERS[0].digest] = change(LAYERS[0].blob)
    pull_fails(caisson, reference, "layer_size_mismatch", reference, LAYERS[0].digest)


def test_a_layer_that_is_longer_than_it_was_announced(caisson, fake, image):
    reference = fake.add("a/b", "1", image)

    def endless(request):
        request.flood(1 << 40, piece=LAYERS[0].blob.ljust(1 << 16, b"\0"), announce=False)
    fake.on(LAYERS[0].digest, endless)
    pull_fails(caisson, reference, "layer_size_mismatch", reference, LAYERS[0].digest)
    assert fake.sent(LAYERS[0].digest) < 64 << 20


def test_a_layer_of_another_diff_id(caisson, fake):
    lying = Layer([file("x", "content")], lies={"diff_id": sha256(b"something else")})
    reference = fake.add("a/b", "1", Image([lying]))
    pull_fails(caisson, reference, "layer_diff_id_mismatch", reference, lying.digest)


@pytest.mark.parametrize("lies", [{"size": -1}, {"size": 1 << 63}, {"size": "12"}, {"digest": "sha256:12"},
                                  {"digest": "md5:d41d8cd98f00b204e9800998ecf8427e"},
                                  {"digest": "sha256:" + "../" * 21 + "x"}, {"digest": None}])
def test_a_descriptor_that_is_none(caisson, fake, lies):
    reference = fake.add("a/b", "1", Image([Layer([file("x", "1")], lies=lies)]))
    pull_fails(caisson, reference, "manifest_invalid", reference)


@pytest.mark.parametrize("media_type, reason", [
    ("application/vnd.oci.image.layer.v1.tar+xz", "media_type_unsupported"),
    ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "layer_foreign"),
    ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "layer_foreign"),
    ("text/html", "media_type_unsupported")])
def test_a_layer_of_another_media_type(caisson, fake, media_type, reason):
    reference = fake.add("a/b", "1", Image([Layer([file("x", "1")], lies={"media_type": media_type})]))
    pull_fails(caisson, reference, reason, reference)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"<html>hello</html>", b"[" * 100_000,
                                  b'{"schemaVersion": 3}', b'{"schemaVersion": 2}',
                                  b'{"schemaVersion": 2, "layers": {}}', b"\xff\xfe{}"])
def test_a_manifest_that_is_none(caisson, fake, text):
    image = Image(LAYERS, lies={"manifest": text})
    reference = fake.add("a/b", "1", image)
    error = pull_fails(caisson, reference, "manifest_invalid", reference)
    assert len(error["message"]) < 2000


@pytest.mark.parametrize("kind, reason", [
    ("application/vnd.oci.image.index.v1+json", "manifest_invalid"),
    ("application/vnd.docker.distribution.manifest.v2+json", "manifest_invalid"),
    ("application/vnd.docker.distribution.manifest.v1+prettyjws", "media_type_unsupported")])
def test_a_manifest_sent_as_another(caisson, fake, image, kind, reason):
    reference = fake.add("a/b", "1", image)
    fake.manifests["a/b", "1"] = (kind, image.manifest)
    pull_fails(caisson, reference, reason, reference)


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"rootfs": {"type": "layers", "diff_ids": []}}',
                                  b'{"architecture": "amd64", "os": "linux"}'])
def test_a_configuration_that_is_none(caisson, fake, text):
    reference = fake.add("a/b", "1", Image(LAYERS, lies={"config": text}))
    pull_fails(caisson, reference, "config_invalid", reference)


def test_a_manifest_of_4_gb_is_not_read(caisson, fake, image):
    reference = fake.add("a/b", "1", image)
    kind = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
    fake.on("/a/b/manifests/", lambda request: request.flood(4 << 30, b" " * 65536, kind))
    with FetchMemory() as memory:
        pull_fails(caisson, reference, "manifest_too_large", reference)
    assert fake.sent("/a/b/manifests/") < 64 << 20
    assert 0 < memory.kib <= FETCH_RSS_KIB


def test_a_configuration_of_4_gb_is_not_read(caisson, fake, image):
    reference = fake.add("a/b", "1", image)
    fake.on("/a/b/blobs/" + sha256(image.config), lambda request: request.flood(4 << 30, b" " * 65536))
    before = visible(caisson)
    error = caisson("pull", "--json", reference).json()["error"]
    assert error["reason"] in ("manifest_too_large", "config_digest_mismatch")
    assert fake.sent(sha256(image.config)) < 64 << 20
    assert visible(caisson) == before


def test_an_index_that_leads_in_circles(caisson, fake):
    """An index cannot hold its own digest; a registry can answer with one for every digest."""
    entry = {"mediaType": "application/vnd.oci.image.index.v1+json", "digest": "sha256:" + "0" * 64, "size": 300}
    text = json.dumps({"schemaVersion": 2, "mediaType": entry["mediaType"], "manifests": [entry]}).encode()
    reference = fake.add("a/b", "1", Index([], manifest=text))
    fake.on("/a/b/manifests/", lambda request: request.answer(200, text, {"Content-Type": entry["mediaType"]}))
    before = visible(caisson)
    error = caisson("pull", "--json", reference).json()["error"]
    assert error["reason"] in ("manifest_digest_mismatch", "manifest_size_mismatch", "manifest_loop")
    assert fake.count("/a/b/manifests/") <= 3
    assert visible(caisson) == before


def test_indexes_nested_too_deep(caisson, fake, image):
    nested = Index([image])
    for _ in range(8):
        nested = Index([nested])
    reference = fake.add("a/b", "1", nested)
    pull_fails(caisson, reference, "manifest_loop", reference)


def test_a_platform_that_is_not_there(caisson, fake):
    index = Index([Image(LAYERS, architecture="riscv64"), Image(LAYERS, architecture="s390x")])
    reference = fake.add("a/b", "1", index)
    error = pull_fails(caisson, reference, "platform_not_found", reference)
    assert "riscv64" in error["hint"] and "s390x" in error["hint"]


def test_many_layers_are_refused_before_any_is_fetched(caisson, fake):
    layer = LAYERS[0]
    reference = fake.add("a/b", "1", Image([layer] * 1000))
    pull_fails(caisson, reference, "too_many_layers", reference)
    assert fake.count(layer.digest) == 0


def test_a_tag_that_moves_meanwhile(caisson, fake):
    """What is pulled is one image or the other, never a mixture."""
    images = [Image([Layer([file("which", str(number))])]) for number in range(2)]
    fake.add("a/b", "1", images[1])
    reference = fake.add("a/b", "1", images[0])
    kind = "application/vnd.oci.image.manifest.v1+json"
    fake.on("/manifests/1$", lambda request: request.answer(200, images[0].manifest, {"Content-Type": kind}), times=1)
    fake.on("/manifests/1$", lambda request: request.answer(200, images[1].manifest, {"Content-Type": kind}))
    assert caisson("pull", "-q", reference, check=True).stdout.strip() == images[0].digest
    assert caisson("pull", "-q", reference, check=True).stdout.strip() == images[1].digest
    assert fsck(caisson) == []


# --- broken transfers ---------------------------------------------------------------------------

BIG = Layer([file("big", bytes(range(256)) * 4096)], "none")


def test_a_blob_that_always_breaks_off(caisson, fake):
    reference = fake.add("a/b", "1", Image([BIG]))
    fake.ranges = False
    fake.on(BIG.digest, lambda request: request.truncate(BIG.blob, 1000))
    error = pull_fails(caisson, reference, "registry_unreachable", reference, BIG.digest)
    assert fake.host in error["message"]


@pytest.mark.parametrize("where", ["bytes 7-{last}/{size}", "bytes 0-{last}/{size}", "bytes {offset}-{last}/7",
                                   "lines 1-2/3", "bytes */{size}", "bytes {offset}-99999999999999999999/{size}"])
def test_a_part_that_was_not_asked_for(caisson, fake, where):
    """A wrong Content-Range: the whole blob is fetched instead."""
    reference = fake.add("a/b", "1", Image([BIG]))
    size = len(BIG.blob)

    def wrong(request):
        offset = int(re.search(r"bytes=(\d+)-", request.headers["Range"])[1])
        text = where.format(offset=offset, last=size - 1, size=size)
        request.answer(206, BIG.blob[offset:], {"Content-Range": text})
    fake.on(BIG.digest, lambda request: request.truncate(BIG.blob, 100_000), times=1)
    fake.on(BIG.digest, lambda request: wrong(request) if "Range" in request.headers else "go on")
    caisson("pull", "-q", reference, check=True)
    assert fsck(caisson) == []


def test_a_part_of_another_content(caisson, fake):
    """The right range, the wrong bytes: refused, and not stuck in what is kept for the next time."""
    reference = fake.add("a/b", "1", Image([BIG]))
    size = len(BIG.blob)

    def wrong(request):
        offset = int(re.search(r"bytes=(\d+)-", request.headers["Range"])[1])
        request.answer(206, bytes(size - offset), {"Content-Range": f"bytes {offset}-{size - 1}/{size}"})
    fake.on(BIG.digest, lambda request: request.truncate(BIG.blob, 100_000), times=1)
    fake.on(BIG.digest, lambda request: wrong(request) if "Range" in request.headers else "go on", times=1)
    before = visible(caisson)
    error = caisson("pull", "--json", reference).json()["error"]
    assert error["reason"] in ("layer_digest_mismatch", "layer_invalid")
    assert visible(caisson) == before
    caisson("pull", "-q", reference, check=True)
    assert fsck(caisson) == []


def test_a_connection_that_drips_is_borne(caisson, fake, image):
    reference = fake.add("a/b", "1", image)
    blob = LAYERS[0].blob
    fake.on(LAYERS[0].digest, lambda request: request.drip(blob, 0.01, piece=max(1, len(blob) // 100)))
    caisson("pull", "-q", reference, check=True)


def test_endless_headers(caisson, fake, image):
    reference = fake.add("a/b", "1", image)

    def headers(request):
        request.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for number in range(200_000):
            request.wfile.write(b"X-%d: " % number + b"x" * 1000 + b"\r\n")
        request.close_connection = True
    fake.on("/a/b/manifests/", headers)
    before = visible(caisson)
    with FetchMemory() as memory:
        done = caisson("pull", "--json", reference, timeout=60)
    assert done.returncode == 1 and fake.host in done.error_line()
    assert 0 < memory.kib <= FETCH_RSS_KIB
    assert visible(caisson) == before


def test_what_is_no_http(caisson, fake, image):
    reference = fake.add("a/b", "1", image)

    def noise(request):
        request.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n\x1b[2J")
        request.close_connection = True
    fake.on("/a/b/manifests/", noise)
    before = visible(caisson)
    done = caisson("pull", "--json", reference)
    assert done.returncode == 1 and fake.host in done.error_line() and "\x1b" not in done.stderr
    assert visible(caisson) == before


# --- redirects and credentials ------------------------------------------------------------------

@pytest.fixture
def credentials(caisson, workdir, fake):
    caisson.env["REGISTRY_AUTH_FILE"] = str(auth_file(workdir / "auth.json", fake.host, "me", "secret"))
    return "bWU6c2VjcmV0"  # base 64 of me:secret


def ask_for_password(fake, basic, pattern="^/v2/"):
    fake.on(pattern, lambda request: "go on" if request.headers.get("Authorization") == f"Basic {basic}"
            else request.fail(401, "UNAUTHORIZED", headers={"WWW-Authenticate": 'Basic realm="fake"'}))


def test_credentials_stay_with_their_origin(caisson, fake, make_fake, image, credentials):
    """A blob elsewhere is fetched without them, even if that server asks for them."""
    elsewhere = make_fake()
    elsewhere.blobs.update(image.blobs())
    reference = fake.add("a/b", "1", image)
    fake.on("/a/b/blobs/", lambda request: request.redirect(elsewhere.url + request.path))
    ask_for_password(fake, credentials)
    caisson("pull", "-q", reference, check=True)
    assert elsewhere.count("/blobs/") == 3
    assert not any("authorization" in one.headers for one in elsewhere.asked())
    assert any("authorization" in one.headers for one in fake.asked("/manifests/"))


def test_another_origin_gets_no_credentials_when_it_asks(caisson, fake, make_fake, image, credentials):
    elsewhere = make_fake()
    elsewhere.blobs.update(image.blobs())
    ask_for_password(elsewhere, credentials)
    reference = fake.add("a/b", "1", image)
    fake.on("/a/b/blobs/", lambda request: request.redirect(elsewhere.url + request.path))
    ask_for_password(fake, credentials)
    pull_fails(caisson, reference, "registry_unauthorized", reference)
    assert not any("authorization" in one.headers for one in elsewhere.asked())


def test_a_token_stays_with_its_origin(caisson, fake, make_fake, image):
    elsewhere = make_fake()
    elsewhere.blobs.update(image.blobs())
    reference = fake.add("a/b", "1", image)
    fake.on("/a/b/blobs/", lambda request: request.redirect(elsewhere.url + request.path))
    TokenServer(fake)
    caisson("pull", "-q", reference, check=True)
    assert elsewhere.count("/blobs/") == 3
    assert not any("authorization" in one.headers for one in elsewhere.asked())


def test_a_redirect_without_end(caisson, fake, image):
    reference = fake.add("a/b", "1", image)
    fake.on("/a/b/", lambda request: request.redirect(request.path + "x"))
    pull_fails(caisson, reference, "registry_redirects", reference)
    assert fake.count("/a/b/") <= 12


@pytest.mark.parametrize("where", ["file:///etc/passwd", "gopher://127.0.0.1/", "", "dict://127.0.0.1:11211/x",
                                   "http://", "ht\ttp://x/"])
def test_a_redirect_to_what_is_no_registry(caisson, fake, image, where):
    reference = fake.add("a/b", "1", image)
    fake.on("/a/b/blobs/", lambda request: request.redirect(where))
    before = visible(caisson)
    done = caisson("pull", "--json", reference)
    assert done.returncode == 1 and fake.host in done.error_line()
    assert "root:" not in done.stderr
    assert visible(caisson) == before


@pytest.fixture
def secure(caisson, workdir, make_fake, certificates):
    """A registry by TLS that the configuration trusts."""
    made = make_fake(certificates=certificates)
    settings = workdir / "registries.json"
    settings.write_text(json.dumps({"registries": {made.host: {"ca": str(certificates.ca)}}}))
    caisson.env["CAISSON_REGISTRIES"] = str(settings)
    return made


def test_https_leads_to_no_http(caisson, fake, secure, image):
    fake.blobs.update(image.blobs())
    reference = secure.add("a/b", "1", image)
    secure.on("/a/b/blobs/", lambda request: request.redirect(fake.url + request.path))
    pull_fails(caisson, reference, "registry_downgrade", reference)
    assert fake.count("/a/b/") == 0


def test_a_token_server_by_http_of_a_registry_by_https(caisson, fake, secure, image):
    reference = secure.add("a/b", "1", image)
    TokenServer(secure, realm=f"{fake.url}/token")
    pull_fails(caisson, reference, "registry_downgrade", reference)
    assert fake.count("/token") == 0


def test_a_certificate_that_nobody_signed(caisson, make_fake, certificates, image):
    made = make_fake(certificates=certificates)
    reference = made.add("a/b", "1", image)
    pull_fails(caisson, reference, "registry_tls", reference, made.host)
    assert made.count() == 0


@pytest.mark.parametrize("realm", ["file:///etc/passwd", "", "/token", "http://", "x" * 100_000,
                                   "http://127.0.0.1:1/token", "http://user:pass@127.0.0.1:1/"])
def test_a_realm_that_is_no_token_server(caisson, fake, image, realm):
    reference = fake.add("a/b", "1", image)
    fake.on("/a/b/", lambda request: request.fail(
        401, "UNAUTHORIZED", headers={"WWW-Authenticate": f'Bearer realm="{realm}",service="fake"'}))
    before = visible(caisson)
    done = caisson("pull", "--json", reference)
    assert done.returncode == 1
    assert len(done.error_line()) < 2000 and "root:" not in done.stderr
    assert visible(caisson) == before


@pytest.mark.parametrize("token", [b"", b"{", b"[]", b'{"token": 7}', b'{"token": ""}', b"{}",
                                   b'{"token": "a\\r\\nX-Injected: yes"}', b" " * (8 << 20)],
                         ids=lambda token: token[:12].decode())
def test_a_token_that_is_none(caisson, fake, image, token):
    reference = fake.add("a/b", "1", image)
    fake.on("^/token", lambda request: request.answer(200, token, {"Content-Type": "application/json"}))
    TokenServer(fake)
    before = visible(caisson)
    done = caisson("pull", "--json", reference)
    assert done.returncode == 1
    done.error_line()
    assert not any("x-injected" in one.headers for one in fake.asked())
    assert visible(caisson) == before


def test_a_password_is_in_no_message(caisson, fake, image, credentials):
    reference = fake.add("a/b", "1", image)
    fake.on("/a/b/", lambda request: request.fail(401, message=request.headers.get("Authorization", "none"),
                                                  headers={"WWW-Authenticate": 'Basic realm="fake"'}))
    done = caisson("pull", reference)
    assert done.returncode == 1
    assert "secret" not in done.stdout + done.stderr
