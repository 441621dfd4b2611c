"""Snapshots, restoring, forks, differences: of boxes that run and that do not."""

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.boxes import await_log, await_state
from support.images import Layer, busybox_image, file, write_layout

pytestmark = pytest.mark.without_subuid

FILL = """
cd /workspace
echo one > f; mkdir -p d/e; echo deep > d/e/x; ln -s f l; ln f h; mkfifo p; chmod 4755 f
truncate -s 1M sparse; touch -d 2001-02-03 old; : > empty
"""
LOOK = "cd /workspace; ls -lR --time-style=+%s . | grep -v '^total'; cat f d/e/x"


def sh(caisson, box, script, **options):
    done = caisson("exec", box, "--", "sh", "-c", script, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def layers(caisson):
    """Those that boxes wrote, not the images'."""
    return sorted(path.name for path in Path(caisson.home).glob("layers/*") if len(path.name) < 64)


@pytest.fixture(params=["runs", "stopped"])
def pair(request, caisson):
    """A box whose command is `sleep`, and functions that bring it into the state under test, and back."""
    box = caisson.detached("sleep", "1000", options=("--name", "w"))

    def settle():
        if request.param == "stopped":
            caisson("stop", "-t", "0", box, check=True)

    def wake():
        if caisson.inspect(box)["state"] != "running":
            caisson("start", box, check=True)
    return box, settle, wake


def test_restore_brings_everything_back(caisson, pair):
    box, settle, wake = pair
    sh(caisson, box, FILL)
    before = sh(caisson, box, LOOK)
    settle()
    assert caisson("snapshot", "create", "-m", "a note", "w", "s1", check=True).stdout == "s1\n"
    wake()
    assert sh(caisson, box, LOOK) == before, "a snapshot changes nothing"
    sh(caisson, box, "cd /workspace; rm -r d l h; echo two > f; mkdir l; echo new > l/n")
    settle()
    caisson("restore", "w", "s1", check=True)
    wake()
    assert sh(caisson, box, LOOK) == before
    assert caisson.inspect(box)["state"] == "running"
    listed = json.loads(caisson("snapshot", "ls", "--json", "w").stdout)
    assert (listed["name"], listed["note"], listed["box_id"]) == ("s1", "a note", box)
    assert listed["bytes"] > 0
    assert json.loads(caisson("snapshot", "inspect", "w", "s1").stdout) == listed
    # As often as one likes.
    sh(caisson, box, "rm -r /workspace/d")
    settle()
    caisson("restore", "w", listed["id"], check=True)
    wake()
    assert sh(caisson, box, LOOK) == before
    caisson("rm", "-f", box, check=True)
    assert layers(caisson) == []


def test_forks_go_their_own_ways(caisson, pair):
    box, settle, wake = pair
    sh(caisson, box, FILL)
    settle()
    running = caisson.inspect(box)["state"] == "running"
    ids = caisson("fork", "--count", "3", "w", check=True).stdout.split()
    assert len(ids) == 3 and len(set(ids) | {box}) == 4
    for fork in ids:
        info = caisson.inspect(fork)
        assert info["state"] == ("running" if running else "configured")
        assert info["name"] == "" and info["spec"]["command"] == ["sleep", "1000"]
        if not running:
            caisson("start", fork, check=True)
        assert sh(caisson, fork, "cat /workspace/f; stat -c %h /workspace/h") == "one\n2\n"
        # Writing to a file of a layer below separates its names, as overlayfs has it.
        sh(caisson, fork, f"echo {fork} > /workspace/f; rm -r /workspace/d")
    wake()
    assert [sh(caisson, each, "cat /workspace/f") for each in [*ids, box]] == [*(f"{each}\n" for each in ids), "one\n"]
    assert sh(caisson, box, "cat /workspace/d/e/x") == "deep\n"
    caisson("rm", "-f", box, check=True)
    assert sh(caisson, ids[0], "cat /workspace/f") == f"{ids[0]}\n", "it does not need what it came from"
    # A fork of a fork of a fork.
    last = ids[0]
    for generation in range(4):
        sh(caisson, last, f"echo {generation} > /workspace/g{generation}")
        last = caisson("fork", last, check=True).stdout.strip()
    assert sh(caisson, last, "cd /workspace; cat g0 g1 g2 g3") == "0\n1\n2\n3\n"
    caisson("rm", "-f", *caisson.boxes(), check=True)
    assert layers(caisson) == []


def test_what_was_deleted_stays_deleted(caisson, workdir):
    image = busybox_image(Layer([file("etc/keep", "k"), file("dir/a", "a"), file("dir/b", "b"), file("gone", "g")]))
    source = f"oci:{write_layout(workdir / 'l', {'latest': image})}"
    for strategy in ("overlay", "merged"):
        box = caisson("run", "-d", "--rootfs", strategy, source, "sleep", "1000", check=True).stdout.strip()
        sh(caisson, box, "rm /gone /dir/a; rm -r /dir; mkdir /dir; echo c > /dir/c; echo more >> /etc/keep")
        look = "ls /dir; cat /etc/keep; ls /gone 2>&1 | grep -c such"
        before = sh(caisson, box, look)
        caisson("snapshot", "create", box, "s", check=True)
        fork = caisson("fork", box, check=True).stdout.strip()
        assert sh(caisson, fork, look) == before, strategy
        sh(caisson, box, "rm -r /dir; echo back > /gone")
        assert {"A /gone", "D /dir"} <= set(caisson("diff", "--since", "s", box).stdout.splitlines())
        caisson("restore", box, "s", check=True)
        assert sh(caisson, box, look) == before, strategy
        changes = caisson("diff", box, check=True).stdout.splitlines()
        assert {"D /gone", "A /dir/c", "D /dir/a", "D /dir/b", "C /etc/keep"} <= set(changes), strategy
        assert not [line for line in changes if "/bin" in line], "what nobody touched"
        assert caisson("diff", "--since", "s", box, check=True).stdout == ""
        caisson("rm", "-f", box, fork, check=True)
    assert [name for name in layers(caisson) if len(name) == 26] == []


def test_fork_from_a_snapshot(caisson):
    box = caisson.detached("sleep", "1000")
    sh(caisson, box, "echo 1 > /workspace/f")
    name = caisson("snapshot", "create", box, check=True).stdout.strip()
    sh(caisson, box, "echo 2 > /workspace/f")
    fork = caisson("fork", "--no-start", "--snapshot", name, box, check=True).stdout.strip()
    assert caisson.inspect(fork)["state"] == "configured"
    caisson("start", fork, check=True)
    assert sh(caisson, fork, "cat /workspace/f") == "1\n"
    caisson("snapshot", "rm", box, name, check=True)
    assert sh(caisson, fork, "cat /workspace/f") == "1\n"
    caisson("rm", "-f", box, fork, check=True)
    assert layers(caisson) == []


def test_a_box_that_was_never_started(caisson):
    box = caisson("create", "host:", "cat", "/workspace/f", check=True).stdout.strip()
    caisson("snapshot", "create", box, "s", check=True)
    fork = caisson("fork", box, check=True).stdout.strip()
    caisson("restore", box, "s", check=True)
    assert caisson("start", "-a", fork).returncode == 1, "there is no such file"
    assert caisson("diff", box, check=True).stdout == ""
    caisson("rm", box, fork, check=True)


# --- what is refused ----------------------------------------------------------------------------

def test_bad_input(caisson):
    box = caisson.detached("sleep", "1000", options=("--name", "w"))
    other = caisson("create", "--name", "o", "host:", "true", check=True).stdout.strip()
    caisson("snapshot", "create", "w", "s1", check=True)
    for words, text in ((("snapshot", "create", "w", "s1"), "one of this name"),
                        (("snapshot", "create", "w", "../x"), "not a valid name"),
                        (("snapshot", "create", "w", "a/b"), "not a valid name"),
                        (("snapshot", "create", "nobody", "x"), "no box"),
                        (("restore", "w", "s2"), "s1"),
                        (("restore", "o", "s1"), box),
                        (("restore", "w"), "SNAPSHOT is missing"),
                        (("snapshot", "inspect", "o", "s1"), box),
                        (("snapshot", "rm", "w", "nothing"), "there is none"),
                        (("fork", "--count", "0", "w"), "1 to 1000"),
                        (("fork", "--count", "1001", "w"), "1000"),
                        (("fork", "--count", "x", "w"), "number"),
                        (("fork", "--snapshot", "s2", "w"), "there is none"),
                        (("diff", "--since", "s2", "w"), "there is none"),
                        (("snapshot", "crate", "w"), "create")):
        done = caisson(*words)
        assert done.returncode != 0, words
        assert text in done.error_line(), done.stderr
    assert caisson("snapshot", "ls", "-q", "w").stdout == "s1\n"
    assert caisson.inspect(box)["state"] == "running"
    assert len(caisson.boxes()) == 2
    caisson("rm", "-f", box, other, check=True)


def test_a_box_that_goes_with_its_end_is_not_restored(caisson):
    box = caisson.detached("sleep", "1000", options=("--rm",))
    caisson("snapshot", "create", box, "s", check=True)
    done = caisson("restore", box, "s")
    assert done.returncode == 125 and "fork" in done.error_line()
    assert caisson.inspect(box)["state"] == "running"
    caisson("rm", "-f", box, check=True)


def test_the_disk_limit_counts_what_was_written_before(caisson):
    box = caisson.detached("sleep", "1000", options=("--disk", "20m"))
    sh(caisson, box, "head -c 12M /dev/urandom > /workspace/a")
    caisson("stop", "-t", "0", box, check=True)
    caisson("snapshot", "create", box, "s", check=True)
    caisson("start", box, check=True)
    caisson("exec", box, "--", "sh", "-c", "head -c 12M /dev/urandom > /workspace/b; sleep 5")
    assert await_state(caisson, box, "stopped")["exit"]["reason"] == "disk_full"
    caisson("rm", "-f", box, check=True)


# --- crashes and concurrency --------------------------------------------------------------------

def test_a_half_made_seal_is_undone(caisson):
    """The writable layer has been moved away, and the process that did it died."""
    box = caisson.detached("sleep", "1000")
    sh(caisson, box, "echo kept > /workspace/f")
    caisson("stop", "-t", "0", box, check=True)
    upper = Path(caisson.home) / "boxes" / box / "upper"
    (Path(caisson.home) / "layers").mkdir(exist_ok=True)
    upper.rename(Path(caisson.home) / "layers" / box)
    caisson("image", "prune", "-a", "--grace", "0s", check=True)
    caisson("start", box, check=True)
    assert sh(caisson, box, "cat /workspace/f") == "kept\n"
    caisson("rm", "-f", box, check=True)
    assert layers(caisson) == []


@pytest.mark.seconds(180)
def test_killed_at_any_moment(caisson):
    """The box goes on, its files are old or new, and what was half made goes with prune."""
    box = caisson.detached("sleep", "1000")
    sh(caisson, box, "head -c 3M /dev/urandom > /workspace/data; echo 0 > /workspace/f; mkdir /workspace/d;"
                     "for i in $(seq 200); do echo $i > /workspace/d/$i; done")
    caisson("snapshot", "create", box, "s0", check=True)
    for step in range(12):
        sh(caisson, box, f"echo {step} > /workspace/f")
        command = [("snapshot", "create", box), ("restore", box, "s0"), ("fork", "--no-start", box)][step % 3]
        process = caisson.popen(*command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(step * 0.002)
        process.kill()
        process.wait(timeout=10)
        info = await_state(caisson, box, "running", "stopped", "failed")
        if info["state"] != "running":
            caisson("start", box, check=True)
        assert sh(caisson, box, "cat /workspace/f; ls /workspace/d | wc -l") in (f"{step}\n200\n", "0\n200\n")
    assert sh(caisson, box, "wc -c < /workspace/data") == f"{3 << 20}\n"
    caisson("rm", "-f", *caisson.boxes(), check=True)
    caisson("image", "prune", "-a", "--grace", "0s", check=True)
    assert layers(caisson) == []


def test_a_holder_that_dies_lets_the_box_go_on(caisson):
    """Execs wait for a snapshot, and do not fail."""
    box = caisson.detached("sleep", "1000")
    sh(caisson, box, "head -c 60M /dev/urandom > /workspace/data")
    process = caisson.popen("snapshot", "create", box, "s", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    time.sleep(0.01)
    assert sh(caisson, box, "echo fine") == "fine\n"
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=10)
    assert sh(caisson, box, "echo fine") == "fine\n"
    caisson("rm", "-f", box, check=True)
    caisson("image", "prune", "-a", "--grace", "0s", check=True)


def test_many_at_once(caisson):
    box = caisson.detached("sh", "-c", "echo up; i=0; while :; do i=$((i+1)); echo $i > /workspace/a; "
                                       "cp /workspace/a /workspace/b; done")
    await_log(caisson, box, "up")
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda n: caisson("snapshot", "create", box, f"s{n}") if n % 2 else
                             caisson("fork", "--no-start", box), range(12)))
    assert [done.stderr for done in made if done.returncode != 0] == []
    assert len(caisson("snapshot", "ls", "-q", box).stdout.split()) == 6
    assert caisson.inspect(box)["state"] == "running"
    caisson("rm", "-f", *caisson.boxes(), check=True)
    assert layers(caisson) == []


def test_start_and_snapshot_at_the_same_time(caisson):
    """Whoever comes second sees what the first has made of the box."""
    box = caisson.detached("sleep", "1000")
    for step in range(8):
        sh(caisson, box, f"echo {step} > /workspace/f")
        caisson("stop", "-t", "0", box, check=True)
        with ThreadPoolExecutor(3) as pool:
            done = list(pool.map(lambda words: caisson(*words), [
                ("snapshot", "create", box, f"s{step}"), ("start", box), ("fork", "--no-start", box)]))
        assert done[1].returncode == 0 or "starting" in done[1].stderr, done[1].stderr
        assert done[0].returncode == 0, done[0].stderr
        if caisson.inspect(box)["state"] != "running":
            caisson("start", box, check=True)
        assert sh(caisson, box, "cat /workspace/f") == f"{step}\n"
    for step in (0, 7):
        caisson("restore", box, f"s{step}", check=True)
        assert sh(caisson, box, "cat /workspace/f") == f"{step}\n"
    caisson("rm", "-f", *caisson.boxes(), check=True)
    assert layers(caisson) == []


def test_restore_of_a_snapshot_that_is_removed(caisson):
    """Either one; the box has its files in any case."""
    box = caisson.detached("sleep", "1000")
    for step in range(6):
        sh(caisson, box, "echo kept > /workspace/f")
        caisson("snapshot", "create", box, "s", check=True)
        with ThreadPoolExecutor(2) as pool:
            restored, removed = pool.map(lambda words: caisson(*words), [("restore", box, "s"), ("snapshot", "rm", box, "s")])
        assert removed.returncode == 0, removed.stderr
        if caisson.inspect(box)["state"] != "running":
            assert restored.returncode != 0
            caisson("start", box, check=True)
        assert sh(caisson, box, "cat /workspace/f") == "kept\n", step
    caisson("rm", "-f", box, check=True)
    assert layers(caisson) == []


def test_execs_that_wait_for_a_snapshot_are_not_forgotten(caisson):
    """Also when somebody pauses, resumes or signals the box meanwhile."""
    box = caisson.detached("sleep", "1000")
    sh(caisson, box, "head -c 100M /dev/urandom > /workspace/data")
    for word in ("pause", "resume"):
        snapshot = caisson.popen("snapshot", "create", box, f"s-{word}", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        with ThreadPoolExecutor(4) as pool:
            waiting = [pool.submit(caisson, "exec", box, "--", "echo", "here") for _ in range(3)]
            caisson(word, box, check=True)
            assert snapshot.wait(timeout=60) == 0
            caisson("resume", box, check=True)  # an exec that was under way was paused with the box
            results = [future.result(timeout=60) for future in waiting]
        for done in results:
            assert done.stdout == "here\n" or "paused" in done.error_line(), done.stderr
    assert sh(caisson, box, "echo on") == "on\n"
    caisson("rm", "-f", box, check=True)


def test_snapshots_of_one_box_do_not_pile_up_layers(caisson):
    box = caisson.detached("sleep", "1000")
    for step in range(70):
        if step % 2:
            sh(caisson, box, f"echo {step} > /workspace/f{step}")
        caisson("stop", "-t", "0", box, check=True)
        caisson("snapshot", "create", box, f"s{step}", check=True)
        caisson("start", box, check=True)
    assert sh(caisson, box, "ls /workspace | wc -l") == "35\n"
    caisson("restore", box, "s11", check=True)
    assert sh(caisson, box, "ls /workspace | wc -l") == "6\n"
    caisson("rm", "-f", box, check=True)
    assert layers(caisson) == []


# --- file systems -------------------------------------------------------------------------------

@pytest.mark.root_only
@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "tmpfs"])
def test_file_systems(caisson, workdir, kind):
    """Copies share blocks where the file system can; a full one leaves everything as it was."""
    image, mount = workdir / "disk", workdir / "mount"
    mount.mkdir()
    if kind == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400M", "tmpfs", mount], check=True)
    else:
        subprocess.run(["truncate", "-s", "400M", image], check=True)
        subprocess.run([f"mkfs.{kind}", "-q", image], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    env = {"CAISSON_HOME": str(mount / "home")}
    try:
        box = caisson("run", "-d", "host:", "sleep", "1000", env=env, check=True).stdout.strip()
        caisson("exec", box, "--", "sh", "-c", "head -c 120M /dev/urandom > /workspace/data; sync", env=env, check=True)
        made = [caisson("snapshot", "create", box, f"s{n}", env=env) for n in range(4)]
        if kind in ("ext4", "tmpfs"):
            failed = [done for done in made if done.returncode != 0]
            assert failed and "No space left" in failed[0].error_line()
            assert not list((mount / "home/layers").glob("*.partial"))
            made = [done for done in made if done.returncode == 0]
        assert all(done.returncode == 0 for done in made), "four copies of 120 MB fit when they share blocks"
        kept = caisson("snapshot", "ls", "-q", box, env=env, check=True).stdout.split()
        assert len(kept) == len(made)
        assert caisson("exec", box, "--", "wc", "-c", "/workspace/data", env=env).stdout.split()[0] == str(120 << 20)
        caisson("restore", box, kept[0], env=env, check=True)
        assert caisson("exec", box, "--", "wc", "-c", "/workspace/data", env=env).stdout.split()[0] == str(120 << 20)
        caisson("rm", "-f", box, env=env, check=True)
        assert os.listdir(mount / "home/layers") == []
    finally:
        boxes = caisson("ps", "-aq", env=env).stdout.split()
        if boxes:
            caisson("rm", "-f", *boxes, env=env)
        subprocess.run(["umount", "-l", mount], check=True)
