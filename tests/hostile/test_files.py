"""Copying between the host and a box that wants more than that."""

import json
import os
import time

import pytest

from support.attack import Canary, wait_for

pytestmark = pytest.mark.without_subuid


@pytest.fixture
def canary(workdir):
    watched = Canary(workdir / "canary")
    yield watched
    watched.check()


@pytest.fixture
def box(caisson):
    made = caisson.detached("sleep", "1000")
    yield made
    caisson("rm", "-f", made, check=True)


def sh(caisson, box, script):
    return caisson("exec", box, "--", "sh", "-c", script, check=True).stdout


def test_what_comes_out_stays_in_its_destination(caisson, box, workdir, canary):
    out = workdir / "out"
    out.mkdir()
    sh(caisson, box, f"cd /workspace; mkdir t; ln -s {canary.folder} t/up; ln -s ../../canary t/rel; "
                     f"ln -s {canary.file} f; ln -s / t/root")
    caisson("cp", f"{box}:/workspace/t", out, check=True)
    assert os.readlink(out / "t" / "up") == str(canary.folder)
    # A second time over what the first one made: links are replaced or in the way, never followed.
    sh(caisson, box, "cd /workspace/t; rm up rel root; mkdir up rel root; for d in up rel root; do echo evil > $d/file; done")
    done = caisson("cp", f"{box}:/workspace/t/.", out / "t")
    assert done.returncode == 125 and "no directory" in done.error_line()
    caisson("cp", f"{box}:/workspace/f", out, check=True)
    assert (out / "f").is_symlink()
    sh(caisson, box, "cd /workspace; rm f; echo evil > f")
    caisson("cp", f"{box}:/workspace/f", out, check=True)
    assert not (out / "f").is_symlink() and (out / "f").read_text() == "evil\n"
    assert sorted(os.listdir(out)) == ["f", "t"]


def test_links_of_the_box_lead_into_the_box(caisson, box, workdir, canary):
    """What they lead to is looked up inside, whoever follows."""
    sh(caisson, box, f"ln -s {canary.file} /workspace/l; ln -s {canary.folder} /workspace/d; ln -s /etc/passwd /workspace/p")
    assert caisson("cp", "-L", f"{box}:/workspace/l", workdir / "x").returncode == 125
    caisson("cp", "-L", f"{box}:/workspace/p", workdir / "p", check=True)
    assert (workdir / "p").read_text() == sh(caisson, box, "cat /etc/passwd")
    (workdir / "evil").write_text("evil")
    assert caisson("cp", workdir / "evil", f"{box}:/workspace/d/x").returncode == 125
    caisson("cp", workdir / "evil", f"{box}:/workspace/l", check=True)  # in place of a link to nothing
    assert sh(caisson, box, "cat /workspace/l; test ! -L /workspace/l") == "evil"


def test_magic_links_lead_nowhere(caisson, box, workdir, canary):
    """/proc of the process that serves: its descriptors, its program, its memory."""
    (workdir / "evil").write_text("evil")
    for place in ("/proc/self/exe", "/proc/self/fd/0", "/proc/self/root/etc/passwd", "/proc/self/cwd/etc/passwd",
                  "/proc/1/exe", "/proc/1/root/etc/passwd"):
        sh(caisson, box, f"ln -sfn {place} /workspace/m")
        for option in ((), ("-L",)):
            done = caisson("cp", *option, f"{box}:{place}", workdir / "x")
            if done.returncode == 0:  # the link itself
                assert (workdir / "x").is_symlink()
                (workdir / "x").unlink()
        assert caisson("cp", "-L", f"{box}:/workspace/m", workdir / "x").returncode == 125
        assert caisson("cp", workdir / "evil", f"{box}:/workspace/m").returncode == 125
    for name in ("mem", "environ", "maps"):
        sh(caisson, box, f"ln -sfn /proc/self/{name} /workspace/m")
        done = caisson("cp", "-L", f"{box}:/workspace/m", workdir / f"x-{name}")
        if done.returncode == 0:
            assert b"CAISSON" not in (workdir / f"x-{name}").read_bytes()


def test_a_box_that_swaps_directories_for_links_meanwhile(caisson, workdir, canary):
    """Both ways, for some seconds."""
    swap = ("import os\n"
            "os.chdir('/workspace')\n"
            "os.makedirs('t/d', exist_ok=True)\n"
            f"os.symlink('{canary.folder}', 'l')\n"
            "open('t/d/file', 'w').write('evil')\n"
            "while True:\n"
            "    os.rename('t/d', 'away'); os.rename('l', 't/d')\n"
            "    os.rename('t/d', 'l'); os.rename('away', 't/d')\n")
    box = caisson.detached("python3", "-c", swap)
    (workdir / "in").mkdir()
    (workdir / "in" / "file").write_text("evil")
    end = time.monotonic() + 4
    turn = 0
    while time.monotonic() < end:
        turn += 1
        caisson("cp", f"{box}:/workspace/t", workdir / f"out{turn}")
        caisson("cp", f"{workdir}/in/.", f"{box}:/workspace/t/d")
        for place in (workdir / f"out{turn}").rglob("*"):
            assert place.is_symlink() or place.name in ("t", "d", "file", "out"), place
    caisson("rm", "-f", box, check=True)


def test_the_process_that_serves_is_out_of_reach(caisson, workdir):
    """From the box it can neither be looked into nor changed; at most ended."""
    look = """
import glob, os, time, ctypes, json, errno
libc = ctypes.CDLL(None, use_errno=True)
found = []
own = {os.getpid(), 1}
end = time.monotonic() + 20
while time.monotonic() < end and not found:
    for path in glob.glob('/proc/[0-9]*'):
        pid = int(path[6:])
        if pid in own:
            continue
        def attempt(action):
            try:
                return str(action())
            except OSError as error:
                return errno.errorcode[error.errno]
        found.append({
            'exe': attempt(lambda: os.readlink(path + '/exe')),
            'fd': attempt(lambda: os.listdir(path + '/fd')),
            'mem': attempt(lambda: open(path + '/mem', 'rb').read(1)),
            'root': attempt(lambda: os.listdir(path + '/root/')),
            'environ': attempt(lambda: open(path + '/environ', 'rb').read(1)),
            'ptrace': errno.errorcode.get((ctypes.set_errno(0), libc.ptrace(16, pid, 0, 0), ctypes.get_errno())[2], 'done'),
        })
    time.sleep(0.01)
print(json.dumps(found), flush=True)
time.sleep(1000)
"""
    box = caisson.detached("python3", "-c", look)
    reader, writer = os.pipe()
    copying = caisson.popen("cp", "-", f"{box}:/workspace", stdin=reader)
    os.close(reader)
    text = wait_for(lambda: caisson("logs", box).stdout, seconds=30, what="answer from the box")
    os.close(writer)
    copying.wait(20)
    found = json.loads(text)
    assert found
    for one in found:
        for key, value in one.items():
            assert value in ("EACCES", "EPERM"), (key, value)
    caisson("rm", "-f", box, check=True)


def test_it_has_the_box_s_limits_and_no_right_outside(caisson, workdir, canary):
    box = caisson.detached("sleep", "1000", options=("--disk", "5m"))
    (workdir / "big").write_bytes(bytes(30_000_000))
    done = caisson("cp", workdir / "big", f"{box}:/workspace/big")
    assert done.returncode != 0 or caisson.inspect(box)["state"] != "running"
    caisson("rm", "-f", box, check=True)


def test_nothing_set_id_and_no_device_comes_out(caisson, box, workdir):
    sh(caisson, box, "cd /workspace; mkdir t; cp /bin/true t/suid; chmod 6755 t/suid; mknod t/null c 1 3 2>/dev/null || true")
    caisson("cp", f"{box}:/workspace/t", workdir / "t", check=True)
    caisson("cp", "-a", f"{box}:/workspace/t", workdir / "t2")
    for folder in (workdir / "t", workdir / "t2"):
        for place in folder.rglob("*"):
            assert place.lstat().st_mode & 0o6000 == 0
            assert not place.is_char_device()


def test_a_helper_that_the_box_ends_is_an_error_and_no_hang(caisson, workdir):
    kill = "while :; do for p in /proc/[0-9]*; do p=${p#/proc/}; [ $p != 1 ] && [ $p != $$ ] && kill -9 $p 2>/dev/null; done; done"
    box = caisson.detached("sh", "-c", kill)
    (workdir / "big").write_bytes(bytes(50_000_000))
    for _ in range(3):
        done = caisson("cp", workdir / "big", f"{box}:/workspace/big", timeout=60)
        assert done.returncode in (0, 125)
    caisson("rm", "-f", box, check=True)


def test_a_box_cannot_name_what_an_import_reaches(caisson, workdir, canary):
    """An archive is somebody else's text: mounts, the host's network and the like need trust."""
    for options, word in ((("-v", f"{canary.folder}:/c"), "files of this host"), (("--network", "host"), "network"),
                          (("--security", "seccomp=unconfined"), "policy"), (("--profile", "full"), "full"),
                          (("--allow-missing", "memory"), "limits")):
        made = caisson("create", *options, "host:", "true", check=True).stdout.strip()
        caisson("export", "-o", workdir / "b.tar", made, check=True)
        caisson("rm", made, check=True)
        done = caisson("import", "-i", workdir / "b.tar")
        assert done.returncode == 125 and word in done.error_line()
    assert caisson.boxes() == []
