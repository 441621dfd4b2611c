"""`--isolation microvm`: the same box behind a kernel of its own, with the same commands."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support import host
from support.microvm import NEEDS_GUEST, VM, machine_of
from support.microvm import box, folder, image  # noqa: F401: fixtures
from support.terminal import Terminal

pytestmark = NEEDS_GUEST


def below(process):
    """Its descendants."""
    found = []
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *below(int(child))]
    return found


def test_its_own_kernel(caisson, image):
    done = caisson("run", "--rm", *VM, image, "--", "uname", "-r", check=True)
    assert "cloud" in done.stdout
    assert done.stdout.strip() != os.uname().release


def test_streams_and_status(caisson, image):
    done = caisson("run", "--rm", "-i", *VM, image, "--", "sh", "-c", "cat; echo err >&2; exit 7", input="in\n")
    assert (done.returncode, done.stdout, done.stderr) == (7, "in\n", "err\n")


def test_execs(caisson, box):
    assert caisson("exec", box, "--", "sh", "-c", "echo $((6*7))").stdout == "42\n"
    assert caisson("exec", box, "--", "sh", "-c", "exit 3").returncode == 3
    done = caisson("exec", box, "--", "no-such-program")
    assert done.returncode == 127 and "no-such-program" in done.error_line()
    done = caisson("exec", "-w", "/nowhere", box, "--", "true")
    assert done.returncode == 125
    assert caisson("exec", "-e", "A=b c", box, "--", "sh", "-c", 'printf %s "$A"').stdout == "b c"
    assert caisson("exec", "-u", "1234:5678", box, "--", "id", "-u").stdout == "1234\n"


def test_a_flood_does_not_stall_others(caisson, box):
    flood = caisson.popen("exec", box, "--", "sh", "-c", "yes", stdout=subprocess.PIPE)
    try:
        time.sleep(1)  # nobody reads what it writes
        began = time.monotonic()
        assert caisson("exec", box, "--", "echo", "through").stdout == "through\n"
        assert time.monotonic() - began < 10
    finally:
        flood.stdout.close()
        assert flood.wait(timeout=30) != 0


def test_much_output_is_whole(caisson, box):
    size = 24 << 20
    done = caisson("exec", box, "--", "head", "-c", str(size), "/dev/zero", binary=True, check=True)
    assert len(done.stdout) == size and not done.stdout.strip(b"\0")


def test_much_input_is_whole(caisson, box):
    data = os.urandom(3 << 20)
    done = caisson("exec", "-i", box, "--", "cat", input=data, binary=True, check=True)
    assert done.stdout == data


def test_files(caisson, box, workdir):
    data = os.urandom(1 << 20)
    (workdir / "f").write_bytes(data)
    caisson("cp", workdir / "f", f"{box}:/tmp/f", check=True)
    caisson("cp", f"{box}:/tmp/f", workdir / "g", check=True)
    assert (workdir / "g").read_bytes() == data


def test_what_it_wrote_is_there_again(caisson, box):
    caisson("exec", box, "--", "sh", "-c", "echo kept > /kept", check=True)
    caisson("stop", "-t", "0", box, check=True)
    assert caisson.inspect(box)["state"] == "stopped"
    caisson("start", box, check=True)
    assert caisson("exec", box, "--", "cat", "/kept").stdout == "kept\n"


def test_a_terminal(caisson, box):
    with Terminal(caisson, "exec", "-i", "-t", box, "sh", rows=33, columns=99) as terminal:
        terminal.type("stty size; tty\n")
        terminal.expect("33 99")
        terminal.expect("/dev/pts/")
        terminal.resize(44, 111)
        terminal.type("sleep 1; stty size\n")
        terminal.expect("44 111")
        terminal.type("exit 5\n")
        assert terminal.wait() == 5


def test_signals(caisson, image):
    box = caisson.detached("sh", "-c", 'trap "echo got; exit 9" USR1; echo ready; while :; do sleep 0.1; done',
                           source=image, options=VM)
    deadline = time.monotonic() + 20
    while "ready" not in caisson("logs", box).stdout:
        assert time.monotonic() < deadline
    caisson("kill", "-s", "USR1", box, check=True)
    assert caisson("wait", box).stdout.split()[-1] == "9"
    assert "got" in caisson("logs", box).stdout


def test_out_of_memory_is_told_by_the_guests_kernel(caisson, image):
    """Limits inside are cgroup v2's, whatever the host has. What takes its memory in few calls: a program that
    needs its own pages for every little more is kept busy by reclaim for a minute and longer before it is killed."""
    done = caisson("run", "--rm", "--json", "--memory", "24m", "--tmpfs", "/t", *VM, image, "--", "dd",
                   "if=/dev/zero", "of=/t/x", "bs=8M", "count=8", timeout=120)
    assert done.json()["exit"]["reason"] == "oom", done.stdout


def test_figures_are_there_at_the_end(caisson, image):
    """The box is gone when the host tells it to end; its last figures were those before."""
    for _ in range(3):
        done = caisson("run", "--rm", "--json", *VM, image, "--", "true", timeout=120)
        assert done.json()["exit"]["usage"]["cpu_system_ns"] > 0, done.stdout


@pytest.mark.parametrize("user", ["0", "1000", "app"])
def test_a_volume_belongs_to_the_boxs_user(caisson, image, folder, user):
    done = caisson("run", "--rm", "-u", user, "-v", f"{folder}:/w", *VM, image, "--", "sh", "-c",
                   "stat -c %u /w/file; cat /w/file; echo new > /w/deep/new && stat -c %u /w/deep/new; id -u",
                   timeout=120)
    number = {"app": "1000"}.get(user, user)
    assert done.stdout.split() == [number, "of", "the", "host", number, number], done.stderr
    assert (folder / "deep/new").read_text() == "new\n"
    assert (folder / "deep/new").stat().st_uid == folder.stat().st_uid


def test_what_is_read_only_stays_so(caisson, image, folder):
    """Root of the guest may mount as it likes: it is the host that says no."""
    done = caisson("run", "--rm", "-v", f"{folder}:/w:ro", *VM, image, "--", "sh", "-c",
                   "cat /w/file; echo x > /w/file; rm -f /w/file; touch /w/new; chmod 777 /w/file", timeout=120)
    assert done.stdout == "of the host\n" and done.stderr.count("Read-only file system") == 4, done.stderr
    assert (folder / "file").read_text() == "of the host\n" and not (folder / "new").exists()


def test_many_volumes_one_in_another(caisson, image, workdir, folder):
    options, script = [], ""
    for number in range(8):
        place = workdir / f"v{number}"
        place.mkdir()
        (place / "number").write_text(f"{number}\n")
        options += ["-v", f"{place}:/w/{number}:ro"]
        script += f"cat /w/{number}/number; "
    done = caisson("run", "--rm", "-v", f"{folder}:/w", *options, "-v", f"{folder}/file:/etc/one", "-v", "data:/d", *VM,
                   image, "--", "sh", "-c", f"{script} cat /w/file /etc/one; echo kept > /d/x", timeout=120, check=True)
    assert done.stdout.splitlines() == [str(number) for number in range(8)] + ["of the host"] * 2
    done = caisson("run", "--rm", "-v", "data:/d", *VM, image, "--", "cat", "/d/x", timeout=120)
    assert done.stdout == "kept\n", done.stderr


def test_protected_paths_of_a_volume(caisson, image, folder):
    (folder / ".git").mkdir()
    (folder / ".git/config").write_text("mine\n")
    done = caisson("run", "--rm", "-v", f"{folder}:/w", "--protect", "/w/deep", *VM, image, "--", "sh", "-c",
                   "echo x > /w/.git/config; mv /w/.git /w/g; touch /w/deep/x; echo y > /w/file; ls -a /w", timeout=120)
    assert (folder / ".git/config").read_text() == "mine\n", done.stderr
    assert not (folder / "deep/x").exists()
    assert (folder / "file").read_text() == "y\n"


def test_the_hosts_programs(caisson):
    """`host:` through virtiofs: what the host has, with a kernel of its own."""
    done = caisson("run", "--rm", *VM, "host:", "--", "sh", "-c",
                   "uname -r; ls /etc/shadow; echo x > /usr/x; touch x && pwd", timeout=120)
    assert done.stdout.splitlines() == [done.stdout.splitlines()[0], "/workspace"], done.stderr
    assert "cloud" in done.stdout and "Read-only" in done.stderr and "shadow" in done.stderr


def test_a_directory_as_root(caisson, busybox_root):
    done = caisson("run", "--rm", *VM, f"dir:{busybox_root}", "--", "sh", "-c", "echo x > /bin/new; cat /etc/motd /bin/new",
                   timeout=120)
    assert done.stdout == "original\nx\n", done.stderr
    assert not (busybox_root / "bin/new").exists()


def test_without_its_files_a_box_is_lost(caisson, image, folder):
    box = caisson.detached("sleep", "1000", source=image, options=(*VM, "-v", f"{folder}:/w"))
    [server] = [child for child in below(caisson.inspect(box)["shim_pid"])
                if b"virtiofsd" in Path(f"/proc/{child}/cmdline").read_bytes()]
    os.kill(server, signal.SIGKILL)
    caisson("wait", box, timeout=60)
    assert caisson.inspect(box)["exit"]["reason"] == "lost"
    caisson("start", box, check=True, timeout=120)
    assert caisson("exec", box, "--", "cat", "/w/file", timeout=60).stdout == "of the host\n"
    caisson("rm", "-f", box, check=True)


def test_figures(caisson, box):
    caisson("exec", box, "--", "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done", check=True)
    figures = json.loads(caisson("stats", "--json", box, check=True).stdout.splitlines()[0])
    usage = figures["usage"]
    assert usage["pids"] >= 1 and usage["memory_bytes"] > 0 and usage["cpu_user_ns"] > 0


def test_pause(caisson, box):
    script = "while :; do echo x >> /tmp/n; done"
    caisson.popen("exec", box, "--", "sh", "-c", script, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    caisson("pause", box, check=True)
    qemu = machine_of(caisson, box)
    before = Path(f"/proc/{qemu}/stat").read_text().rpartition(")")[2].split()[11:13]
    time.sleep(1)
    after = Path(f"/proc/{qemu}/stat").read_text().rpartition(")")[2].split()[11:13]
    assert sum(map(int, after)) - sum(map(int, before)) < 20, "its processors stand still"
    assert caisson("exec", box, "--", "true").returncode == 125
    caisson("resume", box, check=True)
    size = caisson("exec", box, "--", "wc", "-c", "/tmp/n", check=True).stdout
    assert caisson("exec", box, "--", "wc", "-c", "/tmp/n", check=True).stdout != size


def test_a_time_limit(caisson, image):
    done = caisson("run", "--rm", "--json", "--timeout", "2s", *VM, image, "--", "sleep", "100")
    assert done.json()["exit"]["reason"] == "timeout"


@pytest.mark.parametrize("who", ["qemu", "shim"])
def test_a_killed_machine_is_lost_and_leaves_nothing(caisson, box, who):
    info = caisson.inspect(box)
    qemu = machine_of(caisson, box)
    os.kill(qemu if who == "qemu" else info["shim_pid"], signal.SIGKILL)
    deadline = time.monotonic() + 20
    while caisson.inspect(box)["state"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    info = caisson.inspect(box)
    assert info["exit"]["reason"] == "lost", info["exit"]
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{qemu}/cwd") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not os.path.exists(f"/proc/{qemu}/cwd")
    caisson("start", box, check=True)
    assert caisson("exec", box, "--", "echo", "again").stdout == "again\n"


def test_qemu_has_nothing_of_the_host(caisson, box):
    """No capability, no network, no path to write, no way to more."""
    qemu = machine_of(caisson, box)
    lines = Path(f"/proc/{qemu}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"
    if host.IS_ROOT:
        assert status["Uid"].split()[0] != "0" and int(status["CapBnd"], 16) == 0
    for namespace in "net", "ipc", "uts", "mnt":
        assert os.readlink(f"/proc/{qemu}/ns/{namespace}") != os.readlink(f"/proc/self/ns/{namespace}")
    links = Path(f"/proc/{qemu}/net/dev").read_text().splitlines()[2:]
    assert [line.split(":")[0].strip() for line in links] == ["lo"]


@pytest.mark.parametrize("options, reason", [
    (("--network", "host"), "isolation_unsupported"),
    (("--memory", "4m"), "memory_too_small"),
])
def test_what_it_cannot_have_is_refused(caisson, image, options, reason):
    done = caisson("run", "--rm", "--json", *VM, *options, image, "--", "true")
    assert done.returncode == 125 and done.json()["error"]["reason"] == reason, done.stdout


def test_what_is_missing_is_named(caisson, image, workdir):
    done = caisson("run", "--rm", *VM, image, "--", "true", env={"CAISSON_GUEST": str(workdir)})
    assert done.returncode == 125 and "./dev guest" in done.error_line()
    guest = Path(host.guest_dir())
    broken = workdir / "guest"
    broken.mkdir()
    for name in "vmlinux", "manifest.json":
        (broken / name).symlink_to(guest / name)
    (broken / "initramfs").write_bytes(b"x")
    done = caisson("run", "--rm", *VM, image, "--", "true", env={"CAISSON_GUEST": str(broken)})
    assert done.returncode == 125 and "manifest" in done.error_line()


def test_a_guest_that_does_not_come_up_says_why(caisson, image, workdir):
    """An initramfs without an init: the kernel panics, and its last words are in the error."""
    guest = Path(host.guest_dir())
    broken = workdir / "guest"
    broken.mkdir()
    (broken / "vmlinux").symlink_to(guest / "vmlinux")
    manifest = json.loads((guest / "manifest.json").read_text())
    manifest["files"]["initramfs"]["size"] = 512
    (broken / "manifest.json").write_text(json.dumps(manifest))
    (broken / "initramfs").write_bytes(b"\0" * 512)
    began = time.monotonic()
    done = caisson("run", *VM, image, "--", "true", env={"CAISSON_GUEST": str(broken)})
    assert done.returncode == 125 and "anic" in done.error_line(), done.stderr
    assert time.monotonic() - began < 60
    info = caisson.inspect(caisson.boxes()[0])
    assert info["state"] == "failed" and "anic" in info["error_reason"]


def test_what_a_box_wrote_is_on_its_disk_at_the_end(caisson, image, workdir):
    """Also of one that somebody is to remove, and of one that never ran."""
    box = caisson.detached("sh", "-c", "head -c 3000000 /dev/zero > /zeros; echo end > /end", source=image,
                           options=(*VM, "--rm"))
    caisson("wait", box, check=True)
    for name in "end", "zeros":
        caisson("cp", f"{box}:/{name}", workdir / name, check=True, timeout=120)
    assert (workdir / "end").read_text() == "end\n" and (workdir / "zeros").read_bytes() == bytes(3000000)
    caisson("rm", "-f", box)
    box = caisson("create", "--rm", *VM, image, "--", "true", check=True).stdout.strip()
    caisson("cp", "/etc/passwd", f"{box}:/in", check=True, timeout=120)
    caisson("cp", f"{box}:/in", workdir / "out", check=True, timeout=120)
    assert (workdir / "out").read_bytes() == Path("/etc/passwd").read_bytes()
    caisson("rm", box, check=True)
