"""Many processes, one home: records stay true whatever the home and the host do."""

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support import host

pytestmark = pytest.mark.without_subuid


def at_once(count, call):
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(call, range(count)))


@pytest.mark.parametrize("home_exists", [False, True])
def test_20_runs_at_once(caisson, home_exists):
    if home_exists:
        caisson("ps", check=True)
    done = at_once(20, lambda n: caisson.sh(f"echo {n}; exit {n}", timeout=100))
    assert [(d.returncode, d.stdout, d.stderr) for d in done] == [(n, f"{n}\n", "") for n in range(20)]
    assert caisson.boxes() == []


def test_20_creates_and_removals_at_once(caisson):
    boxes = at_once(20, lambda n: caisson("create", "--name", f"n{n}", "host:", "true",
                                          check=True).stdout.strip())
    assert sorted(caisson.boxes()) == sorted(boxes)
    at_once(20, lambda n: caisson("rm", f"n{n}", check=True))
    assert caisson.boxes() == []


def test_only_one_gets_the_name(caisson):
    done = at_once(10, lambda n: caisson("create", "--json", "--name", "mine", "host:", "true"))
    assert sorted(d.returncode for d in done) == [0] + [125] * 9
    for lost in (d for d in done if d.returncode):
        assert lost.json()["error"]["reason"] == "name_taken"
        assert "'mine'" in lost.error_line()
    assert len(caisson.boxes()) == 1


def test_only_one_starts_a_box(caisson):
    box = caisson("create", "host:", "sleep", "1000", check=True).stdout.strip()
    done = at_once(6, lambda n: caisson("start", box))
    assert sorted(d.returncode for d in done) == [0] + [1] * 5
    assert caisson.inspect(box)["state"] == "running"
    caisson("rm", "-f", box, check=True)


def test_rm_by_several_at_once(caisson):
    box = caisson.detached("sleep", "1000")
    done = at_once(6, lambda n: caisson("rm", "-f", box))
    assert 0 in [d.returncode for d in done]
    assert caisson.boxes() == []


def test_ambiguous_prefix(caisson):
    boxes = [caisson("create", "host:", "true", check=True).stdout.strip() for _ in range(2)]
    prefix = os.path.commonprefix(boxes)
    done = caisson("exec", "--json", prefix, "true")
    assert (done.returncode, done.json()["error"]["reason"]) == (125, "box_ambiguous")
    for box in boxes:
        assert box in done.error_line()
    assert caisson("rm", prefix).returncode == 1
    assert sorted(caisson.boxes()) == sorted(boxes)


def test_a_restarted_box_keeps_its_files_and_loses_its_past(caisson):
    script = "cat /workspace/n 2>/dev/null; echo x >> /workspace/n; test $(wc -l < /workspace/n) -lt 3"
    box = caisson("create", "host:", "sh", "-c", script, check=True).stdout.strip()
    codes = []
    for _ in range(3):
        caisson("start", box, check=True)
        codes.append(caisson("wait", box, check=True).stdout.strip())
    assert codes == ["0", "0", "1"]
    caisson("start", box, check=True)
    caisson("wait", box, check=True)
    info = caisson.inspect(box)
    assert info["exit"]["exit_code"] == 1 and not info.get("error_reason")


def test_a_failed_box_can_be_started_again(caisson, workdir):
    root = workdir / "shared"
    root.mkdir()
    box = caisson("create", "-v", f"{root}:/data", "host:", "cat", "/data/f", check=True).stdout.strip()
    root.rmdir()
    assert caisson("start", box).returncode == 1
    assert caisson.inspect(box)["state"] == "failed"
    root.mkdir()
    (root / "f").write_text("there now\n")
    assert caisson("start", "-a", box).stdout == "there now\n"
    assert not caisson.inspect(box).get("error_reason")


def test_a_record_with_unknown_fields_is_read(caisson, home):
    box = caisson("create", "host:", "true", check=True).stdout.strip()
    sqlite = __import__("sqlite3").connect(home / "db/state.db")
    sqlite.execute("UPDATE boxes SET spec_json = json_insert(spec_json, '$.from_the_future', 1)")
    sqlite.commit()
    sqlite.close()
    assert caisson.inspect(box)["state"] == "configured"
    caisson("start", box, check=True)
    assert caisson("wait", box).stdout == "0\n"


@pytest.mark.broken_home
@pytest.mark.parametrize("content", [b"this is no database" * 500, b"SQLite format 3\0" + b"\xff" * 5000])
def test_corrupt_database(caisson, home, content):
    (home / "db").mkdir(parents=True)
    (home / "db/state.db").write_bytes(content)
    for words, status in ((("run", "--json", "host:", "true"), 125), (("ps",), 1), (("rm", "x"), 1)):
        done = caisson(*words)
        assert done.returncode in (status, 125), words
        assert "state.db" in done.error_line()
    assert caisson("run", "--json", "host:", "true").json()["error"]["reason"] == "state_corrupt"
    assert (home / "db/state.db").read_bytes() == content


@pytest.mark.broken_home
def test_newer_database_is_not_touched(caisson, home):
    caisson("ps", check=True)
    sqlite = __import__("sqlite3").connect(home / "db/state.db")
    sqlite.execute("PRAGMA user_version=9999")
    sqlite.close()
    done = caisson("run", "--json", "host:", "true")
    assert (done.returncode, done.json()["error"]["reason"]) == (125, "state_newer")
    done.error_line()


@pytest.mark.user_only
def test_read_only_home_of_a_user(caisson, workdir):
    folder = workdir / "sealed"
    folder.mkdir(mode=0o500)
    done = caisson("run", "--json", "host:", "true", env={"CAISSON_HOME": str(folder / "home")})
    assert (done.returncode, done.json()["error"]["reason"]) == (125, "home_unusable")
    assert str(folder) in done.error_line()
    done = caisson("run", "--json", "host:", "true", env={"CAISSON_HOME": str(folder)})
    assert (done.returncode, done.json()["error"]["reason"]) == (125, "home_unusable")
    assert list(folder.iterdir()) == []


@pytest.fixture
def small_disk(workdir):
    """A tmpfs of 2 MiB, unmounted after the test."""
    folder = workdir / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "caisson-test", folder], check=True, timeout=10)
    yield folder
    subprocess.run(["umount", folder], check=True, timeout=10)


@pytest.mark.root_only
def test_read_only_file_system(caisson, small_disk):
    env = {"CAISSON_HOME": str(small_disk / "home")}
    caisson("ps", env=env, check=True)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True, timeout=10)
    done = caisson("run", "--json", "host:", "true", env=env)
    assert done.returncode == 125
    assert done.json()["error"]["reason"] in ("home_unusable", "state_read_only")
    assert str(small_disk) in done.error_line()


@pytest.mark.root_only
def test_full_disk(caisson, small_disk):
    env = {"CAISSON_HOME": str(small_disk / "home")}
    kept = caisson("create", "host:", "echo", "survived", env=env, check=True).stdout.strip()
    with open(small_disk / "filler", "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    for _ in range(3):
        done = caisson("run", "--json", "host:", "true", env=env)
        if done.returncode == 0:  # the database had room left in its last page
            continue
        assert (done.returncode, done.json()["error"]["reason"]) == (125, "disk_full")
        assert "No space left" in done.error_line()
    (small_disk / "filler").unlink()
    assert caisson("start", "-a", kept, env=env).stdout == "survived\n"
    boxes = caisson("ps", "-a", "-q", "--no-trunc", env=env, check=True).stdout.split()
    caisson("rm", "-f", *boxes, env=env, check=True)
    assert list((small_disk / "home/boxes").iterdir()) == []


@pytest.mark.parametrize("shim", ["/nonexistent", "/etc/passwd", "/bin/false"])
def test_shim_missing_or_not_one(caisson, shim):
    done = caisson("run", "--json", "--name", "n", "host:", "true", env={"CAISSON_SHIM": shim})
    assert done.returncode == 125
    assert done.json()["error"]["reason"] in ("shim_missing", "shim_died")
    if shim != "/bin/false":
        assert shim in done.error_line()
    info = caisson.inspect("n")
    assert (info["state"], bool(info["error_reason"])) == ("failed", True)
    assert caisson("start", "-a", "n").returncode == 0


def test_two_homes_do_not_see_each_other(caisson, workdir):
    box = caisson("create", "--name", "same", "host:", "true", check=True).stdout.strip()
    other = {"CAISSON_HOME": str(workdir / "other")}
    second = caisson("create", "--name", "same", "host:", "true", env=other, check=True).stdout.strip()
    assert caisson.boxes() == [box]
    assert caisson("ps", "-a", "-q", "--no-trunc", env=other).stdout.split() == [second]


def test_home_from_a_relative_path(caisson, workdir):
    done = caisson("run", "--rm", "host:", "echo", "ok", env={"CAISSON_HOME": "rel"}, cwd=workdir)
    assert done.stdout == "ok\n"
    assert (workdir / "rel/db/state.db").exists()


def test_nobody_else_can_read_the_home(caisson, home):
    caisson("run", "host:", "true", check=True)
    assert home.stat().st_mode & 0o077 == 0
    assert (home / "db/state.db").stat().st_mode & 0o077 == 0
    assert host.IS_ROOT or home.stat().st_uid == os.geteuid()


def edit(home, statement, *values):
    sqlite = __import__("sqlite3").connect(home / "db/state.db")
    sqlite.execute(statement, values)
    sqlite.commit()
    sqlite.close()


@pytest.mark.parametrize("column, value", [("spec_json", "{}"), ("spec_json", "not json"), ("state", "dreaming"),
                                           ("exit_json", "{"), ("stages_json", "7")])
def test_a_damaged_row_is_shown_as_damaged(caisson, home, column, value):
    whole = caisson("create", "host:", "true", check=True).stdout.strip()
    box = caisson("create", "--name", "bad", "host:", "true", check=True).stdout.strip()
    edit(home, f"UPDATE boxes SET {column} = ? WHERE id = ?", value, box)
    done = caisson("inspect", box)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"'{box}'" in done.error_line() and column in done.error_line()
    listed = [json.loads(line) for line in caisson("ps", "-a", "--json", check=True).stdout.splitlines()]
    assert [info["id"] for info in listed] == [box, whole]
    assert (listed[0]["name"], listed[0]["state"]) == ("bad", "failed")
    assert column in listed[0]["error_reason"]
    assert ("spec" in listed[0]) == (column != "spec_json")
    assert "failed" in caisson("ps", "-a", check=True).stdout.splitlines()[1]
    caisson("rm", "-f", box, check=True)
    assert caisson.boxes() == [whole]


def test_a_box_with_a_damaged_row_that_runs_can_be_removed(caisson, home):
    box = caisson.detached("sleep", "1000")
    edit(home, "UPDATE boxes SET spec_json = 'x' WHERE id = ?", box)
    [listed] = [json.loads(line) for line in caisson("ps", "--json", check=True).stdout.splitlines()]
    assert (listed["id"], listed["state"]) == (box, "running")
    assert "spec_json" in listed["error_reason"]
    caisson("rm", "-f", box, check=True)
    assert caisson.boxes() == []


def column(home, box, name):
    sqlite = __import__("sqlite3").connect(home / "db/state.db")
    [[value]] = sqlite.execute(f"SELECT {name} FROM boxes WHERE id = ?", (box,))
    sqlite.close()
    return value


THIS_BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_a_row_knows_its_boot(caisson, home):
    box = caisson("create", "host:", "true", check=True).stdout.strip()
    assert column(home, box, "boot_id") == ""
    caisson("start", "-a", box, check=True)
    assert column(home, box, "boot_id") == THIS_BOOT


@pytest.mark.parametrize("boot, cause", [("00000000-0000-0000-0000-000000000000", "the machine was restarted"),
                                         (THIS_BOOT, "died"), ("", "died")])
@pytest.mark.parametrize("state", ["starting", "running"])
def test_a_lost_box_says_whether_the_machine_was_restarted(caisson, home, state, boot, cause):
    box = caisson("run", "-d", "host:", "true", check=True).stdout.strip()
    caisson("wait", box, check=True)
    edit(home, "UPDATE boxes SET state = ?, boot_id = ?, exit_json = '' WHERE id = ?", state, boot, box)
    deadline = time.monotonic() + 10  # the shim may be about to go, and has the box until then
    while (info := caisson.inspect(box))["state"] == state and time.monotonic() < deadline:
        time.sleep(0.05)
    assert info["state"] == ("failed" if state == "starting" else "stopped")
    assert state == "starting" or info["exit"]["reason"] == "lost"
    assert info["error_reason"].endswith(cause)
    assert caisson("start", "-a", box).returncode == 0
    assert "error_reason" not in caisson.inspect(box)
