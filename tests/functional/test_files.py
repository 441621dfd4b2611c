"""Root directories and mounts."""

import hashlib
import itertools
import os
import subprocess
import time

import pytest

from support import host


def fingerprint(folder):
    """Everything about a tree that a box could change."""
    digest = hashlib.sha256()
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        digest.update(repr((str(path), status.st_mode, status.st_uid, status.st_gid,
                            status.st_mtime_ns, status.st_size)).encode())
        if path.is_file() and not path.is_symlink():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def test_dir_is_copy_on_write(caisson, busybox_root):
    before = fingerprint(busybox_root)
    script = ("echo changed > /etc/motd && rm /etc/group && mkdir /new && mv /home/app /home/moved"
              " && chmod 700 /tmp && cat /etc/motd && ls /")
    done = caisson.sh(script, source=f"dir:{busybox_root}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("changed\n")
    assert "new" in done.stdout.split()
    assert fingerprint(busybox_root) == before


def test_two_boxes_of_one_dir_are_apart(caisson, busybox_root):
    source = f"dir:{busybox_root}"
    assert caisson.sh("echo one > /mark", source=source).returncode == 0
    assert caisson.sh("cat /mark", source=source).returncode == 1


def test_exec_sees_the_boxes_files(caisson, busybox_root):
    box = caisson.detached("sh", "-c", "echo here > /mark; sleep 1000", source=f"dir:{busybox_root}")
    done = caisson("exec", box, "sh", "-c", "until cat /mark; do sleep 0.05; done 2>/dev/null")
    assert done.stdout == "here\n"
    caisson("kill", box, check=True)


@pytest.mark.parametrize("source", ["dir:/no/such/dir", "dir:/etc/passwd"])
def test_unusable_dir(caisson, source):
    done = caisson("run", source, "true")
    assert done.returncode == 125
    assert source[4:] in done.error_line()


@pytest.mark.without_subuid
def test_host_root_shows_no_secrets(caisson):
    script = ("cat /etc/shadow; ls /root /home /var/lib/caisson /boot /mnt /srv; ls /etc | sort; "
              "test -w /usr && echo writable")
    done = caisson.sh(script)
    for name in ("shadow", "ssh", "sudoers", "gshadow", "machine-id"):
        assert name not in done.stdout.split()
    assert "writable" not in done.stdout


@pytest.mark.without_subuid
def test_host_root_has_work_places(caisson):
    done = caisson.sh("echo a > /tmp/a && echo b > /workspace/b && cat /tmp/a /workspace/b")
    assert done.stdout == "a\nb\n"


def test_read_only_root(caisson, busybox_root):
    done = caisson.sh("touch /x; touch /etc/motd", "--read-only", source=f"dir:{busybox_root}")
    assert done.returncode != 0
    assert done.stderr.count("Read-only file system") == 2


def test_read_only_root_with_tmpfs(caisson, busybox_root):
    done = caisson.sh("echo ok > /tmp/x && cat /tmp/x", "--read-only", "--tmpfs", "/tmp",
                      source=f"dir:{busybox_root}")
    assert done.stdout == "ok\n"


def test_tmpfs_size_and_mode(caisson, busybox_root):
    done = caisson.sh("stat -c %a /t; head -c 3000000 /dev/zero > /t/f; wc -c < /t/f",
                      "--tmpfs", "/t:size=1m,mode=1777", source=f"dir:{busybox_root}")
    assert done.stderr.startswith("head: ")  # busybox does not say why
    mode, size = done.stdout.split()
    assert mode == "1777"
    assert int(size) <= 1 << 20


def test_tmpfs_inodes(caisson, busybox_root):
    script = "i=0; while touch /t/$i 2>/dev/null; do i=$((i+1)); done; echo $i"
    done = caisson.sh(script, "--tmpfs", "/t:inodes=20", source=f"dir:{busybox_root}")
    assert 10 <= int(done.stdout) <= 20


@pytest.mark.parametrize("spelling", ["volume", "mount"])
def test_bind_read_write(caisson, workdir, spelling):
    shared = workdir / "shared"
    shared.mkdir(mode=0o777)
    shared.chmod(0o777)
    (shared / "in").write_text("from outside\n")
    option = {"volume": ("-v", f"{shared}:/data"),
              "mount": ("--mount", f"type=bind,source={shared},target=/data")}[spelling]
    done = caisson.sh("cat /data/in; echo from inside > /data/out", *option)
    assert (done.stdout, done.returncode) == ("from outside\n", 0)
    assert (shared / "out").read_text() == "from inside\n"


@pytest.mark.parametrize("spelling", ["volume", "mount"])
def test_bind_read_only(caisson, workdir, spelling):
    shared = workdir / "shared"
    shared.mkdir(mode=0o777)
    shared.chmod(0o777)
    option = {"volume": ("-v", f"{shared}:/data:ro"),
              "mount": ("--mount", f"type=bind,source={shared},target=/data,readonly")}[spelling]
    done = caisson.sh("touch /data/x", *option)
    assert "Read-only file system" in done.stderr
    assert list(shared.iterdir()) == []


def test_bind_of_one_file(caisson, workdir):
    (workdir / "file").write_text("content\n")
    done = caisson.sh("cat /etc/app.conf", "-v", f"{workdir}/file:/etc/app.conf:ro")
    assert done.stdout == "content\n"


def test_relative_volume_is_taken_from_the_callers_directory(caisson, workdir):
    (workdir / "sub").mkdir()
    (workdir / "sub/file").write_text("here\n")
    assert caisson.sh("cat /data/file", "-v", "./sub:/data:ro", cwd=workdir).stdout == "here\n"


def test_bind_source_must_exist(caisson, workdir):
    done = caisson.sh("true", "-v", f"{workdir}/absent:/data")
    assert done.returncode == 125
    assert f"{workdir}/absent" in done.error_line()
    assert not (workdir / "absent").exists()


@pytest.mark.parametrize("target", ["/", "relative", "/a/../../b", "/proc", "/proc/self", "/sys", "/dev/null"])
def test_refused_mount_targets(caisson, workdir, target):
    canary = workdir / "canary"
    canary.write_text("untouched")
    done = caisson.sh("true", "-v", f"{canary}:{target}")
    assert done.returncode == 125
    done.error_line()
    assert canary.read_text() == "untouched"


def test_target_symlinks_stay_inside(caisson, busybox_root, workdir):
    outside = workdir / "outside"
    outside.mkdir()
    (busybox_root / "link").symlink_to(outside)
    (workdir / "data").mkdir()
    (workdir / "data/file").write_text("x")
    done = caisson.sh("true", "-v", f"{workdir}/data:/link/deep", source=f"dir:{busybox_root}")
    assert list(outside.iterdir()) == []
    assert done.returncode in (0, 125)


@pytest.mark.without_subuid
def test_dev_is_minimal(caisson):
    names = set(caisson.sh("ls /dev").stdout.split())
    assert {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm"} <= names
    assert not names & {"mem", "kmem", "kvm", "sda", "vda", "loop0", "loop-control", "fuse", "kmsg"}
    assert caisson.sh("echo x > /dev/null && head -c 4 /dev/urandom | wc -c").stdout.strip() == "4"


@pytest.mark.without_subuid
def test_kernel_knobs_are_masked(caisson):
    script = ("for f in /proc/sysrq-trigger /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname"
              " /sys/power/state; do (echo x > $f) 2>/dev/null && echo wrote $f; done;"
              " head -c 1 /proc/kcore 2>/dev/null | wc -c; head -c 1 /proc/kmsg 2>/dev/null | wc -c")
    assert caisson.sh(script).stdout.split() == ["0", "0"]


def test_a_read_only_volume_shows_the_callers_files_and_keeps_them(caisson, workdir):
    private = workdir / "private"
    private.write_text("mine\n")
    private.chmod(0o600)
    done = caisson.sh("stat -c %u /data; cat /data; echo x > /data", "-v", f"{private}:/data:ro")
    assert done.stdout == "0\nmine\n"
    assert done.returncode != 0
    assert private.read_text() == "mine\n"


def test_mounts_do_not_reach_the_host(caisson, workdir):
    before = subprocess.run(["cat", "/proc/self/mountinfo"], capture_output=True, timeout=10, check=True)
    box = caisson.detached("sleep", "1000", options=("-v", f"{workdir}:/data", "--tmpfs", "/t"))
    during = subprocess.run(["cat", "/proc/self/mountinfo"], capture_output=True, timeout=10, check=True)
    caisson("rm", "-f", box, check=True)
    if not host.IS_ROOT:
        assert before.stdout == during.stdout
    for line in during.stdout.decode().splitlines():
        assert str(workdir) not in line
        assert os.path.realpath(caisson.home) not in line


@pytest.mark.parametrize("source, folder", [("dir:.", "root"), ("dir:root", "."), ("dir:../root/.", "root")])
def test_a_relative_dir_is_taken_from_where_one_stands(caisson, workdir, busybox_root, source, folder):
    box = caisson("create", source, "/bin/cat", "/etc/motd", check=True, cwd=workdir / folder).stdout.strip()
    assert caisson.inspect(box)["source"] == f"dir:{busybox_root}"
    assert caisson("start", "-a", box, cwd="/").stdout == "original\n"


def test_init_is_accepted(caisson):
    assert caisson("run", "--rm", "--init", "host:", "echo", "ok").stdout == "ok\n"


def test_old_host_views_go_when_no_box_uses_them(caisson, home):
    views = home / "host-view"
    ages = itertools.count()

    def age():
        """Gives the tree of now the name of another state of the host's."""
        [now] = [path for path in views.iterdir() if not path.name.startswith("old")]
        now.rename(views / f"old{next(ages)}")
        caisson("run", "--rm", "host:", "true", check=True)

    box = caisson.detached("sleep", "1000")
    age()
    assert "old0" in os.listdir(views)
    assert "127.0.0.1" in caisson("exec", box, "cat", "/etc/hosts", check=True).stdout
    caisson("rm", "-f", box, check=True)
    deadline = time.monotonic() + 20
    while "old0" in os.listdir(views):  # a shim goes a moment after its box
        assert time.monotonic() < deadline
        age()
