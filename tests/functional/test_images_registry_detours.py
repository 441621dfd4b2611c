"""Detours to a registry: token servers that pause, mirrors that fail in odd ways, proxies."""

import json

import pytest

from support.fake_registry import FakeRegistry, instead, status
from support.images import Layer, busybox_image, file


@pytest.fixture
def fake():
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def image():
    return busybox_image(Layer([file("which", "true")]))


@pytest.fixture
def settings(workdir):
    """The environment that names a registries.json of {registry: fields}."""
    def write(registries):
        path = workdir / "registries.json"
        path.write_text(json.dumps({"registries": registries}))
        return {"CAISSON_REGISTRIES": str(path)}
    return write


@pytest.fixture
def user(workdir):
    """The environment in which this user is known to a registry."""
    def write(registry, password="secret"):
        path = workdir / "auth.json"
        path.write_text(json.dumps({"auths": {registry.name: {"username": "me", "password": password}}}))
        return {"REGISTRY_AUTH_FILE": str(path)}
    return write


def pulled(caisson, *arguments, **keywords):
    return caisson("pull", "-q", *arguments, check=True, **keywords).stdout.strip()


@pytest.mark.parametrize("code", [429, 503])
def test_token_server_that_is_busy_once(caisson, fake, image, user, code):
    name = fake.push("test/token", "1", image)
    fake.require_token("me", "secret")
    fake.fault("^/token", status(code), times=1)
    assert pulled(caisson, name, env=user(fake)) == image.digest
    assert fake.count("GET", "^/token") == 2


def test_token_server_that_refuses_is_asked_once(caisson, fake, image, user):
    name = fake.push("test/token", "1", image)
    fake.require_token("me", "secret")
    done = caisson("pull", "-q", name, env=user(fake, "wrong"))
    assert done.returncode != 0
    assert f"caisson login {fake.name}" in done.stderr
    assert fake.count("GET", "^/token") == 1


def test_token_server_with_a_strange_name(caisson, fake, image):
    """Control characters of ISO 8859-1 act on some terminals."""
    name = fake.push("test/token", "1", image)
    fake.require_token("me", "secret", realm="http://127.0.0.1:1/\u009b31m")
    fake.fault("/manifests/", lambda handler: handler.reply(
        401, b"", {"WWW-Authenticate": 'Bearer realm="http://127.0.0.1:1/\u00c2\u009b31m",service="own"'}))
    done = caisson("pull", "-q", name)
    assert done.returncode != 0
    assert done.error_line().isprintable() and "127.0.0.1:1/??31m" in done.error_line()


@pytest.mark.parametrize("change", [-1, 1])
def test_mirror_that_lies_about_a_size(caisson, fake, image, settings, change):
    layer = image.layers[1]
    fake.push("test/mirror", "1", image)
    fake.fault(layer.digest, instead(layer.blob[:change] if change < 0 else layer.blob + bytes(change)))
    with FakeRegistry() as origin:
        name = origin.push("test/mirror", "1", image)
        assert pulled(caisson, name, env=settings({origin.name: {"mirrors": [fake.name]}})) == image.digest
        assert origin.count("GET", layer.digest) == 1


def test_mirror_whose_certificate_is_unknown(caisson, fake, settings, certificates):
    """The registry's own answer is the one that counts."""
    with FakeRegistry(certificates) as mirror:
        env = settings({fake.name: {"mirrors": [mirror.name]}})
        done = caisson("pull", "-q", f"{fake.name}/test/nothing:1", env=env)
        assert done.returncode != 0
        assert "404" in done.error_line() and fake.name in done.error_line()


def test_connection_that_ends_early_without_a_length(caisson, fake):
    image = busybox_image(Layer([file("data", bytes(100_000))], "none"))
    layer = image.layers[1]
    name = fake.push("test/short", "1", image)

    def short(handler):
        handler.begin(200, {"Connection": "close"})
        handler.close_connection = True
        handler.send(layer.blob[:5000])
    fake.fault(layer.digest, short, times=1)
    assert pulled(caisson, name) == image.digest
    assert [one.headers.get("range") for one in fake.seen("GET", layer.digest)] == [None, "bytes=5000-"]


def test_headers_without_an_end(caisson, fake, image):
    name = fake.push("test/headers", "1", image)
    fake.fault("/manifests/", status(200, {f"X-{i}": "a" * 4000 for i in range(60)}))
    done = caisson("pull", "-q", name)
    assert done.returncode != 0
    assert "headers" in done.error_line() and fake.name in done.error_line()
    assert fake.count("GET", "/manifests/") == 1


@pytest.mark.parametrize(("no_proxy", "asked"), [("*", False), ("other.invalid", True)])
def test_no_proxy(caisson, fake, settings, no_proxy, asked):
    """The registry's name does not exist; a proxy that is asked answers all the same."""
    fake.fault("", status(403))
    env = settings({"registry.invalid": {"plain_http": True}})
    env |= {"http_proxy": fake.url, "no_proxy": no_proxy}
    done = caisson("pull", "-q", "registry.invalid/test/a:1", env=env)
    assert done.returncode != 0
    assert bool(fake.requests) == asked
