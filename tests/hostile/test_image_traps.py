"""Images and mounts made to lead writes outward (CVE-2019-19921, CVE-2025-31133, CVE-2025-52881)."""

import os
import resource
import shutil
import stat

import pytest

from support.attack import Canary, wait_for

pytestmark = pytest.mark.without_subuid

STANDARD = ("dev", "proc", "sys", "dev/null", "dev/zero", "dev/tty", "dev/ptmx", "dev/pts", "dev/shm",
            "dev/mqueue", "dev/console", "dev/fd", "dev/stdout", "sys/fs/cgroup", "proc/sys", "proc/self",
            "proc/kcore", "proc/sysrq-trigger", "proc/sys/kernel/core_pattern", "sys/firmware")
USE = ("echo used > /dev/null; echo used > /dev/console; touch /dev/pts/x /dev/shm/x /proc/x /sys/x; "
       "echo up; readlink -f /dev/null")


def replace(root, name, make):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif os.path.isdir(path):
        shutil.rmtree(path)
    make(path)


def tree(root):
    return {str(p.relative_to(root)): (p.lstat().st_mode, p.lstat().st_uid, p.lstat().st_mtime_ns)
            for p in root.rglob("*")}


def check_run(caisson, image, *options, script=USE):
    """The box starts or is refused in one line, in time, and the image is never written to."""
    before = tree(image)
    done = caisson.sh(script, *options, source=f"dir:{image}", timeout=30)
    assert tree(image) == before, "the image was changed"
    if done.returncode == 125:
        done.error_line()
    return done


@pytest.mark.parametrize("name", STANDARD)
def test_link_in_place_of_a_standard_directory(caisson, image, canary, name):
    """Absolute, and relative beyond the root; to a directory, a file, and to nothing."""
    for target in (canary.folder, f"{'../' * 20}{canary.folder}", canary.file, canary.folder / "new"):
        replace(image, name, lambda path, to=target: path.symlink_to(to))
        done = check_run(caisson, image)
        if done.returncode != 125 and name in ("dev", "dev/null"):
            assert "/dev/null" in done.stdout
    canary.check()


@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
def test_link_from_one_standard_directory_to_another(caisson, image, name):
    for target in ("/proc", "/sys", "/dev", "/proc/self/root", "/proc/1/root", "/tmp", "/", ".", name):
        replace(image, name, lambda path, to=target: path.symlink_to(to))
        check_run(caisson, image)


@pytest.mark.parametrize("kind", ["file", "fifo", "socket", "directory"])
@pytest.mark.parametrize("name", ["dev/null", "dev/console", "dev/pts", "proc", "sys"])
def test_other_file_in_place_of_a_standard_one(caisson, image, name, kind):
    make = {"file": lambda p: p.write_text("not a device"), "fifo": os.mkfifo, "directory": os.mkdir,
            "socket": lambda p: os.mknod(p, stat.S_IFSOCK | 0o666)}[kind]
    replace(image, name, make)
    done = check_run(caisson, image, script="cat /dev/null; stat -c %F:%t:%T /dev/null; head -c 9 /proc/uptime")
    assert "not a device" not in done.stdout
    if done.returncode == 0:
        assert "character special file:1:3" in done.stdout


@pytest.mark.parametrize("name", ["etc", "etc/passwd", "etc/group", "etc/hostname", "etc/resolv.conf",
                                  "etc/hosts", "etc/mtab"])
def test_link_in_place_of_etc(caisson, image, canary, name):
    (canary.folder / "passwd").write_text("evil:x:1:1::/:/bin/sh\n")
    (canary.folder / "group").write_text("evil:x:1:\n")
    canary.before = canary.state()
    for target in (canary.folder, canary.folder / "passwd", "/proc/1/environ", "/dev/zero", "/proc/kmsg"):
        replace(image, name, lambda path, to=target: path.symlink_to(to))
        done = check_run(caisson, image, "-u", "evil", script="echo up; cat /etc/passwd")
        assert done.returncode == 125, "a user of the host's file was found"
        assert canary.secret not in done.stdout


@pytest.mark.parametrize("name", ["etc/passwd", "etc/group"])
def test_user_list_that_never_ends(caisson, image, name):
    path = image / name
    path.unlink()
    os.mkfifo(path)
    check_run(caisson, image, "-u", "app:video")
    path.unlink()
    with open(path, "w") as file:
        file.truncate(1 << 40)
    check_run(caisson, image, "-u", "app:video")


def test_bind_target_through_a_link_of_the_image(caisson, image, canary, workdir):
    data = workdir / "data"
    data.mkdir()
    (data / "f").write_text("data")
    (image / "mnt").symlink_to(canary.folder)
    (image / "up").symlink_to(f"{'../' * 20}{canary.folder}")
    (image / "self").symlink_to("/proc/self/cwd")
    for target in ("/mnt", "/mnt/inner", "/mnt/new/deep", "/up", "/up/x", "/mnt/file"):
        done = check_run(caisson, image, "-v", f"{data}:{target}", script=f"ls {target}; echo x > {target}/y")
        assert canary.secret not in done.stdout
        canary.check()
        (data / "y").unlink(missing_ok=True)
    check_run(caisson, image, "-v", f"{data}:/self/x")
    check_run(caisson, image, "--tmpfs", "/mnt/inner")


@pytest.mark.parametrize("link, target", [("data", "/proc"), ("data", "/sys"), ("data", "/dev"),
                                          ("data", "/proc/self/fd"), ("data", "/proc/sys/kernel")])
def test_volume_over_a_kernel_directory_by_a_link_of_the_image(caisson, image, canary, workdir, link, target):
    """The box may fool itself; what Caisson writes must not go through it."""
    trap = workdir / "trap"
    for name in ("sys/net/ipv4", "sys/kernel", "self/attr", "self/fd", "bus", "irq"):
        (trap / name).mkdir(parents=True)
    for name in ("sys/net/ipv4/ip_unprivileged_port_start", "sys/net/ipv4/ping_group_range", "kcore", "null",
                 "sysrq-trigger", "self/attr/exec", "keys", "timer_list"):
        (trap / name).symlink_to(canary.file)
    (image / link).symlink_to(target)
    check_run(caisson, image, "-v", f"{trap}:/{link}")
    canary.check()
    files = {p.name for p in trap.rglob("*") if p.is_file() and not p.is_symlink()}
    assert files <= {"x"}, files  # x is the box's own doing


@pytest.mark.parametrize("target", ["/", "/proc", "/proc/sys", "/sys", "/dev", "/dev/pts", "/../x", "/a/../../x",
                                    "relative", "", "/proc/../proc", "/dev/../etc"])
def test_hostile_mount_targets_are_refused(caisson, canary, target):
    done = caisson("run", "--rm", "--mount", f"type=bind,source={canary.folder},target={target}", "host:", "true")
    assert done.returncode == 125
    done.error_line()


@pytest.mark.parametrize("name", ["..", ".", "../../x", "a/b", "/abs", "-x", "a b", "a\nb", "a\x1b[31mb", "é"])
def test_hostile_names_are_refused(caisson, name):
    done = caisson("create", f"--name={name}", "host:", "true")
    assert done.returncode == 125
    assert "\x1b" not in done.stderr
    done.error_line()
    assert caisson.boxes() == []


@pytest.mark.parametrize("name", ["../db/state.db", "..", "/etc", "%", "*", "", "\x1b[31m"])
def test_hostile_names_find_nothing(caisson, name):
    kept = caisson("create", "--name", "kept", "host:", "true", check=True).stdout.strip()
    done = caisson("rm", "-f", "--", name)
    assert done.returncode != 0
    assert caisson.boxes() == [kept]


def test_links_left_in_a_box_are_not_followed_by_its_removal(caisson, image, canary):
    script = f"""ln -s {canary.folder} /link; mkdir -p /a/b; ln -s {canary.folder} /a/b/link; ln -s / /root-link
ln -s ../../../../../.. /a/up; mkfifo /fifo; mkdir /a/..x; chmod 000 /a/b; chmod 000 /a"""
    assert caisson("run", f"dir:{image}", "--", "sh", "-c", script).returncode == 0
    caisson("rm", *caisson.boxes(), check=True)
    assert caisson.boxes() == []


def test_directories_without_end_do_not_prevent_removal(caisson, image):
    """Deeper than a process has descriptors, and than a stack has frames."""
    done = caisson("run", f"dir:{image}", "--", "delve", "12000", check=True)
    assert done.stdout == "12000\n"
    limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
    done = caisson("rm", *caisson.boxes(), preexec_fn=limit, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert caisson.boxes() == []


@pytest.mark.root_only
def test_devices_in_an_image_are_dead(caisson, image):
    os.mknod(image / "memory", stat.S_IFCHR | 0o666, os.makedev(1, 1))
    os.mknod(image / "disk", stat.S_IFBLK | 0o666, os.stat("/").st_dev)
    os.mknod(image / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    done = check_run(caisson, image, script="for f in memory disk zero; do head -c 1 /$f | wc -c; done")
    assert done.stdout.split() == ["0", "0", "0"]


@pytest.mark.root_only
def test_devices_in_a_volume_are_dead(caisson, workdir):
    data = workdir / "data"
    data.mkdir()
    os.mknod(data / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    done = caisson.sh("head -c 1 /data/zero | wc -c; mknod /data/new c 1 5; ls /data", "-v", f"{data}:/data")
    assert done.stdout.split() == ["0", "zero"]


def test_source_that_became_a_link_is_refused(caisson, workdir):
    """A box with a shared volume turns a directory of it into a link before another is started."""
    outside = Canary(workdir / "outside")
    shared = workdir / "shared"
    (shared / "sub").mkdir(parents=True)
    box = caisson("create", "-v", f"{shared}/sub:/x", "host:", "sh", "-c", "cat /x/file; echo w > /x/new; true",
                  check=True).stdout.strip()
    (shared / "sub").rmdir()
    (shared / "sub").symlink_to(outside.folder)
    done = caisson("start", "-a", box)
    assert outside.secret not in done.stdout
    assert done.returncode != 0
    outside.check()


def test_image_replaced_by_a_link_after_the_box_was_made(caisson, image):
    """Whoever may rename the image must not choose what root shows to a box."""
    box = caisson("create", f"dir:{image}", "--", "/bin/identity", check=True).stdout.strip()
    image.rename(f"{image}.old")
    os.symlink("/", image)
    try:
        started = caisson("start", "-a", box)
        assert started.returncode != 0
        assert "symbolic link" in started.stderr
    finally:
        os.unlink(image)
        os.rename(f"{image}.old", image)
    caisson("rm", "-f", box, check=True)


@pytest.mark.parametrize("name", ["/proc/kmsg", "/proc/self/environ", "/proc/1/environ", "/dev/zero", "/sys/kernel/notes"])
def test_user_file_that_leads_elsewhere(caisson, name):
    box = caisson.detached("sh", "-c", f"rm /etc/passwd; ln -s {name} /etc/passwd; echo done; sleep 1000")
    wait_for(lambda: "done" in caisson("logs", box).stdout)
    assert caisson("exec", box, "id", "-u").stdout == "0\n"
    assert caisson("exec", "--user", "user", box, "id", "-u").returncode == 125
    caisson("rm", "-f", box, check=True)
