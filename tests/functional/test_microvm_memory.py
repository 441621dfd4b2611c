"""What a microVM goes on from: templates, snapshots with memory, forks of running ones, hibernation."""

import hashlib
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from support.images import Layer, busybox_image, file, link, write_layout
from support.microvm import NEEDS_GUEST, VM, machine_of, of_size, own
from support.microvm import box, folder, image  # noqa: F401: fixtures

pytestmark = NEEDS_GUEST


COUNT = "i=0; while :; do i=$((i+1)); echo $i > /count; echo $i; sleep 0.2; done"


@pytest.fixture
def counter(caisson, image):
    """A box that counts, in a file and on its output."""
    running = caisson.detached("sh", "-c", COUNT, source=image, options=(*VM, "--memory", "96m"))
    until(lambda: count_of(caisson, running) >= 3)
    yield running
    caisson("rm", "-f", running, check=True)


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.1)


def count_of(caisson, box):
    """There is a moment in which the file is empty."""
    for _ in range(100):
        text = caisson("exec", box, "--", "cat", "/count", timeout=60).stdout.strip()
        if text:
            return int(text)
        time.sleep(0.1)
    raise AssertionError("it does not count")


def test_forks_go_on_where_it_was(caisson, counter):
    """The processes of a running machine go on in each fork, which have nothing random in common."""
    before = count_of(caisson, counter)
    forks = caisson("fork", "-n", "2", counter, check=True, timeout=60).stdout.split()
    after = count_of(caisson, counter)
    try:
        drawn, named = set(), set()
        for fork in forks:
            assert caisson.inspect(fork)["state"] == "running", "as its parent does"
            assert before <= count_of(caisson, fork) < after + 25, "it began where its parent was"
            drawn.add(caisson("exec", fork, "--", "head", "-c", "16", "/dev/urandom", check=True, text=False).stdout)
            named.add(caisson("exec", fork, "--", "uname", "-n", check=True).stdout)
        first = [count_of(caisson, box) for box in (counter, *forks)]
        time.sleep(1)
        assert all(count_of(caisson, box) > was for box, was in zip((counter, *forks), first, strict=True)), "all go on"
        assert len(drawn) == 2 and len(named) == 2
        caisson("exec", forks[0], "--", "sh", "-c", "echo mine > /mine", check=True)
        assert caisson("exec", forks[1], "--", "cat", "/mine").returncode != 0
        memory = [line for fork in forks for line in
                  Path(f"/proc/{machine_of(caisson, fork)}/maps").read_text().splitlines() if "/layers/" in line]
        assert len({line.split()[4] for line in memory}) == 1, "they share one file"
        assert all(line.split()[1] == "rw-p" for line in memory)
    finally:
        caisson("rm", "-f", *forks, check=True)


def test_hibernate(caisson, counter):
    caisson("exec", counter, "--", "sh", "-c", "sleep 1000 & echo $! > /sleeper", check=True)
    sleeper = caisson("exec", counter, "--", "cat", "/sleeper", check=True).stdout.strip()
    before = count_of(caisson, counter)
    qemu = machine_of(caisson, counter)
    caisson("hibernate", counter, check=True, timeout=60)
    assert not Path(f"/proc/{qemu}").exists()
    info = caisson.inspect(counter)
    assert info["state"] == "stopped" and info["exit"]["reason"] == "hibernated", info
    caisson("resume", counter, check=True, timeout=60)
    after = count_of(caisson, counter)
    assert before <= after < before + 100
    assert caisson("exec", counter, "--", "sh", "-c", f"kill -0 {sleeper}").returncode == 0, "so does what an exec left"
    until(lambda: count_of(caisson, counter) > after)
    lines = caisson("logs", counter, check=True).stdout.split()
    numbers = [int(line) for line in lines]
    assert numbers == list(range(1, len(numbers) + 1)), "no line is lost at the seam, none is there twice"
    date = caisson("exec", counter, "--", "sh", "-c", "busybox date +%s", check=True).stdout
    assert abs(int(date) - time.time()) < 10
    # Twice, and with another hand.
    caisson("hibernate", counter, check=True, timeout=60)
    caisson("start", counter, check=True, timeout=60)
    assert count_of(caisson, counter) >= after


def test_a_snapshot_with_memory(caisson, counter):
    until(lambda: count_of(caisson, counter) >= 25)
    caisson("snapshot", "create", "--memory", counter, "s", check=True, timeout=60)
    at = count_of(caisson, counter)
    until(lambda: count_of(caisson, counter) > at + 60, 60)
    caisson("restore", counter, "s", check=True, timeout=60)
    assert count_of(caisson, counter) < at + 60, "it went back"
    # A second start has no memory to go on from: its main process begins anew, on the disk as it is.
    caisson("stop", "-t", "0", counter, check=True, timeout=60)
    caisson("start", counter, check=True, timeout=60)
    until(lambda: 0 < count_of(caisson, counter) < 20)


def test_an_exec_goes_on_and_others_come(caisson, counter):
    """The numbers of processes from before are not given again."""
    with caisson.popen("exec", counter, "--", "sh", "-c", "while :; do echo x >> /more; sleep 0.2; done",
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
        until(lambda: caisson("exec", counter, "--", "cat", "/more").stdout)
        caisson("hibernate", counter, check=True, timeout=60)
        client.wait(20)
    caisson("start", counter, check=True, timeout=60)
    assert caisson("exec", counter, "--", "echo", "mine", timeout=30).stdout == "mine\n"
    before = caisson("exec", counter, "--", "cat", "/more", timeout=30).stdout
    until(lambda: len(caisson("exec", counter, "--", "cat", "/more", timeout=30).stdout) > len(before))


def test_a_paused_box_stays_paused(caisson, counter):
    caisson("pause", counter, check=True)
    caisson("snapshot", "create", "--memory", counter, "s", check=True, timeout=60)
    assert caisson.inspect(counter)["state"] == "paused"
    assert caisson("exec", counter, "--", "true").returncode == 125
    caisson("resume", counter, check=True)
    assert count_of(caisson, counter) > 0


def test_snapshots_and_forks_of_files(caisson, box):
    caisson("exec", box, "--", "sh", "-c", "echo one > /file", check=True)
    caisson("snapshot", "create", box, "s", check=True, timeout=60)
    caisson("exec", box, "--", "sh", "-c", "echo two > /file", check=True)
    caisson("stop", "-t", "0", box, check=True, timeout=60)
    [fork] = caisson("fork", box, check=True, timeout=60).stdout.split()
    [old] = caisson("fork", "--snapshot", "s", box, check=True, timeout=60).stdout.split()
    caisson("start", fork, old, box, check=True, timeout=120)
    assert [caisson("exec", name, "--", "cat", "/file").stdout for name in (fork, old, box)] == ["two\n", "one\n", "two\n"]
    caisson("restore", box, "s", check=True, timeout=60)
    assert caisson("exec", box, "--", "cat", "/file").stdout == "one\n"
    caisson("rm", "-f", fork, old, check=True)


def test_what_cannot_be_saved(caisson, image, folder, box):
    shows = caisson.detached("sleep", "1000", source=image, options=(*VM, "-v", f"{folder}:/w"))
    for command in ("hibernate", shows), ("snapshot", "create", "--memory", shows):
        done = caisson(*command, timeout=60)
        assert done.returncode != 0 and "files of the host" in done.error_line(), done.stderr
    assert caisson("exec", shows, "--", "cat", "/w/file", timeout=60).stdout == "of the host\n", "it goes on"
    caisson("rm", "-f", shows, check=True)
    caisson("stop", "-t", "0", box, check=True)
    assert "does not run" in caisson("snapshot", "create", "--memory", box).error_line()


@pytest.mark.parametrize("name", ["memory", "state", "machine"])
def test_memory_that_is_not_whole(caisson, counter, home, name):
    """The box is told why it does not go on, and boots at the next start."""
    caisson("hibernate", counter, check=True, timeout=60)
    [file] = home.glob(f"layers/*/{name}")
    os.truncate(file, 100)
    done = caisson("start", counter, timeout=60)
    assert done.returncode != 0 and "go on from memory" in done.error_line()
    assert caisson("cp", f"{counter}:/count", "-", timeout=120).returncode == 0
    caisson("start", counter, check=True, timeout=60)
    assert count_of(caisson, counter) > 0


def stages_of(caisson, image, *words):
    done = caisson("run", "--rm", "--json", *VM, *words, image, "--", "sh", "-c",
                   "head -c 16 /dev/urandom | od -An -tx1; cat /proc/sys/kernel/random/boot_id; date +%s",
                   timeout=120)
    document = done.json()
    assert document["exit_code"] == 0, document
    return [stage["name"] for stage in document["stages"]], document["stdout"].splitlines(), document["warnings"]


def templates(home, with_box):
    """What stages say of them: `template` is that of a size; `box` is missing where one with a box was there."""
    return [entry for entry in (home / "templates").iterdir() if (entry.name.count("-") == 2) == with_box]


@pytest.mark.warm(False)
def test_a_template_is_made_once(caisson, image, home):
    """What goes on from it has nothing random in common, and the right time."""
    first, one, _ = stages_of(caisson, image)
    second, two, warnings = stages_of(caisson, image, "-e", "A=b", "-w", "/tmp", "--name", "other")
    assert {"template", "box"} <= {*first} and not {"template", "box"} & {*second} and not warnings
    assert one[0] != two[0] and one[1] != two[1], "two machines of one template draw the same"
    assert abs(int(two[2]) - time.time()) < 10
    for with_box in False, True:
        [template] = templates(home, with_box)
        assert template.stat().st_mode & 0o077 == 0
    for words in ("-u", "1000"), ("--tmpfs", "/t"), ("--disk", "1g"), ("--cap-drop", "ALL"):
        third, _, _ = stages_of(caisson, image, *words)
        assert "template" not in third and "box" in third, "a box of another kind, in a machine of the same size"
    other, _, _ = stages_of(caisson, image, "--memory", "64m")
    assert "template" in other, "of another size"


@pytest.mark.warm(False)
def test_a_template_keeps_no_secret(caisson, image, home):
    """What one box is told for its programs no other machine has in its memory."""
    words = ("-e", "TOKEN=needle4711", "-l", "of=needle4712", "--name", "needle4713")
    caisson("run", "--rm", *VM, *words, image, "--", "sh", "-c", "echo needle4714", check=True, timeout=120)
    for with_box in False, True:
        [template] = templates(home, with_box)
        assert b"needle47" not in (template / "memory").read_bytes()


@pytest.mark.warm(False)
def test_few_templates_have_a_box(caisson, image, home):
    """Those that were not used for the longest time go."""
    stages_of(caisson, image)
    [first] = templates(home, True)
    for number in range(1, 9):
        stages_of(caisson, image, "-u", str(number))
    kept = templates(home, True)
    assert len(kept) == 8 and first not in kept
    assert len(templates(home, False)) == 1


def test_copies_of_a_box_differ(caisson, workdir):
    """Boxes of one template have an identity and files of their own."""
    source = f"oci:{workdir}/named"
    write_layout(workdir / "named", {"latest": busybox_image(
        Layer([link("bin/uname", "busybox"), file("etc/machine-id", b"0" * 32 + b"\n")]))})
    seen = []
    for _ in range(3):
        box = caisson.detached("sleep", "1000", source=source, options=VM)
        try:
            said = caisson("exec", box, "--", "sh", "-c", "uname -n; cat /etc/machine-id; ls -A /new 2>&1; "
                           "head -c 16 /dev/urandom | od -An -tx1; echo x > /new", check=True).stdout.splitlines()
            assert "No such file" in said[2], "a file of another box"
            seen.append((said[0], said[1], said[3]))
            assert len(said[1]) == 32
        finally:
            caisson("rm", "-f", box, check=True)
    for i in range(3):
        assert len({one[i] for one in seen}) == 3, seen
    assert caisson("run", "--rm", *VM, "--hostname", "mine", source, "--", "uname", "-n").stdout == "mine\n"
    assert caisson("run", "--rm", *VM, "--hostname", "yours", source, "--", "uname", "-n").stdout == "yours\n"


@pytest.mark.parametrize("damage", [b"", b"no state of any machine"])
def test_a_broken_template(caisson, image, home, damage):
    """An empty one is none. With another the machine does not go on; a later start makes it anew."""
    stages_of(caisson, image)
    [box] = templates(home, True)
    shutil.rmtree(box)
    own(of_size(box) / "state").write_bytes(damage)
    stages, _, warnings = stages_of(caisson, image)
    assert bool(warnings) == bool(damage) and ("template" in stages) == (not damage)
    stages, _, warnings = stages_of(caisson, image, "-u", "7")
    assert not warnings and ("template" in stages) == bool(damage)
    assert "template" not in stages_of(caisson, image, "-u", "8")[0]


@pytest.mark.parametrize("damage", [("state", b""), ("state", b"no state of any machine"), ("started", b"{}"),
                                    ("disk.qcow2", b"no disk")])
def test_a_broken_template_with_a_box(caisson, image, home, damage):
    stages_of(caisson, image)
    name, content = damage
    (templates(home, True)[0] / name).write_bytes(content)
    stages, _, warnings = stages_of(caisson, image)
    assert "box" in stages and bool(warnings) == bool(content)
    stages, _, warnings = stages_of(caisson, image)
    assert "box" not in stages and not warnings


def test_a_template_is_not_the_boxes_to_write(caisson, image, home):
    """A machine changes its copy of the memory, whatever it does."""
    stages_of(caisson, image)
    [template] = templates(home, True)
    before = hashlib.sha256((template / "memory").read_bytes()).digest()
    box = caisson.detached("sleep", "1000", source=image, options=VM)
    try:
        qemu = machine_of(caisson, box)
        maps = [line for line in Path(f"/proc/{qemu}/maps").read_text().splitlines() if str(template) in line]
        assert maps and all(line.split()[1] == "rw-p" for line in maps), maps
        for descriptor in Path(f"/proc/{qemu}/fd").iterdir():
            if str(template) in os.readlink(descriptor):
                flags = Path(f"/proc/{qemu}/fdinfo/{descriptor.name}").read_text()
                assert int(re.search(r"flags:\s*(\d+)", flags)[1], 8) & os.O_ACCMODE == os.O_RDONLY
        caisson("exec", box, "--", "sh", "-c", "head -c 30000000 /dev/zero > /tmp/x", check=True)
    finally:
        caisson("rm", "-f", box, check=True)
    assert hashlib.sha256((template / "memory").read_bytes()).digest() == before
