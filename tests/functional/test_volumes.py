"""Named volumes: made, used by boxes, removed."""

import json
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.boxes import refused

pytestmark = [pytest.mark.without_subuid, pytest.mark.usefixtures("nothing_stays", "no_volume_stays")]

HOSTILE = ["../x", "a/b", "/a", "..", ".", "", "x" * 200, "-x", "a\nb", ".x", "é", "a b"]


@pytest.fixture
def no_volume_stays(caisson):
    """In the end boxes and then volumes go, and with them every directory, whosever the files are."""
    yield
    if not os.path.exists(caisson.home):
        return
    boxes = caisson.boxes()
    if boxes:
        caisson("rm", "-f", *boxes, check=True)
    caisson("volume", "prune", check=True)
    assert directories(caisson) == []
    assert names(caisson) == []


def names(caisson):
    return caisson("volume", "ls", "-q", check=True).stdout.split()


def directories(caisson):
    return sorted(path.name for path in Path(caisson.home).glob("volumes/*"))


def inspect(caisson, name):
    return json.loads(caisson("volume", "inspect", name, check=True).stdout)


def test_from_create_to_prune(caisson):
    assert names(caisson) == []
    assert caisson("volume", "create", "--label", "a=b", "-l", "c", "data", check=True).stdout == "data\n"
    info = inspect(caisson, "data")
    assert (info["name"], info["labels"], info["used_by"]) == ("data", {"a": "b", "c": ""}, [])
    assert "size_bytes" not in info
    place = Path(info["path"])
    assert place.is_dir() and place.stat().st_mode & 0o7777 == 0o755 and place.stat().st_uid == os.geteuid()
    made = json.loads(caisson("volume", "create", "--json", check=True).stdout)
    assert len(made["name"]) == 26, "a name of its own"
    assert json.loads(caisson("volume", "ls", "--json", check=True).stdout.splitlines()[-1]) == info
    assert caisson("volume", "ls").stdout.splitlines()[-1].split()[0] == "data"
    several = caisson("volume", "inspect", "data", made["name"]).stdout.splitlines()
    assert [json.loads(line)["name"] for line in several] == ["data", made["name"]]
    refused(caisson("volume", "create", "data"), "'data'", "there is one of this name")
    done = caisson("volume", "rm", "none", made["name"])
    assert (done.returncode, done.stdout) == (1, made["name"] + "\n") and "'none'" in done.error_line()
    done = caisson("volume", "rm", "-f", "none")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert caisson("volume", "inspect", "none").returncode == 1
    assert caisson("volume", "prune", "--grace", "1h", check=True).stdout == ""
    assert caisson("volume", "prune", check=True).stdout == "data\n"
    assert caisson("volume", "prune", "--json", check=True).json() == {"deleted": []}
    assert not place.exists()
    events = [json.loads(line)["event"] for line in caisson("audit", check=True).stdout.splitlines()]
    assert events == ["volume_created"] * 2 + ["volume_removed"] * 2


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(caisson, name):
    done = caisson("volume", "create", "--", name)
    assert done.returncode == 125 and done.error_line()
    assert caisson("volume", "rm", "--", name).returncode == 1
    assert caisson("volume", "inspect", "--", name).returncode == 1
    assert caisson("create", f"--mount=type=volume,source={name},target=/x", "host:", "true").returncode == 125
    assert names(caisson) == [] and directories(caisson) == [] and caisson.boxes() == []


def test_boxes_share_what_they_write(caisson):
    first = caisson.detached("sleep", "1000", options=("-v", "data:/data"))
    second = caisson.detached("sleep", "1000", options=("--mount", "type=volume,source=data,target=/other"))
    for box, path, text in ((first, "/data/f", "one"), (second, "/other/g", "two")):
        caisson("exec", box, "--", "sh", "-c", f"echo {text} > {path}", check=True)
    assert caisson("exec", first, "--", "cat", "/data/f", "/data/g", check=True).stdout == "one\ntwo\n"
    assert caisson("exec", second, "--", "cat", "/other/f", "/other/g", check=True).stdout == "one\ntwo\n"
    assert sorted(inspect(caisson, "data")["used_by"]) == sorted([first, second])
    # Neither a fork nor a restart loses it.
    fork = caisson("fork", first, check=True).stdout.strip()
    caisson("exec", fork, "--", "sh", "-c", "echo three > /data/h", check=True)
    caisson("stop", "-t", "0", first, check=True)
    caisson("start", first, check=True)
    assert caisson("exec", first, "--", "cat", "/data/f", "/data/h", check=True).stdout == "one\nthree\n"
    assert sorted(inspect(caisson, "data")["used_by"]) == sorted([first, second, fork])
    caisson("rm", "-f", first, second, fork, check=True)
    assert inspect(caisson, "data")["used_by"] == []
    assert caisson.sh("cat /d/f /d/g /d/h", "-v", "data:/d", check=True).stdout == "one\ntwo\nthree\n"


def test_read_only(caisson):
    caisson.sh("echo x > /d/f", "-v", "data:/d", check=True)
    done = caisson.sh("cat /d/f; echo y > /d/f", "-v", "data:/d:ro")
    assert done.stdout == "x\n" and done.returncode != 0 and "Read-only" in done.stderr
    assert caisson.sh("cat /d/f", "-v", "data:/d", check=True).stdout == "x\n"


def test_one_in_use_stays(caisson):
    box = caisson("create", "-v", "data:/d", "-v", "data:/e", "host:", "true", check=True).stdout.strip()
    assert caisson("volume", "prune", check=True).stdout == "", "also by a box that was never started"
    done = caisson("volume", "rm", "-f", "data")
    assert done.returncode == 1 and box in done.error_line() and "uses it" in done.error_line()
    assert names(caisson) == ["data"]
    caisson("rm", box, check=True)
    assert caisson("volume", "rm", "data", check=True).stdout == "data\n"


def test_a_new_one_is_empty(caisson):
    for _ in range(2):
        assert caisson.sh("ls -A /d; echo x > /d/f; mkdir -m 0 /d/closed", "-v", "data:/d", check=True).stdout == ""
        caisson("volume", "rm", "data", check=True)
        assert directories(caisson) == []


@pytest.mark.needs_subuid
def test_files_of_other_ids_go_too(caisson):
    script = "mkdir -p /d/a/b; chown -R 1000:1000 /d/a; chmod 700 /d/a; chown 1000 /d; chmod 700 /d"
    caisson.sh(script, "-v", "data:/d", check=True)
    caisson("volume", "rm", "data", check=True)
    assert directories(caisson) == []


def test_a_failed_create_makes_none(caisson):
    caisson("create", "--name", "n", "host:", "true", check=True)
    refused(caisson("create", "--name", "n", "-v", "data:/d", "host:", "true"), "'n'")
    assert names(caisson) == [] and directories(caisson) == []


def test_twenty_clients_at_once(caisson):
    with ThreadPoolExecutor(20) as pool:
        done = list(pool.map(lambda _: caisson("volume", "create", "data"), range(20)))
        assert sorted(each.returncode for each in done) == [0] + [125] * 19
        assert directories(caisson) == [Path(inspect(caisson, "data")["path"]).name]
        boxes = list(pool.map(lambda i: caisson.sh(f"echo {i} > /d/{i}", "-v", "more:/d"), range(20)))
        assert [each.returncode for each in boxes] == [0] * 20
    assert caisson.sh("ls /d | wc -l", "-v", "more:/d", check=True).stdout.split() == ["20"]
    with ThreadPoolExecutor(20) as pool:
        done = list(pool.map(lambda _: caisson("volume", "rm", "more"), range(20)))
    assert sorted(each.returncode for each in done) == [0] + [1] * 19
    assert len(directories(caisson)) == 1


def test_killed_clients_leave_nothing_wrong(caisson):
    chance = random.Random(1)
    for words in (("create", "data"), ("rm", "data")):
        for _ in range(30):
            caisson("volume", "create", "data")
            if words[0] == "create":
                caisson("volume", "rm", "data", check=True)
            else:
                (Path(inspect(caisson, "data")["path"]) / "f").write_text("old")
            client = caisson.popen("volume", *words, start_new_session=True)
            time.sleep(chance.uniform(0, 0.01))
            client.send_signal(signal.SIGKILL)
            client.wait()
            # Either it is there, as it was, or it is not.
            there = names(caisson) == ["data"]
            if there and words[0] == "rm":
                assert (Path(inspect(caisson, "data")["path"]) / "f").read_text() == "old"
            elif there:
                assert os.listdir(inspect(caisson, "data")["path"]) == []
            else:
                caisson("volume", "create", "data", check=True)
                assert os.listdir(inspect(caisson, "data")["path"]) == [], "nothing of an earlier one"
            caisson("volume", "rm", "data", check=True)
            assert directories(caisson) == []


def test_an_archive_has_no_volume(caisson, workdir):
    box = caisson.detached("sleep", "1000", options=("--name", "w", "-v", "data:/d"))
    caisson("exec", box, "--", "sh", "-c", "echo secret > /d/f", check=True)
    caisson("export", "-o", workdir / "w.tar", box, check=True)
    words = ("import", "-i", workdir / "w.tar", "--name")
    refused(caisson(*words, "w2"), "volume 'data'", "which is there", "--trust")
    trusted = caisson(*words, "w2", "--trust", check=True).stdout.strip()
    caisson("start", trusted, check=True)
    assert caisson("exec", trusted, "cat", "/d/f", check=True).stdout == "secret\n"
    caisson("rm", "-f", box, trusted, check=True)
    caisson("volume", "rm", "data", check=True)
    alone = caisson(*words, "w3", check=True).stdout.strip()
    assert inspect(caisson, "data")["used_by"] == [alone]
    caisson("start", alone, check=True)
    assert caisson("exec", alone, "ls", "-A", "/d", check=True).stdout == ""


def test_a_size_that_cannot_be_held_is_refused(caisson):
    """The file system of /tmp has no project quotas; src/sys/quota_test.cc has one that does."""
    done = caisson("volume", "create", "--size", "1m", "--json", "data")
    refused(done, "create volume 'data'", "prjquota")
    assert json.loads(done.stdout)["error"]["reason"] == "volume_size_unsupported"
    for size in ("0", "-1", "x", "9999999999999t"):
        assert caisson("volume", "create", f"--size={size}", "data").returncode == 125
    assert names(caisson) == [] and directories(caisson) == []


def test_the_plan_makes_none(caisson):
    plan = caisson("debug", "plan", "-v", "data:/d", "host:", "--", "true", check=True).stdout
    assert "/volumes/data.<id> on /d" in plan
    assert names(caisson) == []
