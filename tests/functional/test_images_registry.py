"""Images out of registries: a real one, plain and with TLS and users, and one that is told to fail."""

import json
import os
import random
import stat
import subprocess
import time

import pytest

from support.fake_registry import FakeRegistry, instead, status, truncated, wrong_range
from support.images import Image, Index, Layer, busybox_image, busybox_layer, file, write_layout

NOISE = random.Random(5).randbytes(3 << 20)
HERE, OTHER = ("amd64", "arm64") if os.uname().machine == "x86_64" else ("arm64", "amd64")


@pytest.fixture
def fake():
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def settings(workdir):
    """The environment that names a registries.json of {registry: fields}."""
    def write(registries):
        path = workdir / "registries.json"
        path.write_text(json.dumps({"registries": registries}))
        return {"CAISSON_REGISTRIES": str(path)}
    return write


@pytest.fixture
def noisy():
    """An image with a layer that takes a while."""
    return busybox_image(Layer([file("noise", NOISE)]))


def image_of(text):
    return busybox_image(Layer([file("which", text)]))


def pull(caisson, *arguments, **keywords):
    return caisson("pull", "-q", *arguments, check=True, **keywords).stdout.strip()


def which(caisson, source, *options, **keywords):
    return caisson("run", "--rm", "-q", *options, source, "--", "cat", "/which", check=True, **keywords).stdout


def layer_path(layer):
    return f"/blobs/{layer.digest}$"


def refused(caisson, *arguments, **keywords):
    """The last line of a pull that fails; nothing of it is an image."""
    done = caisson("pull", *arguments, **keywords)
    assert done.returncode != 0, done.stdout
    assert caisson("images", "-q", check=True).stdout == ""
    line = done.stderr.splitlines()
    assert any(text.startswith("caisson: ") for text in line), done.stderr
    return done.stderr


# --- a real registry ----------------------------------------------------------------------------

@pytest.mark.without_subuid
def test_run_out_of_a_registry(caisson, registry):
    image = image_of("one")
    name = registry.push("test/busybox", "1", image)
    assert which(caisson, name) == "one"
    assert which(caisson, name) == "one"
    assert caisson("images", "-q", check=True).stdout.strip() == image.digest
    assert caisson("image", "fsck").returncode == 0


def test_docker_and_zstd(caisson, registry):
    for number, image in enumerate((image_of("d"), busybox_image(Layer([file("which", "d")], "zstd"), family="docker"),
                                    Image([busybox_layer("zstd"), Layer([file("which", "d")], "none")], {}))):
        assert which(caisson, registry.push("test/kinds", str(number), image)) == "d"


def test_skopeo_pushes_what_is_pulled(caisson, registry, workdir):
    """What another program put there."""
    layout = write_layout(workdir / "layout", {"t": image_of("pushed")})
    subprocess.run(["skopeo", "copy", "--quiet", "--dest-tls-verify=false", f"oci:{layout}:t",
                    f"docker://{registry.name}/test/skopeo:1"], check=True, timeout=60)
    assert which(caisson, f"{registry.name}/test/skopeo:1") == "pushed"


@pytest.mark.without_subuid
def test_login_and_logout(caisson, secure_registry, settings, workdir):
    name = secure_registry.push("test/private", "1", image_of("private"))
    user, password = secure_registry.user
    env = settings({secure_registry.name: {"ca": str(secure_registry.certificates.ca)}})
    env["DOCKER_CONFIG"] = str(workdir / "docker")
    assert "caisson login" in refused(caisson, name, env=env)

    wrong = caisson("login", "-u", user, "--password-stdin", secure_registry.name, input="wrong\n", env=env)
    assert wrong.returncode != 0
    assert secure_registry.name in wrong.error_line()
    assert not (workdir / "docker/config.json").exists()

    done = caisson("login", "-u", user, "--password-stdin", secure_registry.name, input=password + "\n", env=env)
    assert done.returncode == 0, done.stderr
    kept = workdir / "docker/config.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert list(json.loads(kept.read_text())["auths"]) == [secure_registry.name]
    assert which(caisson, name, env=env) == "private"

    caisson("logout", secure_registry.name, env=env, check=True)
    assert secure_registry.name not in kept.read_text()
    caisson("rmi", name, check=True)
    assert "caisson login" in refused(caisson, name, env=env)


def test_certificate_that_is_not_trusted(caisson, secure_registry, settings):
    name = secure_registry.push("test/private", "1", image_of("private"))
    assert "docs/registries.md" in refused(caisson, name)
    env = settings({secure_registry.name: {"insecure": True}})
    assert "caisson login" in refused(caisson, name, env=env)


def test_registry_auth_file(caisson, secure_registry, settings, workdir):
    name = secure_registry.push("test/private", "1", image_of("private"))
    user, password = secure_registry.user
    auth = workdir / "auth.json"
    auth.write_text(json.dumps({"auths": {secure_registry.name: {"username": user, "password": password}}}))
    env = settings({secure_registry.name: {"ca": str(secure_registry.certificates.ca)}})
    assert which(caisson, name, env=env | {"REGISTRY_AUTH_FILE": str(auth)}) == "private"


def test_credential_helper(caisson, secure_registry, settings, workdir):
    name = secure_registry.push("test/private", "1", image_of("private"))
    user, password = secure_registry.user
    programs, docker = workdir / "bin", workdir / "docker"
    programs.mkdir()
    docker.mkdir()
    helper = programs / "docker-credential-own"
    helper.write_text(f"#!/bin/sh\nread registry\n[ \"$1 $registry\" = 'get {secure_registry.name}' ] || exit 1\n"
                      f"echo '{json.dumps({'Username': user, 'Secret': password})}'\n")
    helper.chmod(0o755)
    (docker / "config.json").write_text(json.dumps({"credHelpers": {secure_registry.name: "own"}}))
    env = settings({secure_registry.name: {"ca": str(secure_registry.certificates.ca)}})
    env |= {"DOCKER_CONFIG": str(docker), "PATH": f"{programs}:{caisson.env['PATH']}"}
    assert which(caisson, name, env=env) == "private"


# --- what is asked ------------------------------------------------------------------------------

def test_pull_policy(caisson, fake):
    name = fake.push("test/policy", "1", image_of("one"))
    done = caisson("run", "--rm", "--pull", "never", name, "--", "true")
    assert done.returncode == 125
    assert fake.requests == []
    assert which(caisson, name) == "one"
    asked = len(fake.requests)
    assert which(caisson, name) == "one"
    assert which(caisson, name, "--pull", "missing") == "one"
    assert which(caisson, name, "--pull", "never") == "one"
    assert len(fake.requests) == asked, "nothing is asked for an image that is there"
    fake.push("test/policy", "1", image_of("two"))
    assert which(caisson, name) == "one"
    assert which(caisson, name, "--pull", "always") == "two"
    assert fake.count("GET", layer_path(busybox_layer())) == 1, "the layer that was there"


def test_a_digest_that_is_here_needs_no_registry(caisson, fake):
    """Under whatever name it came."""
    image = image_of("one")
    caisson("pull", "-q", fake.push("test/here", "1", image), check=True)
    asked = len(fake.requests)
    by_digest = fake.push("test/here", "1", image).rsplit(":", 1)[0] + "@" + image.digest
    assert which(caisson, by_digest, "--pull", "never") == "one"
    assert len(fake.requests) == asked


def test_digest(caisson, fake):
    image = image_of("by digest")
    fake.push("test/digest", "1", image)
    assert which(caisson, f"{fake.name}/test/digest@{image.digest}") == "by digest"
    other = "sha256:" + "0" * 64
    assert other in refused_more(caisson, f"{fake.name}/test/digest@{other}")


def refused_more(caisson, name):
    done = caisson("pull", name)
    assert done.returncode != 0
    return done.stderr


def test_platforms(caisson, fake):
    index = Index([busybox_image(Layer([file("which", OTHER)]), architecture=OTHER),
                   busybox_image(Layer([file("which", HERE)]), architecture=HERE)])
    name = fake.push("test/platforms", "1", index)
    assert which(caisson, name) == HERE
    pull(caisson, "--platform", f"linux/{OTHER}", name)
    done = caisson("pull", "--platform", "linux/s390x", name)
    assert done.returncode != 0
    assert "s390x" in done.stderr


def test_not_there(caisson, fake):
    text = refused(caisson, f"{fake.name}/test/nothing:1")
    assert fake.name in text and "404" in text and "test/nothing:1" in text


# --- downloads that fail ------------------------------------------------------------------------

def test_resumes_within_a_pull(caisson, fake, noisy):
    layer = noisy.layers[1]
    name = fake.push("test/noisy", "1", noisy)
    fake.fault(layer_path(layer), truncated(layer.blob, 1 << 20), times=1)
    pull(caisson, name)
    first, second = fake.seen("GET", layer_path(layer))
    assert "range" not in first.headers
    assert second.headers["range"] == f"bytes={1 << 20}-"
    assert caisson("image", "fsck").returncode == 0


def test_resumes_after_a_pull(caisson, fake, noisy):
    layer = noisy.layers[1]
    name = fake.push("test/noisy", "1", noisy)
    fake.fault(layer_path(layer), truncated(layer.blob, 1 << 20), times=1)
    fake.fault(layer_path(layer), status(403), times=2)
    assert "403" in refused(caisson, name)
    before = len(fake.requests)
    fake.faults.clear()
    pull(caisson, name)
    again = [one for one in fake.requests[before:] if layer.digest in one.path]
    assert [one.headers["range"] for one in again] == [f"bytes={1 << 20}-"]
    assert again[0].sent == len(layer.blob) - (1 << 20)


@pytest.mark.parametrize("lie", ["none", "wrong"])
def test_registry_without_ranges(caisson, fake, noisy, lie):
    layer = noisy.layers[1]
    name = fake.push("test/noisy", "1", noisy)
    fake.fault(layer_path(layer), truncated(layer.blob, 1 << 20), times=1)
    fake.ranges = lie == "wrong"
    if lie == "wrong":
        fake.fault(layer_path(layer), wrong_range(layer.blob))
    pull(caisson, name)
    assert caisson("image", "fsck").returncode == 0


def test_bytes_that_were_kept_are_wrong(caisson, fake, noisy):
    """Found by the digest; then everything is fetched once more."""
    layer = noisy.layers[1]
    name = fake.push("test/noisy", "1", noisy)
    fake.fault(layer_path(layer), truncated(bytes(len(layer.blob)), 1 << 20), times=1)
    fake.fault(layer_path(layer), status(403), times=1)
    refused(caisson, name)
    fake.faults.clear()
    pull(caisson, name)
    assert caisson("image", "fsck").returncode == 0


@pytest.mark.parametrize("code", [500, 502, 503, 429])
def test_passing_faults(caisson, fake, code):
    name = fake.push("test/faults", "1", image_of("after all"))
    fake.fault("/manifests/", status(code, {"Retry-After": "1"}), times=1)
    fake.fault("/blobs/", status(code), times=1)
    start = time.monotonic()
    assert which(caisson, name) == "after all"
    assert time.monotonic() - start > 0.9


@pytest.mark.parametrize(("code", "headers", "asked"), [
    (403, {}, 1), (404, {}, 1), (429, {"Retry-After": "100000"}, 1), (503, {"Retry-After": "0"}, 5)])
def test_lasting_faults(caisson, fake, code, headers, asked):
    name = fake.push("test/faults", "1", image_of("never"))
    fake.fault("/manifests/", status(code, headers))
    text = refused(caisson, name)
    assert str(code) in text and fake.name in text
    assert fake.count("GET", "/manifests/") == asked


def test_nobody_there(caisson, fake):
    name = fake.push("test/gone", "1", image_of("gone"))
    fake.__exit__()
    assert fake.name in refused(caisson, name)


@pytest.mark.without_subuid
def test_two_pulls_at_once(caisson, fake, noisy):
    name = fake.push("test/noisy", "1", noisy)
    fake.pace = (64 << 10, 0.01)
    pulls = [caisson.popen("pull", "-q", name, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for process in pulls:
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out.decode().strip()) == (0, noisy.digest), err
    for layer in noisy.layers:
        assert fake.count("GET", layer_path(layer)) == 1
    assert caisson("image", "fsck").returncode == 0


@pytest.mark.seconds(300)
def test_killed_at_random_moments(caisson, fake, noisy):
    name = fake.push("test/noisy", "1", noisy)
    fake.pace = (64 << 10, 0.01)
    dice = random.Random(11)
    for _ in range(20):
        process = caisson.popen("pull", "-q", name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0, 0.5))
        process.kill()
        process.wait(timeout=10)
    fake.pace = None
    assert pull(caisson, name) == noisy.digest
    done = caisson("image", "fsck")
    assert done.returncode == 0, done.stdout + done.stderr


# --- tokens, mirrors ----------------------------------------------------------------------------

def test_token_server(caisson, fake, workdir):
    name = fake.push("test/token", "1", image_of("token"))
    fake.require_token("me", "secret")
    auth = workdir / "auth.json"
    auth.write_text(json.dumps({"auths": {fake.name: {"username": "me", "password": "secret"}}}))
    assert which(caisson, name, env={"REGISTRY_AUTH_FILE": str(auth)}) == "token"
    tokens = fake.seen("GET", "^/token")
    assert [one.scope for one in tokens] == [["repository:test/token:pull"]], "one token for everything"
    caisson("rmi", name, check=True)
    auth.write_text(json.dumps({"auths": {fake.name: {"username": "me", "password": "wrong"}}}))
    assert "401" in refused(caisson, name, env={"REGISTRY_AUTH_FILE": str(auth)})


def test_mirrors(caisson, fake, settings):
    fake.push("hub/test/mirror", "1", image_of("mirror"))
    with FakeRegistry() as origin, FakeRegistry() as gone:
        origin.push("test/mirror", "1", image_of("origin"))
        only = origin.push("test/only", "1", image_of("only here"))
        gone.fault("", status(500))
        env = settings({origin.name: {"mirrors": [gone.name, f"{fake.name}/hub"]}})
        assert which(caisson, f"{origin.name}/test/mirror:1", env=env) == "mirror"
        assert origin.requests == []
        assert which(caisson, only, env=env) == "only here"


def test_mirror_that_lies_about_a_digest(caisson, fake, settings):
    """What a mirror says about a tag is believed, not what it says about a digest."""
    image = image_of("true")
    with FakeRegistry() as origin:
        origin.push("test/mirror", "1", image)
        fake.fault("/manifests/", instead(image_of("false").manifest, image.descriptor()["mediaType"]))
        env = settings({origin.name: {"mirrors": [fake.name]}})
        done = caisson("pull", f"{origin.name}/test/mirror@{image.digest}", env=env)
        assert done.returncode == 1
        assert image.digest in done.stderr


def test_plain_http_is_for_loopback_and_who_is_told(caisson, fake, settings):
    name = fake.push("test/plain", "1", image_of("plain"))
    assert which(caisson, name, env=settings({fake.name: {"plain_http": True}})) == "plain"
