"""Volumes whose ids just work: files of their owner on the host belong to the box's user inside."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support import host
from support.boxes import refused

pytestmark = [pytest.mark.usefixtures("nothing_stays")]

OWNER = 501


@pytest.fixture(params=["ext4", "xfs", "btrfs", "tmpfs"])
def mounted(request, workdir):
    """A directory on a file system of this kind."""
    kind = request.param
    place = workdir / kind
    place.mkdir()
    if kind == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
    else:
        image = workdir / "image"
        with open(image, "wb") as file:
            file.truncate(320 << 20)
        tool = {"ext4": ["mkfs.ext4", "-qF"], "xfs": ["mkfs.xfs", "-q"], "btrfs": ["mkfs.btrfs", "-q"]}[kind]
        if not shutil.which(tool[0]):
            pytest.skip(f"{tool[0]} is not installed")
        subprocess.run([*tool, image], check=True)
        subprocess.run(["mount", "-o", "loop", image, place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def volume(place, owner=OWNER, group=OWNER):
    folder = place / "v"
    folder.mkdir()
    (folder / "old").write_text("old\n")
    (folder / "other").write_text("other\n")
    os.chown(folder, owner, group)
    os.chown(folder / "old", owner, group)
    os.chown(folder / "other", 7, 8)
    return folder


LOOK = "stat -c '%u:%g %n' /v /v/old /v/other; echo new > /v/new && stat -c '%u:%g %n' /v/new; id -u"


@pytest.mark.root_only
@pytest.mark.parametrize("user", [0, 1000, 65534])
def test_owner_and_user_are_swapped(caisson, mounted, user):
    folder = volume(mounted)
    done = caisson("run", "--rm", "-u", f"{user}:{user}", "-v", f"{folder}:/v", "host:", "--", "sh", "-c", LOOK)
    assert done.stdout.splitlines() == [f"{user}:{user} /v", f"{user}:{user} /v/old", "7:8 /v/other",
                                        f"{user}:{user} /v/new", str(user)], done.stderr
    assert done.stderr == ""
    made = (folder / "new").stat()
    assert (made.st_uid, made.st_gid) == (OWNER, OWNER)


@pytest.mark.root_only
def test_the_four_combinations(caisson, workdir, busybox_root):
    """Root and another user inside, writable and read-only; users by name and number."""
    folder = volume(workdir)
    for user, inside in ("", 0), ("app", 1000), ("1000", 1000):
        options = ("-u", user) if user else ()
        done = caisson("run", "--rm", *options, "-v", f"{folder}:/v", f"dir:{busybox_root}", "--", "sh", "-c",
                       "stat -c %u /v/old; touch /v/t && stat -c %u /v/t; rm /v/t")
        assert done.stdout.split() == [str(inside)] * 2, (user, done.stderr)
        done = caisson("run", "--rm", *options, "-v", f"{folder}:/v:ro", f"dir:{busybox_root}", "--", "sh", "-c",
                       "stat -c %u /v/old; touch /v/t || echo ro")
        assert done.stdout.split() == [str(OWNER), "ro"], "read-only mounts are not mapped"


@pytest.mark.root_only
def test_group_and_supplementary_groups(caisson, workdir, busybox_root):
    folder = volume(workdir, owner=OWNER, group=20)
    os.chmod(folder, 0o2775)
    shared = folder / "shared"
    shared.mkdir()
    os.chown(shared, 7, 44)
    shared.chmod(0o2770)
    done = caisson("run", "--rm", "-u", "app", "-v", f"{folder}:/v", f"dir:{busybox_root}", "--", "sh", "-c",
                   "stat -c %u:%g /v; id -G; echo x > /v/shared/f && stat -c %u:%g /v/shared/f")
    assert done.stdout.splitlines() == ["1000:1000", "1000 44", "1000:44"], done.stderr
    made = (shared / "f").stat()
    assert (made.st_uid, made.st_gid) == (OWNER, 44)


@pytest.mark.root_only
def test_an_owner_beyond_the_range(caisson, workdir):
    folder = volume(workdir, owner=3_000_000_001, group=3_000_000_002)
    done = caisson("run", "--rm", "-u", "1000:1000", "-v", f"{folder}:/v", "host:", "--", "sh", "-c", LOOK)
    assert done.stdout.splitlines()[:4] == ["1000:1000 /v", "1000:1000 /v/old", "7:8 /v/other", "1000:1000 /v/new"]
    assert ((folder / "new").stat().st_uid, (folder / "new").stat().st_gid) == (3_000_000_001, 3_000_000_002)


@pytest.mark.root_only
@pytest.mark.parametrize("user", ["0", "501", "1000"])
def test_nothing_of_the_hosts_root_is_made(caisson, workdir, user):
    """Neither as the id that was swapped with root's nor as root: set-id programs, file capabilities."""
    folder = volume(workdir)
    script = ("for u in 0 501 1000; do setpriv --reuid $u --regid $u --clear-groups sh -c "
              "'cp /usr/bin/id /v/suid.$(id -u) && chmod 6755 /v/suid.$(id -u)'; done;"
              "cp /usr/bin/id /v/cap; setcap cap_setuid+ep /v/cap; chown 0:0 /v/cap; chown 501:501 /v/cap; true")
    done = caisson("run", "--rm", "--no-default-protect", "-u", user, "-v", f"{folder}:/v", "host:", "--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    box = caisson.detached("sleep", "100", options=("--no-default-protect", "-u", user, "-v", f"{folder}:/v"))
    caisson("exec", "-u", "0", box, "--", "sh", "-c", script)
    caisson("kill", box, check=True)
    for path in folder.iterdir():
        info = path.stat()
        assert info.st_uid != 0 and info.st_gid != 0, path
        capabilities = os.listxattr(path) and os.getxattr(path, "security.capability")
        assert not capabilities or len(capabilities) > 20, f"{path} has capabilities of the host's root"


@pytest.mark.root_only
def test_a_mount_in_a_mount(caisson, workdir):
    folder = volume(workdir)
    (workdir / "inner").mkdir()
    for user in "0", "1000":
        done = caisson("run", "--rm", "-u", user, "-v", f"{folder}:/v", "-v", f"{workdir}/inner:/v/in{user}:ro", "host:",
                       "--", "stat", "-c", "%u", "/v")
        assert done.stdout.strip() == user, done.stderr
        assert (folder / f"in{user}").stat().st_uid == OWNER


@pytest.mark.root_only
def test_off_and_require(caisson, workdir):
    folder = volume(workdir)
    done = caisson("run", "--rm", "-u", "1000", "-v", f"{folder}:/v:idmap=off", "host:", "--", "sh", "-c",
                   "stat -c %u /v; touch /v/x || echo refused")
    assert done.stdout.split() == [str(OWNER), "refused"]
    done = caisson("run", "--rm", "-u", "1000", "-v", f"{folder}:/v:idmap=require", "host:", "--", "stat", "-c", "%u", "/v")
    assert done.stdout == "1000\n"


@pytest.fixture
def overlay(workdir):
    """An overlay, which the kernel does not map ids of."""
    for name in "lower", "upper", "work", "merged":
        (workdir / name).mkdir()
    subprocess.run(["mount", "-t", "overlay", "-o", f"lowerdir={workdir}/lower,upperdir={workdir}/upper,workdir={workdir}/work",
                    "none", workdir / "merged"], check=True)
    yield workdir / "merged"
    subprocess.run(["umount", "-l", workdir / "merged"], check=True)


@pytest.mark.root_only
def test_a_file_system_that_cannot(caisson, overlay):
    folder = volume(overlay)
    done = caisson("run", "--name", "b", "-u", "1000", "-v", f"{folder}:/v", "host:", "--", "ls", "/v")
    assert done.returncode == 0 and "old" in done.stdout
    [warning] = caisson.inspect("b")["warnings"]
    assert "overlay" in warning and str(folder) in warning
    events = [json.loads(line) for line in caisson("audit", "b", check=True).stdout.splitlines()]
    assert any("overlay" in json.dumps(event) for event in events), events
    refused(caisson("run", "-u", "1000", "-v", f"{folder}:/v:idmap=require", "host:", "true"), "overlay", "map ids")


@pytest.mark.root_only
def test_the_directory_of_the_root_itself(caisson, busybox_root):
    """The root covers it with what the box is shown; a mount of it is of what was there before."""
    image = busybox_root
    os.chown(image, OWNER, OWNER)
    done = caisson("run", "--name", "r", "-u", "1000", "-v", f"{image}:/v", f"dir:{image}", "--", "stat", "-c", "%u",
                   "/v", "/v/bin", check=True)
    assert done.stdout.split() == ["1000", "65534"]
    assert not caisson.inspect("r")["warnings"]


@pytest.mark.root_only
def test_fuse(caisson, workdir):
    """virtiofs and the like say for themselves whether they can; this one cannot."""
    if not shutil.which("fuse-overlayfs") and not shutil.which("fuse2fs"):
        pytest.skip("no FUSE file system is installed: fuse2fs")
    image, place = workdir / "image", workdir / "fuse"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-qF", image], check=True)
    with subprocess.Popen(["fuse2fs", "-f", "-o", "allow_other,fakeroot", image, place], stderr=subprocess.DEVNULL):
        try:
            for _ in range(100):
                if os.path.ismount(place):
                    break
                subprocess.run(["sleep", "0.1"], check=True)
            done = caisson("run", "--name", "f", "-u", "1000", "-v", f"{place}:/v", "host:", "--", "ls", "/v")
            assert done.returncode == 0, done.stderr
            assert "fuse" in " ".join(caisson.inspect("f")["warnings"])
        finally:
            subprocess.run(["umount", "-l", place], check=False)


@pytest.mark.user_only
@pytest.mark.without_subuid
@pytest.mark.parametrize("user", ["0", "1000"])
def test_an_ordinary_users_own_directory(caisson, workdir, user):
    """By the user namespace itself; with one id and with many."""
    folder = workdir / "v"
    folder.mkdir()
    (folder / "old").write_text("old\n")
    done = caisson("run", "--rm", "-u", user, "-v", f"{folder}:/v", "host:", "--", "sh", "-c",
                   "stat -c %u /v /v/old; echo new > /v/new && stat -c %u /v/new; id -u")
    assert done.stdout.split() == [user] * 4, done.stderr
    assert (folder / "new").stat().st_uid == os.geteuid()
    assert (folder / "new").stat().st_gid == os.getegid()


@pytest.mark.user_only
@pytest.mark.needs_subuid
def test_root_in_the_box_stays_another(caisson, workdir):
    """A box whose user has the caller's id still has a root, and keeps its ids over restarts."""
    folder = workdir / "v"
    folder.mkdir()
    box = caisson("create", "-u", "1000:1000", "-v", f"{folder}:/v", "host:", "--", "sh", "-c",
                  "id -u; touch /tmp/t; stat -c %u /tmp /tmp/t", check=True).stdout.strip()
    for _ in range(2):
        done = caisson("start", "-a", box)
        assert done.stdout.split() == ["1000", "0", "1000"], done.stderr


@pytest.mark.without_subuid
def test_bad_sources(caisson, workdir):
    (workdir / "file").write_text("")
    os.symlink("loop", workdir / "loop")
    for source, word in ((workdir / "none", "none"), (workdir / "file/x", "file/x"), (f"{workdir}/file/", "Not a directory"),
                         (workdir / "loop", "symbolic links")):
        refused(caisson("run", "-v", f"{source}:/v", "host:", "true"), word)
    for target in "/", "/proc", "/dev", "/sys/x", "/proc/1/root":
        refused(caisson("run", "-v", f"{workdir}:{target}", "host:", "true"), "mount")
    refused(caisson("run", "-v", f"{workdir}:v", "host:", "true"), "not absolute")
    refused(caisson("run", "-v", f"{workdir}:/v", "-v", "/usr:/v", "host:", "true"), "same target")
    refused(caisson("run", "-v", "../x:/v", "-v", f"{workdir}:/v:idmap=maybe", "host:", "true"), "idmap")
    assert caisson.boxes() == []


@pytest.mark.root_only
def test_read_only_file_system(caisson, workdir):
    place = workdir / "ro"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", place], check=True)
    try:
        refused(caisson("run", "--rm", "-v", f"{place}:/v", "host:", "true"), "read-only file system", ":ro")
        assert caisson("run", "--rm", "-v", f"{place}:/v:ro", "host:", "true").returncode == 0
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.root_only
def test_two_boxes_with_different_users_on_one_volume(caisson, workdir):
    """Each sees its own user, and all files belong to one owner on the host."""
    folder = volume(workdir)
    script = ("i=0; while [ $i -lt 100 ]; do echo x > /v/$(id -u).$i; i=$((i+1)); done; "
              "stat -c %u /v/* | sort -u | tr '\n' ' '")
    boxes = {user: caisson.popen("run", "--rm", "-u", user, "-v", f"{folder}:/v", "host:", "--", "sh", "-c", script,
                                 stdout=subprocess.PIPE) for user in ("0", "1000")}
    for user, box in boxes.items():
        assert box.communicate(timeout=60)[0].decode().split() == sorted(["7", user]), user
    made = [path.stat() for path in folder.iterdir() if path.name[0].isdigit()]
    assert len(made) == 200 and {(info.st_uid, info.st_gid) for info in made} == {(OWNER, OWNER)}
