"""What can go wrong around a microVM: one clear line, a true record, and nothing left running."""

import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support import guest
from support.boxes import await_state, refused
from support.images import Index, Layer, busybox_image, file, write_layout
from support.microvm import NEEDS_GUEST, VM, machine_of, of_size, own
from support.microvm import box, image  # noqa: F401: fixtures

pytestmark = [*NEEDS_GUEST, pytest.mark.usefixtures("nothing_stays")]

# A guest to which this happens when the box starts `sleep 4321`.
HAPPENS = """#!/busybox sh
/busybox mount -t proc none /proc; /busybox mknod /dev/null c 1 3  # of what runs in the background
while :; do
  /busybox sleep 0.1
  /busybox grep -qs 432[1] /proc/[0-9]*/cmdline || continue
  {}
done &
exec /agent
"""
PANIC = "echo c > /proc/sysrq-trigger"
# No signal kills the first process of a machine: its code is overwritten.
NO_AGENT = """/busybox mknod /dev/zero c 1 5; for page in $(/busybox awk -F- '/r-xp/ {print $1}' /proc/1/maps); do
    /busybox dd if=/dev/zero of=/proc/1/mem bs=4096 seek=$((0x$page / 4096)) count=400 conv=notrunc
  done"""


def failed(caisson, done, *words):
    """In one line, and with a record of it."""
    refused(done, *words)
    [box] = caisson("ps", "-aq", check=True).stdout.split()
    assert caisson.inspect(box)["state"] == "failed"


@pytest.mark.parametrize("script, words", [
    ("#!/busybox sh\necho no agent is to be had\nexit 1\n", ["panic", "Attempted to kill init"]),
    ("#!/no/such/shell\n", ["panic", "No working init"]),
    ("#!/busybox sh\n/busybox poweroff -f\n", ["boot guest", "gone"]),
    (guest.BOOT + "/busybox cat /dev/urandom > /dev/vport0p1; /busybox sleep 1000\n", ["boot guest"]),
])
def test_a_guest_without_an_agent(caisson, image, workdir, script, words):
    began = time.monotonic()
    done = caisson("run", *VM, image, "--", "true", env=guest.with_init(workdir, script), timeout=120)
    failed(caisson, done, *words)
    assert time.monotonic() - began < 60, "nobody waits for one that is gone"


def test_a_guest_that_never_becomes_ready(caisson, image, workdir):
    """What it said last is in the error."""
    env = guest.with_init(workdir, "#!/busybox sh\necho still thinking\n/busybox sleep 1000\n")
    began = time.monotonic()
    failed(caisson, caisson("run", *VM, "--ready-timeout", "6s", image, "--", "true", env=env, timeout=200),
           "did not answer in time", "console ends with", "still thinking", "--ready-timeout")
    assert time.monotonic() - began < 11, "it is not tried twice"


@pytest.mark.parametrize("event, last", [(PANIC, "sysrq triggered crash"), (NO_AGENT, "Attempted to kill init")])
def test_the_guest_dies_with_a_box_in_it(caisson, image, workdir, event, last):
    env = guest.with_init(workdir, HAPPENS.format(event))
    box = caisson.detached("sleep", "1000", source=image, options=VM, env=env)
    assert caisson("exec", box, "--", "echo", "well").stdout == "well\n"
    # The end of the second is what the agent wakes up for.
    done = caisson("exec", "--json", box, "--", "sh", "-c", "sleep 4321 & sleep 2")
    assert done.returncode == 137 and done.json()["reason"] in ("killed", "lost"), done.stdout
    info = await_state(caisson, box, "stopped")
    assert info["exit"]["reason"] == "lost"
    assert last in (Path(caisson.home) / "boxes" / box / "console.log").read_text()
    assert caisson("start", box, check=True, env=env, timeout=120).returncode == 0
    assert caisson("exec", box, "--", "echo", "again").stdout == "again\n"


@pytest.mark.root_only
def test_without_qemu(caisson, image):
    """Seen from a mount namespace in which its file is not a program."""
    script = 'mount --bind /dev/null /usr/bin/qemu-system-x86_64 && exec "$@"'
    words = caisson.command("run", *VM, image, "--", "true")
    done = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", *words], env=caisson.env,
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 125 and len(done.stderr.splitlines()) == 1, done.stderr
    assert "no qemu-system-x86_64" in done.stderr and "hint: install qemu-system-x86" in done.stderr, done.stderr
    [box] = caisson.boxes()
    assert caisson.inspect(box)["state"] == "failed"
    assert caisson("start", "-a", box, timeout=120).returncode == 0, "it is only the record that failed"


def test_without_an_agent_or_a_kernel(caisson, image, workdir):
    made = Path(guest.with_init(workdir, "#!/busybox sh\n")["CAISSON_GUEST"])
    for name in ("initramfs", "vmlinux"):
        (made / name).rename(workdir / name)
        done = caisson("run", "--rm", *VM, image, "--", "true", env={"CAISSON_GUEST": str(made)})
        refused(done, f"'{made}/{name}'", "No such file", "./dev guest")
        (workdir / name).rename(made / name)


def test_an_image_for_another_processor(caisson, workdir):
    only = write_layout(workdir / "only", {"latest": Index([busybox_image(architecture="arm64")])})
    refused(caisson("run", "--rm", *VM, f"oci:{only}", "--", "true"), "linux/amd64", "linux/arm64")
    # One that lies about it: the program is an ELF file for another machine.
    program = bytearray(Path("/bin/busybox").read_bytes()[:4096])
    program[18] = 0xb7
    liar = busybox_image(Layer([file("bin/alien", bytes(program), mode=0o755)]))
    done = caisson("run", "--rm", *VM, f"oci:{write_layout(workdir / 'liar', {'latest': liar})}", "--", "/bin/alien")
    assert done.returncode == 126 and "/bin/alien" in done.error_line()


def test_the_least_memory(caisson, image):
    done = caisson("run", "--rm", "--memory", "15m", *VM, image, "--", "true")
    refused(done, "15 MiB", "less than 16", "hint")
    assert caisson("run", "--rm", "--memory", "16m", *VM, image, "--", "echo", "fits", timeout=120).stdout == "fits\n"


@pytest.mark.parametrize("with_box", [False, True])
@pytest.mark.parametrize("damage", ["memory cut off", "memory of zeros", "state cut off"])
def test_a_broken_template(caisson, image, home, damage, with_box):
    """The box starts all the same, and the next one without a word."""
    caisson("run", "--rm", *VM, image, "--", "true", check=True, timeout=120)
    [box] = [entry for entry in (home / "templates").iterdir() if entry.name.count("-") == 2]
    if not with_box:
        shutil.rmtree(box)
    template = box if with_box else of_size(box)
    name, _, kind = damage.partition(" ")
    length = own(template / name).stat().st_size
    os.truncate(template / name, length // 2 if kind == "cut off" else 0)
    if kind == "of zeros":
        os.truncate(template / name, length)
    done = caisson("run", "--rm", "--json", *VM, image, "--", "echo", "there", timeout=120).json()
    assert done["stdout"] == "there\n"
    made_anew = ("box" if with_box else "template") in [stage["name"] for stage in done["stages"]]
    assert made_anew or "template" in " ".join(done["warnings"]), done
    done = caisson("run", "--rm", "--json", *VM, image, "--", "echo", "there", timeout=120).json()
    assert done["stdout"] == "there\n" and done["warnings"] == []


@pytest.fixture
def small_disk(caisson, workdir):
    """A file system of the given size, with a home on it."""
    place = workdir / "small"
    place.mkdir()

    def make(megabytes):
        subprocess.run(["truncate", "-s", f"{megabytes}M", workdir / "disk"], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-b", "4096", workdir / "disk"], check=True)
        subprocess.run(["mount", "-o", "loop", workdir / "disk", place], check=True)
        caisson.env["CAISSON_HOME"] = str(place / "home")
        return place

    yield make
    (place / "filler").unlink(missing_ok=True)
    boxes = caisson.boxes()
    if boxes:
        caisson("rm", "-f", *boxes, check=True, timeout=60)
    subprocess.run(["umount", place], check=True)
    caisson.env["CAISSON_HOME"] = caisson.home


@pytest.mark.root_only
def test_a_full_disk_of_the_host(caisson, image, small_disk):
    """The program is told; its box and the host go on, also when there is room again."""
    place = small_disk(300)
    box = caisson.detached("sleep", "1000", source=image, options=VM, timeout=120)
    room = os.statvfs(place).f_bavail * os.statvfs(place).f_frsize
    (place / "filler").write_bytes(bytes(room - (40 << 20)))
    # What a volatile overlay writes reaches the disk when the guest likes, and so does the error.
    script = "for i in 1 2 3 4 5 6 7 8 9; do dd if=/dev/zero of=/big$i bs=1M count=20 conv=fsync || exit 1; sleep 1; done"
    done = caisson("exec", box, "--", "sh", "-c", script, timeout=100)
    assert done.returncode == 1 and "error" in done.stderr, done
    assert caisson("exec", box, "--", "echo", "alive", timeout=60).stdout == "alive\n"
    (place / "filler").unlink()
    caisson("rm", "-f", box, check=True, timeout=60)
    assert caisson("run", "--rm", *VM, image, "--", "echo", "room", timeout=120).stdout == "room\n"


@pytest.mark.root_only
def test_no_room_for_a_template(caisson, image, small_disk):
    """The box boots without one, and says why it took longer."""
    small_disk(120)
    done = caisson("run", "--rm", *VM, image, "--", "echo", "up", timeout=150)
    assert done.stdout == "up\n", done.stderr
    assert "template" in done.error_line() and "No space left" in done.error_line()


@pytest.mark.root_only
def test_no_room_for_an_archive(caisson, image, workdir, small_disk):
    """What could not be written whole is not there."""
    place = small_disk(100)
    box = caisson.detached("sleep", "1000", source=image, options=VM, timeout=120)
    caisson("exec", box, "--", "sh", "-c", "head -c 25000000 /dev/urandom > /data", check=True)
    refused(caisson("export", "-o", workdir / "w.tar", box, timeout=120), "No space left")
    assert not (workdir / "w.tar").exists() and not list((place / "home/fetch/staging").iterdir())
    assert caisson("exec", box, "--", "wc", "-c", "/data", check=True).stdout.split()[0] == "25000000"


@pytest.mark.root_only  # likewise
def test_twenty_at_once(caisson, image):
    """Each with a kernel of its own; all gone at once."""
    caisson("run", "--rm", *VM, "--memory", "96m", image, "--", "true", check=True, timeout=120)

    def start(number):
        options = ("-d", "--name", f"n{number}", *VM, "--memory", "96m")
        return caisson("run", *options, image, "--", "sleep", "1000", timeout=200)

    with ThreadPoolExecutor(20) as pool:
        assert [done.stderr for done in pool.map(start, range(20)) if done.returncode != 0] == []
    names = [f"n{number}" for number in range(20)]
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda name: caisson("exec", name, "--", "cat", "/proc/sys/kernel/random/boot_id",
                                                 timeout=100).stdout, names))
    assert len(set(ids)) == 20 and all(ids)
    machines = [machine_of(caisson, name) for name in names]
    caisson("rm", "-f", *names, check=True, timeout=120)
    assert [pid for pid in machines if Path(f"/proc/{pid}").exists()] == []
