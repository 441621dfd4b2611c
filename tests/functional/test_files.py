"""Files of boxes from outside: cp both ways, of boxes that run and that do not."""

import io
import os
import subprocess
import tarfile
import threading
import time
from pathlib import Path

import pytest

from support.boxes import descendants, refused

pytestmark = [pytest.mark.without_subuid, pytest.mark.usefixtures("nothing_stays")]


@pytest.fixture(params=["runs", "stopped", "created"])
def box(request, caisson):
    """A box in each state in which its files can be worked with."""
    if request.param == "created":
        return caisson("create", "--name", "w", "host:", "sleep", "1000", check=True).stdout.strip()
    made = caisson.detached("sleep", "1000", options=("--name", "w"))
    if request.param == "stopped":
        caisson("stop", "-t", "0", made, check=True)
    return made


def sh(caisson, box, script):
    if caisson.inspect(box)["state"] != "running":
        caisson("start", box, check=True)
    done = caisson("exec", box, "--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    return done.stdout


def await_service(caisson):
    """Until somebody works with the files of a box that does not run."""
    deadline = time.monotonic() + 20
    while not list(Path(caisson.home).glob("boxes/*/*.sock")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_file_goes_in_and_comes_out(caisson, box, workdir):
    content = os.urandom(3_000_000)
    (workdir / "f").write_bytes(content)
    (workdir / "f").chmod(0o750)
    caisson("cp", workdir / "f", "w:/workspace", check=True)
    caisson("cp", workdir / "f", "w:/workspace/other", check=True)
    caisson("cp", "w:workspace/f", workdir / "back", check=True)
    assert (workdir / "back").read_bytes() == content
    assert (workdir / "back").stat().st_mode & 0o7777 == 0o750
    assert (workdir / "back").stat().st_uid == os.geteuid()
    assert abs((workdir / "back").stat().st_mtime - (workdir / "f").stat().st_mtime) < 0.001
    look = sh(caisson, box, "cd /workspace; stat -c '%u %a %s' f other; cmp f other; id -u")
    own = look.split()[-1]  # of a user without subordinate ids it is his own
    assert look.splitlines()[:2] == [f"{own} 750 3000000"] * 2


def test_trees_keep_what_they_are_made_of(caisson, box, workdir):
    tree = workdir / "t"
    (tree / "d" / "e").mkdir(parents=True)
    (tree / "d" / "e" / "x\n\xff").write_text("deep")
    (tree / "l").symlink_to("/etc/hostname")
    (tree / "broken").symlink_to("nowhere")
    os.link(tree / "d" / "e" / "x\n\xff", tree / "h")
    os.mkfifo(tree / "p")
    (tree / "d").chmod(0o500)
    caisson("cp", tree, "w:/workspace", check=True)
    caisson("cp", f"{tree}/.", "w:/workspace/contents", check=True)
    caisson("cp", "w:/workspace/t", workdir / "back", check=True)
    caisson("cp", "w:/workspace/t/.", workdir / "back2", check=True)
    for back in (workdir / "back", workdir / "back2"):
        assert os.readlink(back / "l") == "/etc/hostname"
        assert os.readlink(back / "broken") == "nowhere"
        assert (back / "h").stat().st_ino == (back / "d" / "e" / "x\n\xff").stat().st_ino
        assert (back / "d" / "e" / "x\n\xff").read_text() == "deep"
        assert (back / "d").stat().st_mode & 0o777 == 0o500
        assert (back / "p").is_fifo()
        (back / "d").chmod(0o700)
    assert sh(caisson, box, "ls /workspace/contents").split() == ["broken", "d", "h", "l", "p"]
    (tree / "d").chmod(0o700)
    # A second time into a directory that is there: below it, or with /. over it.
    (tree / "h").unlink()
    (tree / "h").write_text("new\n")
    caisson("cp", f"{tree}/.", "w:/workspace/t", check=True)
    assert sh(caisson, box, "cat /workspace/t/h; ls /workspace/t").split() == ["new", "broken", "d", "h", "l", "p"]


def test_where_things_go_is_as_with_cp(caisson, box, workdir):
    (workdir / "f").write_text("x")
    (workdir / "d").mkdir()
    refused(caisson("cp", workdir / "f", "w:/nowhere/"), "/nowhere", "no such directory")
    refused(caisson("cp", workdir / "f", "w:/nowhere/f"), "/nowhere")
    refused(caisson("cp", workdir / "missing", "w:/workspace"), "missing")
    refused(caisson("cp", "w:/missing", workdir / "x"), "/missing")
    refused(caisson("cp", workdir / "d", "w:/etc/passwd"), "/etc/passwd", "no directory")
    refused(caisson("cp", "w:/etc/passwd", f"{workdir}/none/x"), "none")
    refused(caisson("cp", "w:/workspace", workdir / "f"), "no directory")
    refused(caisson("cp", workdir / "f", workdir / "g"), "neither side")
    refused(caisson("cp", "w:/a", "w:/b"), "both sides")
    refused(caisson("cp", "nobody:/a", workdir), "nobody")
    assert not (workdir / "x").exists()
    # A link to a file is written through, one to a directory followed.
    sh(caisson, box, "cd /workspace; mkdir real; ln -s real dirlink; echo old > target; ln -s target filelink")
    caisson("cp", workdir / "f", "w:/workspace/dirlink", check=True)
    caisson("cp", workdir / "f", "w:/workspace/filelink", check=True)
    assert sh(caisson, box, "cd /workspace; cat real/f target; test -L filelink") == "xx"
    # The source's own link is copied as one, unless -L says otherwise.
    caisson("cp", "w:/workspace/filelink", workdir / "l1", check=True)
    caisson("cp", "-L", "w:/workspace/filelink", workdir / "l2", check=True)
    assert os.readlink(workdir / "l1") == "target"
    assert (workdir / "l2").read_text() == "x" and not (workdir / "l2").is_symlink()


def test_tar_streams(caisson, box, workdir):
    (workdir / "t").mkdir()
    (workdir / "t" / "a").write_text("a" * 100_000)
    for form in ("gnu", "pax", "ustar"):
        made = subprocess.run(["tar", "-C", workdir, f"--format={form}", "-c", "t"], stdout=subprocess.PIPE, check=True)
        caisson("cp", "-", "w:/workspace", input=made.stdout, binary=True, check=True)
        out = caisson("cp", "w:/workspace/t", "-", binary=True, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(out)) as tar:
            assert [(member.name, member.size) for member in tar] == [("t", 0), ("t/a", 100_000)]
    refused(caisson("cp", "-", "w:/workspace", input="no tar at all" * 100), "archive", "checksum")
    refused(caisson("cp", "-", "w:/workspace", input=made.stdout[:2000]), "cut off")
    refused(caisson("cp", "-", "w:/etc/passwd", input=made.stdout), "/etc/passwd")
    # Whoever feeds the pipe is not ended by a broken one.
    piped = subprocess.run(f"set -o pipefail; tar -C {workdir} -c t | {caisson.program} cp - w:/workspace",
                           shell=True, executable="/bin/bash", env=dict(os.environ, CAISSON_HOME=str(caisson.home)), check=False)
    assert piped.returncode == 0


def test_owners(caisson, box, workdir):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        member = tarfile.TarInfo("f")
        member.uid, member.gid, member.mode = 1234, 4321, 0o4755
        tar.addfile(member)
    caisson("cp", "-", "w:/workspace", input=raw.getvalue(), binary=True, check=True)
    ids = sh(caisson, box, "stat -c '%u:%g %a' /workspace/f; wc -l < /proc/self/uid_map; awk '{n += $3} END {print n}' /proc/self/uid_map").split()
    assert ids[1] == "755"
    done = caisson("cp", "-a", "-", "w:/workspace", input=raw.getvalue())
    if int(ids[3]) > 4321:
        assert done.returncode == 0, done.stderr
        assert sh(caisson, box, "stat -c '%u:%g %a' /workspace/f").strip() == "1234:4321 4755"
        # Outside nothing is set-id, whoever calls.
        caisson("cp", "w:/workspace/f", workdir / "f", check=True)
        assert (workdir / "f").stat().st_mode & 0o7000 == 0
    else:
        refused(done, "1234:4321", "no such ids")


def test_memory_is_told_apart(caisson, box, workdir):
    (workdir / "f").write_text("x")
    state = caisson.inspect(box)["state"]
    done = caisson("cp", workdir / "f", "w:/dev/shm")
    if state == "running":
        assert done.returncode == 0
        assert caisson("exec", box, "cat", "/dev/shm/f").stdout == "x"
    else:
        refused(done, "/dev/shm", "in memory")
        assert caisson.inspect(box)["state"] == state


def test_the_state_stays_what_it_was_and_nothing_is_left(caisson, box, workdir):
    before = caisson.inspect(box)
    caisson("cp", "w:/etc/passwd", workdir / "p", check=True)
    after = caisson.inspect(box)
    for key in ("state", "exit", "started", "finished", "error_reason"):
        assert before.get(key) == after.get(key)
    if before["state"] != "running":
        assert not list(Path(caisson.home).glob("boxes/*/*.sock"))
        caisson("start", box, check=True)
    events = [line for line in caisson("audit", box).stdout.splitlines() if "files_touched" in line]
    assert len(events) == 1 and '"way":"out"' in events[0] and "/etc/passwd" in events[0]


def test_a_box_whose_files_are_in_use_is_not_started_but_can_be_removed(caisson, workdir):
    box = caisson("create", "host:", "true", check=True).stdout.strip()
    reader, writer = os.pipe()
    copying = caisson.popen("cp", "-", f"{box}:/workspace", stdin=reader)
    os.close(reader)
    await_service(caisson)
    done = caisson("start", box)
    assert done.returncode == 1 and "files are in use" in done.error_line()
    # Others may work with its files all the same.
    caisson("cp", f"{box}:/etc/passwd", workdir / "p", check=True)
    caisson("rm", "-f", box, check=True)
    os.close(writer)
    assert copying.wait(20) == 125


def test_a_killed_helper_leaves_nothing_and_the_box_usable(caisson, workdir):
    box = caisson("create", "host:", "true", check=True).stdout.strip()
    for _ in range(3):
        reader, writer = os.pipe()
        copying = caisson.popen("cp", "-", f"{box}:/workspace", stdin=reader)
        os.close(reader)
        await_service(caisson)
        time.sleep(0.05)
        for pid in descendants():
            try:
                if b"caisson-shim" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, 9)
            except OSError:
                pass
        os.close(writer)
        copying.wait(20)
    assert caisson("start", "-a", box).returncode == 0


def test_a_paused_box_says_so(caisson, workdir):
    box = caisson.detached("sleep", "1000")
    caisson("pause", box, check=True)
    refused(caisson("cp", f"{box}:/etc/passwd", workdir), "paused")
    caisson("resume", box, check=True)


def test_limits_hold_and_half_a_file_is_none(caisson, workdir):
    box = caisson.detached("sleep", "1000", options=("--file-size", "1m"))
    (workdir / "big").write_bytes(bytes(5_000_000))
    refused(caisson("cp", workdir / "big", f"{box}:/workspace"), "File too large")
    assert caisson("exec", box, "ls", "-A", "/workspace").stdout == ""
    # The session is not lost by it.
    (workdir / "small").write_bytes(b"x")
    caisson("cp", workdir / "small", f"{box}:/workspace", check=True)


def test_a_cut_off_archive_leaves_no_half_file(caisson, workdir):
    box = caisson.detached("sleep", "1000")
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        member = tarfile.TarInfo("f")
        member.size = 2_000_000
        tar.addfile(member, io.BytesIO(bytes(2_000_000)))
    refused(caisson("cp", "-", f"{box}:/workspace", input=raw.getvalue()[:1_000_000]), "cut off")
    assert caisson("exec", box, "ls", "-A", "/workspace").stdout == ""


def test_every_profile_and_seccomp_policy(caisson, workdir):
    (workdir / "f").write_text("x")
    policy = workdir / "deny.json"
    policy.write_text('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": '
                      '[{"names": ["openat2", "fchownat"], "action": "SCMP_ACT_ERRNO"}]}')
    for options in (("--profile", "minimal"), ("--profile", "full"), ("--security", f"seccomp={policy}")):
        box = caisson.detached("sleep", "1000", options=options)
        caisson("cp", workdir / "f", f"{box}:/tmp", check=True)
        caisson("cp", f"{box}:/tmp/f", workdir / "back", check=True)
        caisson("rm", "-f", box, check=True)


def test_large_files_stream(caisson, workdir):
    """Neither side holds the file in memory."""
    box = caisson.detached("sleep", "1000")
    with (workdir / "big").open("wb") as out:
        out.truncate(600_000_000)
    copying = caisson.popen("cp", workdir / "big", f"{box}:/workspace/big")
    peak = 0
    while copying.poll() is None:
        try:
            status = Path(f"/proc/{copying.pid}/status").read_text()
            peak = max(peak, int(status.split("VmHWM:")[1].split()[0]))
        except (OSError, IndexError):
            pass
        time.sleep(0.05)
    assert copying.returncode == 0
    assert 0 < peak < 120_000, f"{peak} KiB"
    assert caisson("exec", box, "stat", "-c", "%s", "/workspace/big").stdout == "600000000\n"


def test_many_at_once(caisson, workdir):
    box = caisson.detached("sleep", "1000")
    failures = []

    def copy(number):
        (workdir / f"f{number}").write_text(str(number))
        done = caisson("cp", workdir / f"f{number}", f"{box}:/workspace")
        if done.returncode != 0:
            failures.append(done.stderr)

    threads = [threading.Thread(target=copy, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len(caisson("exec", box, "ls", "/workspace").stdout.split()) == 12


@pytest.mark.root_only
def test_the_library(caisson, bin_dir):
    """examples/api/files.cc: every call, on a box that was never started and on one that runs."""
    example = Path(bin_dir).parent / "api-examples" / "example-files"
    done = subprocess.run([example], env=caisson.env | {"CAISSON_SHIM": str(Path(caisson.program).parent / "caisson-shim")},
                          capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "all files are as they should be\n"), done.stderr
