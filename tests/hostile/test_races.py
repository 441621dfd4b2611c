"""Races between a box that renames in a shared volume and the making of others (CVE-2021-30465,
CVE-2024-45310)."""

import itertools
import time

import pytest

pytestmark = pytest.mark.without_subuid

CREATES = 110


@pytest.fixture
def shared(workdir, canary):
    """A volume with a directory and a link to the canary."""
    folder = workdir / "shared"
    (folder / "dir/sub").mkdir(parents=True)
    (folder / "link").symlink_to(canary.folder)
    for path in (folder, folder / "dir", folder / "dir/sub"):
        path.chmod(0o777)
    return folder


@pytest.fixture
def attack_on(caisson, programs):
    """attack_on(volume): starts a box that for ever exchanges the two names in it."""
    boxes = []

    def begin(volume):
        boxes.append(caisson.detached("/programs/swap", "/v/dir", "/v/link",
                                      options=("-v", f"{programs}:/programs:ro", "-v", f"{volume}:/v")))

    yield begin
    for box in boxes:
        assert caisson.inspect(box)["state"] == "running", "the attack did not go on"
        caisson("rm", "-f", box, check=True)


@pytest.mark.seconds(150)
def test_mount_target_that_moves(caisson, shared, attack_on, workdir, canary):
    """A second box mounts below the directory that the first one exchanges. With protected paths, each
    of which is looked up there too, hardly a start succeeds; so most are without."""
    data = workdir / "data"
    data.mkdir()
    (data / "mark").write_text("data")
    attack_on(shared)
    started = time.monotonic()
    statuses = set()
    for number in itertools.count():
        if number >= CREATES and (statuses - {125} or time.monotonic() - started > 100):
            break
        done = caisson.sh("echo written > /v/dir/deep/x/new; cat /v/dir/file /v/dir/inner/file", "-v",
                          f"{shared}:/v", "-v", f"{data}:/v/dir/deep/x", "--tmpfs", f"/v/dir/t{number}",
                          *(["--no-default-protect"] if number % 4 else []))
        statuses.add(done.returncode)
        assert canary.secret not in done.stdout
    canary.check()
    assert time.monotonic() - started < 120
    assert statuses - {125}, "not one box could start: nothing was tried"


@pytest.mark.seconds(150)
def test_source_that_moves(caisson, shared, attack_on, canary):
    """A box was made with a directory of the volume; then the other box exchanges it with a link."""
    script = "cat /x/file; echo written > /x/new; rm -f /x/new; ls -d /x/sub"
    box = caisson("create", "-v", f"{shared}/dir:/x", "host:", "sh", "-c", script, check=True).stdout.strip()
    attack_on(shared)
    shown = 0
    for _ in range(CREATES):
        done = caisson("start", "-a", box)
        assert canary.secret not in done.stdout, "the box was shown what the link leads to"
        shown += "/x/sub" in done.stdout
    canary.check()
    assert 0 < shown, "not one start succeeded: nothing was tried"


@pytest.mark.seconds(150)
def test_image_that_moves(caisson, image, canary, programs):
    """An image directory in which another box exchanges /dev, /proc and /etc with links."""
    (image / "linkdev").symlink_to(canary.folder)
    (image / "linketc").symlink_to(canary.folder)
    script = "/programs/swap /v/dev /v/linkdev & /programs/swap /v/etc /v/linketc & wait"
    box = caisson.detached("sh", "-c", script, options=("-v", f"{programs}:/programs:ro", "-v", f"{image}:/v"))
    for _ in range(40):
        done = caisson.sh("echo x > /dev/null; touch /etc/new /dev/new; cat /etc/file", source=f"dir:{image}")
        assert canary.secret not in done.stdout
    caisson("rm", "-f", box, check=True)
    canary.check()
