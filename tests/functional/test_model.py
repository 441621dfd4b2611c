"""The states of boxes: random operations against a model, and against a great many kills."""

import json
import os
import random
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from support.boxes import descendants

pytestmark = pytest.mark.without_subuid

LIVE = ("running", "paused")


class Model:
    """What a box should be after each operation, and which of them are refused."""

    def __init__(self):
        self.state = "configured"
        self.snapshots = set()
        self.content = ""       # of the file that is written
        self.kept = {}          # by snapshot

    def allowed(self, operation):
        live = self.state in LIVE
        return {
            "start": not live,
            "stop": True, "kill": True, "pause": live, "resume": live,
            "exec": self.state == "running", "write": self.state != "paused",
            "rm": not live, "snapshot": True, "restore": bool(self.snapshots), "inspect": True, "diff": True,
            "wait": self.state == "stopped",
        }[operation]

    def after(self, operation):
        if operation == "start" or (operation == "restore" and self.state in LIVE):
            self.state = "running"
        elif operation in ("stop", "kill") and self.state in LIVE:
            self.state = "stopped"
        elif operation == "pause":
            self.state = "paused"
        elif operation == "resume":
            self.state = "running"


OPERATIONS = ["start", "stop", "kill", "pause", "resume", "exec", "write", "rm", "snapshot", "restore", "inspect", "diff", "wait"]


def await_settled(caisson, box):
    """`kill` returns when the signal is on its way."""
    deadline = time.monotonic() + 20
    while caisson.inspect(box)["state"] in LIVE:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("seed", range(6))
def test_random_operations_do_what_the_model_says(caisson, workdir, seed):
    chance = random.Random(seed)
    boxes = {}
    steps = []
    for step in range(70):
        if len(boxes) < 3 and (not boxes or chance.random() < 0.2):
            box = caisson("create", "host:", "sleep", "1000", check=True).stdout.strip()
            boxes[box] = Model()
            continue
        box = chance.choice(sorted(boxes))
        model = boxes[box]
        operation = chance.choice([one for one in OPERATIONS if one != "wait" or model.state not in LIVE])
        steps.append((box[-4:], model.state, operation))
        allowed = model.allowed(operation)
        if operation == "exec":
            done = caisson("exec", box, "--", "sh", "-c", "cat /workspace/f 2>/dev/null || true")
            if allowed:
                assert done.stdout == model.content, steps[-5:]
        elif operation == "write":
            (workdir / "f").write_text(f"{step}")
            done = caisson("cp", workdir / "f", f"{box}:/workspace/f")
            if allowed:
                model.content = f"{step}"
        elif operation == "snapshot":
            done = caisson("snapshot", "create", box, f"s{step}")
            model.snapshots.add(f"s{step}")
            model.kept[f"s{step}"] = model.content
        elif operation == "restore":
            name = chance.choice(sorted(model.snapshots)) if model.snapshots else "none"
            done = caisson("restore", box, name)
            if allowed:
                model.content = model.kept[name]
        elif operation == "stop":
            done = caisson("stop", "-t", "0", box)
        else:
            done = caisson(operation, box)
        assert (done.returncode == 0) == allowed, (steps[-5:], operation, done.stderr)
        if not allowed:
            assert done.error_line(), steps[-5:]
            assert box in done.stderr or "none" in done.stderr, (steps[-5:], operation, done.stderr)
        if operation == "kill" and allowed:
            await_settled(caisson, box)
        if allowed:
            model.after(operation)
        if operation == "rm" and allowed:
            del boxes[box]
            continue
        assert caisson.inspect(box)["state"] == model.state, steps[-5:]
    assert "holds" in caisson("audit", "--verify", check=True).stdout
    for box in boxes:
        caisson("rm", "-f", box, check=True)


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def shims():
    found = []
    for pid in descendants():
        try:
            if b"caisson-shim" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            pass
    return found


def test_two_hundred_boxes_among_kills(caisson, workdir):
    """Operations of many clients on 200 boxes, with clients and shims killed at any moment; then all must be well."""
    chance = random.Random(4711)
    (workdir / "f").write_text("content")
    boxes = [caisson("create", "--label", "chaos=1", "host:", "sleep", "1000", check=True).stdout.strip()
             for _ in range(200)]
    words = [
        lambda box: ("start", box), lambda box: ("start", box), lambda box: ("stop", "-t", "0", box),
        lambda box: ("pause", box), lambda box: ("resume", box), lambda box: ("exec", box, "true"),
        lambda box: ("cp", workdir / "f", f"{box}:/workspace/f"), lambda box: ("snapshot", "create", box),
        lambda box: ("fork", box), lambda box: ("rm", "-f", box), lambda box: ("rm", box), lambda box: ("diff", box),
    ]
    plan = [(chance.choice(words)(chance.choice(boxes)), chance.random(), chance.random() * 0.05) for _ in range(600)]
    lock = threading.Lock()

    def work():
        while True:
            with lock:
                if not plan:
                    return
                arguments, fate, moment = plan.pop()
            client = caisson.popen(*arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   stdin=subprocess.DEVNULL)
            if fate < 0.3:
                time.sleep(moment)
                client.kill()
            try:
                client.wait(60)
            except subprocess.TimeoutExpired:
                client.kill()
                raise
            if fate > 0.95:
                with lock:
                    running = shims()
                    if running:
                        kill(random.Random(fate).choice(running))

    errors = []

    def guarded():
        try:
            work()
        except Exception as error:  # pylint: disable=broad-except
            errors.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors

    # What a killed client began goes on for a moment; then nothing moves any more.
    deadline = time.monotonic() + 30
    while True:
        listed = [json.loads(line) for line in caisson("ps", "-a", "--json", check=True).stdout.splitlines()]
        if all(info["state"] in ("configured", "running", "paused", "stopped", "failed") for info in listed):
            break
        assert time.monotonic() < deadline, [info for info in listed if info["state"] not in LIVE]
        time.sleep(0.1)
    for info in listed:
        box = info["id"]
        if info["state"] == "paused":
            caisson("resume", box, check=True)
        if info["state"] in LIVE:
            assert caisson("exec", box, "true").returncode == 0, info
        else:
            assert "shim_pid" not in info
        if info["state"] == "failed":
            assert info["error_reason"]
        if info["state"] == "stopped":
            assert info["exit"]["reason"] in ("killed", "signaled", "lost", "exited"), info
        # Each can still be used.
    for info in chance.sample(listed, min(10, len(listed))):
        caisson("stop", "-t", "0", info["id"], check=True)
        caisson("start", info["id"], check=True)
        caisson("cp", f"{info['id']}:/etc/passwd", workdir / "p", check=True)
    assert "holds" in caisson("audit", "--verify", check=True).stdout
    for box in caisson.boxes():
        caisson("rm", "-f", box, check=True)
    caisson("prune", "--boxes", check=True)  # a start that was killed beside a removal may leave a directory
    assert not list(Path(caisson.home).glob("boxes/*"))


def test_twenty_clients_on_one_home(caisson):
    """Each sees its own boxes right, whatever the others do."""
    failures = []

    def client(number):
        for turn in range(3):
            done = caisson("run", "--rm", "--name", f"c{number}-{turn}", "host:", "echo", f"{number}-{turn}", timeout=120)
            if (done.returncode, done.stdout) != (0, f"{number}-{turn}\n"):
                failures.append((done.returncode, done.stdout, done.stderr))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert caisson.boxes() == []
    assert "holds" in caisson("audit", "--verify", check=True).stdout
