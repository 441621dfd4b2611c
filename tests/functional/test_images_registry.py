"""Images of registries: real ones, and one that counts what it is asked."""

import json
import os
import random
import subprocess
import time
from urllib.parse import unquote

import pytest

from support import host
from support.attack import wait_for
from support.boxes import descendants
from support.fake_registry import TokenServer
from support.fetching import fsck
from support.images import Image, Index, Layer, busybox_image, busybox_layer, file, write_layout
from support.registry import PASSWORD, USER, auth_file

BIG = Layer([file("big", random.Random(7).randbytes(4 << 20))], "none")


def inspect(caisson, reference):
    return json.loads(caisson("image", "inspect", reference, check=True).stdout)


def configure(caisson, workdir, settings):
    path = workdir / "registries.json"
    path.write_text(json.dumps({"registries": settings}))
    caisson.env["CAISSON_REGISTRIES"] = str(path)


# --- a real registry ----------------------------------------------------------------------------

def test_an_image_runs(caisson, registry):
    reference = registry.push("real/one", "1", busybox_image(Layer([file("etc/motd", "from afar\n")])))
    done = caisson("run", "--rm", "-q", reference, "--", "cat", "/etc/motd", check=True)
    assert done.stdout == "from afar\n" and done.stderr == ""
    assert inspect(caisson, reference)["names"] == [reference]


@pytest.mark.parametrize("spelling", ["{name}", "docker://{name}", "docker://{host}/real/spelled@{digest}",
                                      "{host}/real/spelled@{digest}", "{name}@{digest}"])
def test_spellings_of_a_reference(caisson, registry, spelling):
    image = busybox_image()
    name = registry.push("real/spelled", "1", image)
    source = spelling.format(name=name, host=registry.host, digest=image.digest)
    assert caisson("pull", "-q", source, check=True).stdout.strip() == image.digest


@pytest.mark.parametrize("family", ["oci", "docker"])
@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_kinds_of_manifests_and_layers(caisson, registry, family, compression):
    layer = Layer([file("etc/motd", f"{family} {compression}\n")], compression)
    reference = registry.push(f"real/{family}", compression, busybox_image(layer, family=family))
    done = caisson("run", "--rm", "-q", reference, "--", "cat", "/etc/motd", check=True)
    assert done.stdout == f"{family} {compression}\n"


def test_what_skopeo_pushed(caisson, registry, workdir):
    image = busybox_image(Layer([file("etc/motd", "by skopeo\n")]))
    write_layout(workdir / "layout", {"1": image})
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "--dest-tls-verify=false",
                    f"oci:{workdir}/layout:1", f"docker://{registry.host}/real/skopeo:1"],
                   check=True, timeout=60, capture_output=True)
    done = caisson("run", "--rm", "-q", f"{registry.host}/real/skopeo:1", "--", "cat", "/etc/motd", check=True)
    assert done.stdout == "by skopeo\n"


@pytest.mark.parametrize("platform, architecture", [(None, "amd64"), ("linux/arm64", "arm64"),
                                                    ("linux/arm/v7", "arm")])
def test_platforms(caisson, registry, platform, architecture):
    images = {name: busybox_image(Layer([file("etc/motd", name)]), architecture=name, variant=variant)
              for name, variant in (("arm", "v7"), ("arm64", "v8"), ("amd64", None))}
    reference = registry.push("real/platforms", "1", Index(images.values()))
    words = ["--platform", platform] if platform else []
    identity = caisson("pull", "-q", *words, reference, check=True).stdout.strip()
    assert identity == images[architecture].digest
    assert inspect(caisson, identity)["architecture"] == architecture


# --- what is asked for, and how often -----------------------------------------------------------

def test_a_second_run_asks_nothing(caisson, fake):
    reference = fake.add("a/b", "1", busybox_image())
    caisson("run", "--rm", "-q", reference, "--", "true", check=True)
    asked = fake.count()
    caisson("run", "--rm", "-q", reference, "--", "true", check=True)
    caisson("run", "--rm", "--pull", "missing", reference, "--", "true", check=True)
    assert fake.count() == asked == 3


def test_pull_always_asks_for_the_manifest_alone(caisson, fake):
    reference = fake.add("a/b", "1", busybox_image())
    caisson("pull", "-q", reference, check=True)
    caisson("run", "--rm", "-q", "--pull", "always", reference, "--", "true", check=True)
    assert fake.count("/manifests/") == 2 and fake.count("/blobs/") == 2
    fake.add("a/b", "1", busybox_image(Layer([file("etc/motd", "newer\n")])))
    done = caisson("run", "--rm", "-q", "--pull", "always", reference, "--", "cat", "/etc/motd", check=True)
    assert done.stdout == "newer\n"
    assert fake.count(busybox_layer().digest) == 1


def test_pull_never_asks_nothing(caisson, fake):
    reference = fake.add("a/b", "1", busybox_image())
    done = caisson("run", "--rm", "--pull", "never", reference, "--", "true")
    assert done.returncode == 125 and reference in done.error_line()
    assert fake.count() == 0


def test_a_tag_that_moved_leaves_the_old_image_nameless(caisson, fake):
    first, second = busybox_image(), busybox_image(Layer([file("x", "")]))
    reference = fake.add("a/b", "1", first)
    caisson("pull", "-q", reference, check=True)
    fake.add("a/b", "1", second)
    caisson("pull", "-q", reference, check=True)
    assert inspect(caisson, reference)["id"] == second.digest
    dangling = caisson("images", "-q", "--no-trunc", "--filter", "dangling=true", check=True).stdout.split()
    assert dangling == [first.digest]


def test_known_layers_are_not_fetched_again(caisson, fake):
    first = fake.add("a/b", "1", busybox_image(Layer([file("x", "1")])))
    other = fake.add("c/d", "2", busybox_image(Layer([file("x", "2")])))
    caisson("pull", "-q", first, check=True)
    caisson("pull", "-q", other, check=True)
    assert fake.count(busybox_layer().digest) == 1


# --- resuming and sharing -----------------------------------------------------------------------

def test_a_download_that_broke_off_goes_on_where_it_was(caisson, fake):
    reference = fake.add("a/b", "1", Image([BIG]))
    fake.on(BIG.digest, lambda request: request.truncate(BIG.blob, 3 << 20), times=1)
    caisson("pull", "-q", reference, check=True)
    ranges = [one.headers.get("range") for one in fake.asked(BIG.digest)]
    assert ranges[0] is None and ranges[1] and ranges[1].startswith("bytes=")
    assert fake.sent(BIG.digest) < len(BIG.blob) + (1 << 20)
    assert fsck(caisson) == []


def test_the_next_pull_goes_on_where_one_was_killed(caisson, fake):
    reference = fake.add("a/b", "1", Image([BIG]))

    def half(request):
        request.begin(200, {}, len(BIG.blob))
        request.send(BIG.blob[:2 << 20])
        time.sleep(20)
        request.hang_up()
    fake.on(BIG.digest, half, times=1)
    process = caisson.popen("pull", "-q", reference, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: fake.sent(BIG.digest) >= 2 << 20, what="half a blob")
    time.sleep(0.3)
    process.kill()
    process.wait(timeout=10)
    caisson("pull", "-q", reference, check=True)
    assert fake.asked(BIG.digest)[1].headers["range"].startswith("bytes=")
    assert fsck(caisson) == []


def test_a_registry_without_ranges(caisson, fake):
    reference = fake.add("a/b", "1", Image([BIG]))
    fake.ranges = False
    fake.on(BIG.digest, lambda request: request.truncate(BIG.blob, 1 << 20), times=1)
    caisson("pull", "-q", reference, check=True)
    assert fsck(caisson) == []


def test_two_processes_share_a_download(caisson, fake):
    first = fake.add("a/b", "1", Image([BIG, Layer([file("x", "1")])]))
    second = fake.add("c/d", "1", Image([BIG, Layer([file("x", "2")])]))
    fake.on(BIG.digest, lambda request: request.drip(BIG.blob, 0.02, piece=1 << 16))
    pulls = [caisson.popen("pull", "-q", reference, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
             for reference in (first, second)]
    for process in pulls:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert fake.count(BIG.digest) == 1
    assert fsck(caisson) == []


@pytest.mark.seconds(300)
def test_killed_at_any_moment(caisson, fake):
    """50 pulls die at random moments; then one succeeds, and nothing wrong is left."""
    chance = random.Random(11)
    layers = [Layer([file(f"{number}/{name}", chance.randbytes(20_000)) for name in range(40)])
              for number in range(4)]
    reference = fake.add("a/b", "1", busybox_image(*layers))
    begin = time.monotonic()
    caisson("pull", "-q", reference, check=True)
    usual = time.monotonic() - begin
    caisson("rmi", reference, check=True)
    caisson("image", "prune", "-a", "--grace", "0s", check=True)
    for _ in range(50):
        process = caisson.popen("pull", "-q", reference, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0, usual * 1.1))
        victims = [process.pid, *(pid for pid, (_, name) in descendants(process.pid).items()
                                  if name.startswith("caisson"))]
        victim = chance.choice(victims)
        try:
            os.kill(victim, 9)
        except (ProcessLookupError, PermissionError):
            process.kill()
        process.wait(timeout=30)
        if chance.random() < 0.2:  # begin anew from time to time
            caisson("image", "prune", "-a", "--grace", "0s", check=True)
    caisson("pull", "-q", reference, check=True)
    assert fsck(caisson) == []
    done = caisson("run", "--rm", reference, "--", "sha256sum", "/3/39", check=True)
    assert len(done.stdout.split()[0]) == 64


# --- credentials --------------------------------------------------------------------------------

@pytest.fixture
def private(caisson, tls_registry, workdir):
    """A reference that only USER may pull."""
    caisson.env |= {"HOME": str(workdir), "DOCKER_CONFIG": str(workdir / "docker")}
    caisson.env.pop("REGISTRY_AUTH_FILE", None)
    configure(caisson, workdir, {tls_registry.host: {"ca": str(tls_registry.certificates.ca)}})
    return tls_registry.push("private/one", "1", busybox_image())


def log_in(caisson, registry, password=PASSWORD):
    return caisson("login", "-u", USER, "--password-stdin", registry.host, input=password)


def test_login_and_logout(caisson, tls_registry, private, workdir):
    refused = caisson("pull", private)
    assert refused.returncode == 1 and f"login {tls_registry.host}" in refused.stderr
    assert log_in(caisson, tls_registry).returncode == 0
    config = workdir / "docker/config.json"
    assert config.stat().st_mode & 0o777 == 0o600
    caisson("pull", "-q", private, check=True)
    caisson("logout", tls_registry.host, check=True)
    assert tls_registry.host not in json.loads(config.read_text()).get("auths", {})
    assert caisson("pull", "-q", private).returncode == 1


def test_login_with_a_wrong_password(caisson, tls_registry, private, workdir):
    done = log_in(caisson, tls_registry, "wrong")
    assert done.returncode == 125 and tls_registry.host in done.error_line() and "wrong" not in done.stderr
    assert not (workdir / "docker/config.json").exists()


def test_an_auth_file(caisson, tls_registry, private, workdir):
    caisson.env["REGISTRY_AUTH_FILE"] = str(auth_file(workdir / "auth.json", tls_registry.host, USER, PASSWORD))
    caisson("pull", "-q", private, check=True)


def test_a_credential_helper(caisson, tls_registry, private, workdir):
    helper = workdir / "docker-credential-testing"
    answer = json.dumps({"ServerURL": tls_registry.host, "Username": USER, "Secret": PASSWORD})
    helper.write_text(f"#!/bin/sh\ncat >'{workdir}/asked'\ncat <<'END'\n{answer}\nEND\n")
    helper.chmod(0o755)
    (workdir / "docker").mkdir()
    (workdir / "docker/config.json").write_text(json.dumps({"credHelpers": {tls_registry.host: "testing"}}))
    caisson.env["PATH"] = f"{workdir}:{caisson.env['PATH']}"
    caisson("pull", "-q", private, check=True)
    assert (workdir / "asked").read_text().strip() == tls_registry.host


def test_a_credential_helper_that_fails(caisson, tls_registry, private, workdir):
    helper = workdir / "docker-credential-testing"
    helper.write_text("#!/bin/sh\necho the vault is shut >&2\nexit 1\n")
    helper.chmod(0o755)
    (workdir / "docker").mkdir()
    (workdir / "docker/config.json").write_text(json.dumps({"credsStore": "testing"}))
    caisson.env["PATH"] = f"{workdir}:{caisson.env['PATH']}"
    done = caisson("pull", "-q", private)
    assert done.returncode == 1 and "the vault is shut" in done.error_line()


def test_a_token_of_the_right_scope(caisson, fake, workdir):
    caisson.env["REGISTRY_AUTH_FILE"] = str(auth_file(workdir / "auth.json", fake.host, "me", "secret"))
    reference = fake.add("a/b", "1", busybox_image())
    server = TokenServer(fake, basic="bWU6c2VjcmV0")
    caisson("pull", "-q", reference, check=True)
    assert [unquote(scope) for scope in server.scopes] == ["repository:a/b:pull"]
    assert fake.count("^/token") == 1


def test_an_anonymous_token(caisson, fake):
    reference = fake.add("a/b", "1", busybox_image())
    TokenServer(fake)
    caisson("pull", "-q", reference, check=True)


# --- ways to a registry -------------------------------------------------------------------------

def test_a_mirror_is_asked_first(caisson, fake, make_fake, workdir):
    mirror, image = make_fake(), busybox_image()
    reference = fake.add("a/b", "1", image)
    mirror.add("hub/a/b", "1", image)
    configure(caisson, workdir, {fake.host: {"mirrors": [f"{mirror.host}/hub"]}})
    caisson("pull", "-q", reference, check=True)
    assert mirror.count("/hub/a/b/") == 3 and fake.count() == 0
    assert inspect(caisson, reference)["names"] == [reference]


@pytest.mark.parametrize("status", [404, 403, 500])
def test_what_a_mirror_lacks_comes_from_the_registry(caisson, fake, make_fake, workdir, status):
    mirror, image = make_fake(), busybox_image()
    reference = fake.add("a/b", "1", image)
    mirror.add("a/b", "1", image)
    mirror.on("/blobs/" + busybox_layer().digest, lambda request: request.fail(status))
    configure(caisson, workdir, {fake.host: {"mirrors": [mirror.host]}})
    caisson("pull", "-q", reference, check=True)
    assert fake.count(busybox_layer().digest) == 1


def test_credentials_of_a_registry_are_not_sent_to_its_mirror(caisson, fake, make_fake, workdir):
    mirror, image = make_fake(), busybox_image()
    reference = fake.add("a/b", "1", image)
    configure(caisson, workdir, {fake.host: {"mirrors": [mirror.host]}})
    caisson.env["REGISTRY_AUTH_FILE"] = str(auth_file(workdir / "auth.json", fake.host, "me", "secret"))
    mirror.on("/v2/", lambda request: request.fail(401, headers={"WWW-Authenticate": 'Basic realm="x"'}))
    caisson("pull", "-q", reference, check=True)
    assert mirror.count() > 0 and not any("authorization" in one.headers for one in mirror.asked())


def test_certificates(caisson, make_fake, certificates, workdir):
    made = make_fake(certificates=certificates)
    reference = made.add("a/b", "1", busybox_image())
    refused = caisson("pull", "-q", reference)
    assert refused.returncode == 1 and "certificate" in refused.stderr
    configure(caisson, workdir, {made.host: {"insecure": True}})
    caisson("pull", "-q", reference, check=True)
    caisson("rmi", reference, check=True)
    configure(caisson, workdir, {made.host: {"ca": str(certificates.ca)}})
    caisson("pull", "-q", reference, check=True)


@pytest.mark.parametrize("text", ["{", "[]", '{"registries": []}', '{"registries": {"a": {"insecur": true}}}',
                                  '{"registries": {"a": {"ca": "relative"}}}'])
def test_a_configuration_that_is_refused(caisson, fake, workdir, text):
    (workdir / "registries.json").write_text(text)
    caisson.env["CAISSON_REGISTRIES"] = str(workdir / "registries.json")
    done = caisson("pull", fake.add("a/b", "1", busybox_image()))
    assert done.returncode == 1 and str(workdir / "registries.json") in done.error_line()
    assert fake.count() == 0


def test_a_proxy_of_the_environment(caisson, make_fake, workdir):
    """A registry that exists only behind the proxy, which is asked with whole URLs."""
    proxy = make_fake()
    proxy.add("a/b", "1", busybox_image())
    configure(caisson, workdir, {"registry.invalid:5000": {"plain_http": True}})

    def as_registry(request):
        assert request.path.startswith("http://registry.invalid:5000/")
        request.path = request.path[len("http://registry.invalid:5000"):]
        request.serve()
    proxy.on("^http://", as_registry)
    caisson("pull", "-q", "registry.invalid:5000/a/b:1", env={"http_proxy": proxy.url}, check=True)
    assert proxy.count("^") == 3


# --- what is shown ------------------------------------------------------------------------------

def test_progress(caisson, fake):
    image = busybox_image()
    reference = fake.add("a/b", "1", image)
    plain = caisson("pull", reference, check=True)
    assert plain.stdout == f"{image.digest}\n"
    assert "downloading" in plain.stderr and "done" in plain.stderr and "\x1b" not in plain.stderr
    caisson("rmi", reference, check=True)
    caisson("prune", "-a", "--grace", "0s", check=True)
    lines = [json.loads(line) for line in caisson("pull", "--json", reference, check=True).stdout.splitlines()]
    assert lines[0]["event"] == "resolved" and lines[0]["digest"] == image.digest
    states = [line["state"] for line in lines if line.get("event") == "layer"]
    assert states[-1] == "done" and "downloading" in states
    assert lines[-1]["image"]["id"] == image.digest
    caisson("rmi", reference, check=True)
    quiet = caisson("pull", "-q", reference, check=True)
    assert (quiet.stdout, quiet.stderr) == (f"{image.digest}\n", "")


@pytest.mark.user_only
@pytest.mark.without_subuid
def test_an_ordinary_user_pulls_and_runs(caisson, fake):
    """With and without subordinate ids: the pass without them runs this too."""
    layer = Layer([file("etc/theirs", "text", uid=1000, gid=1000, mode=0o640)])
    reference = fake.add("a/b", "1", busybox_image(layer))
    done = caisson("run", "--rm", "-q", reference, "--", "stat", "-c", "%u:%g:%a", "/etc/theirs", check=True)
    if host.missing_subuid():
        assert done.stdout.endswith(":640\n")
    else:
        assert done.stdout == "1000:1000:640\n"
    assert fsck(caisson) == []
