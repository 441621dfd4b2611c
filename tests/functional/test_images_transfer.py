"""How images come: what is asked for, over which ways, and what several pulls do to each other."""

import json
import os
import random
import subprocess
import time

import pytest

from support import host
from support.boxes import descendants
from support.fake_registry import FakeRegistry, redirect, status
from support.fetching import fsck
from support.images import Image, Layer, busybox_image, busybox_layer, file

BIG = Layer([file("big", random.Random(7).randbytes(4 << 20))], "none")


@pytest.fixture
def fake():
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def other():
    with FakeRegistry() as registry:
        yield registry


@pytest.fixture
def configure(caisson, workdir):
    def write(registries):
        path = workdir / "registries.json"
        path.write_text(registries if isinstance(registries, str) else json.dumps({"registries": registries}))
        caisson.env["CAISSON_REGISTRIES"] = str(path)
        return path
    return write


@pytest.mark.parametrize("spelling", ["{name}", "docker://{name}", "docker://{host}/a/b@{digest}",
                                      "{host}/a/b@{digest}", "{name}@{digest}"])
def test_spellings_of_a_reference(caisson, fake, spelling):
    image = busybox_image()
    name = fake.push("a/b", "1", image)
    source = spelling.format(name=name, host=fake.name, digest=image.digest)
    assert caisson("pull", "-q", source, check=True).stdout.strip() == image.digest


def test_a_second_run_asks_nothing(caisson, fake):
    name = fake.push("a/b", "1", busybox_image())
    caisson("run", "--rm", "-q", name, "--", "true", check=True)
    asked = len(fake.requests)
    caisson("run", "--rm", "-q", name, "--", "true", check=True)
    assert len(fake.requests) == asked == 3


def test_known_layers_are_not_fetched_again(caisson, fake):
    for tag in ("1", "2"):
        caisson("pull", "-q", fake.push("a/b", tag, busybox_image(Layer([file("x", tag)]))), check=True)
    assert fake.count("GET", busybox_layer().digest) == 1


def test_a_tag_that_moved_leaves_the_old_image_nameless(caisson, fake):
    first, second = busybox_image(), busybox_image(Layer([file("x", "")]))
    for image in (first, second):
        caisson("pull", "-q", fake.push("a/b", "1", image), check=True)
    dangling = caisson("images", "-q", "--filter", "dangling=true", check=True).stdout.split()
    assert dangling == [first.digest]


# --- several at once ----------------------------------------------------------------------------

@pytest.mark.seconds(60)
def test_layers_that_come_from_elsewhere_at_once(caisson, fake, other):
    """New connections while others run: none may be mistaken for another descriptor."""
    image = Image([Layer([file(f"{number}", f"{number}" * 5000)]) for number in range(8)])
    other.blobs.update(image.blobs())
    fake.fault("/blobs/", redirect(lambda path: other.url + path))
    for tag in range(5):
        begin = time.monotonic()
        name = fake.push("a/b", str(tag), image)
        caisson("pull", "-q", name, check=True)
        assert time.monotonic() - begin < 10, "a transfer stood still"
        caisson("rmi", name, check=True)
        caisson("image", "prune", "-a", "--grace", "0s", check=True)
    assert other.count("GET", "/blobs/") == 5 * 9


def test_images_that_share_a_layer_at_once(caisson, fake):
    """The layer above is unpacked here and waits for one that the other pull publishes."""
    names = [fake.push(f"a/{number}", "1", Image([BIG, Layer([file("x", str(number))])])) for number in range(2)]
    fake.pace = (1 << 16, 0.02)
    pulls = [caisson.popen("pull", "-q", name, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for name in names]
    for process in pulls:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert fake.count("GET", BIG.digest) == 1
    assert fsck(caisson) == []


@pytest.mark.seconds(300)
def test_any_process_of_a_pull_killed_at_any_moment(caisson, fake):
    """50 times; then a pull succeeds, and nothing wrong is left."""
    dice = random.Random(11)
    layers = [Layer([file(f"{number}/{name}", dice.randbytes(20_000)) for name in range(40)])
              for number in range(4)]
    name = fake.push("a/b", "1", busybox_image(*layers))
    begin = time.monotonic()
    caisson("pull", "-q", name, check=True)
    usual = time.monotonic() - begin
    caisson("image", "prune", "-a", "--grace", "0s", check=True)
    for _ in range(50):
        process = caisson.popen("pull", "-q", name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0, usual * 1.1))
        below = [pid for pid, (_, program) in descendants(process.pid).items() if program.startswith("caisson")]
        try:
            os.kill(dice.choice([process.pid, *below]), 9)
        except (ProcessLookupError, PermissionError):  # it has ended, or is of another user id
            process.kill()
        process.wait(timeout=30)
        if dice.random() < 0.2:  # begin anew from time to time
            caisson("image", "prune", "-a", "--grace", "0s", check=True)
    caisson("pull", "-q", name, check=True)
    assert fsck(caisson) == []
    caisson("run", "--rm", name, "--", "test", "-s", "/3/39", check=True)


# --- ways ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("code", [404, 403, 500])
def test_what_a_mirror_lacks_comes_from_the_registry(caisson, fake, other, configure, code):
    name = fake.push("a/b", "1", busybox_image())
    other.push("a/b", "1", busybox_image())
    other.fault("/blobs/" + busybox_layer().digest, status(code))
    configure({fake.name: {"mirrors": [other.name]}})
    caisson("pull", "-q", name, check=True)
    assert fake.count("GET", busybox_layer().digest) == 1


def test_a_proxy_of_the_environment(caisson, fake, configure):
    """A registry that exists only behind the proxy, which is asked with whole URLs."""
    fake.push("a/b", "1", busybox_image())
    configure({"registry.invalid:5000": {"plain_http": True}})
    caisson("pull", "-q", "registry.invalid:5000/a/b:1", env={"http_proxy": fake.url}, check=True)
    assert fake.count("GET", "^http://registry.invalid:5000/v2/a/b/") == 3


@pytest.mark.parametrize("text", ["{", "[]", '{"registries": []}', '{"registries": {"a": {"insecur": true}}}',
                                  '{"registries": {"a": {"ca": "relative"}}}'])
def test_a_configuration_that_is_refused(caisson, fake, configure, text):
    path = configure(text)
    done = caisson("pull", fake.push("a/b", "1", busybox_image()))
    assert done.returncode == 1 and str(path) in done.error_line()
    assert fake.requests == []


def test_a_credential_helper_that_fails(caisson, fake, workdir):
    helper = workdir / "docker-credential-testing"
    helper.write_text("#!/bin/sh\necho the vault is shut >&2\nexit 1\n")
    helper.chmod(0o755)
    (workdir / "config.json").write_text(json.dumps({"credsStore": "testing"}))
    done = caisson("pull", "-q", fake.push("a/b", "1", busybox_image()),
                   env={"PATH": f"{workdir}:{caisson.env['PATH']}", "DOCKER_CONFIG": str(workdir)})
    assert done.returncode == 1 and "the vault is shut" in done.error_line()


# --- ordinary users -----------------------------------------------------------------------------

@pytest.mark.user_only
@pytest.mark.without_subuid
def test_owners_of_an_ordinary_user(caisson, fake):
    layer = Layer([file("etc/theirs", "text", uid=1000, gid=1000, mode=0o640)])
    name = fake.push("a/b", "1", busybox_image(layer))
    done = caisson("run", "--rm", "-q", name, "--", "stat", "-c", "%u:%g:%a", "/etc/theirs", check=True)
    assert done.stdout.endswith(":640\n") if host.missing_subuid() else done.stdout == "1000:1000:640\n"
    assert fsck(caisson) == []
