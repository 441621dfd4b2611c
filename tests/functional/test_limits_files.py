"""Limits on what a program may open and write."""

import pytest

pytestmark = pytest.mark.without_subuid


def outcome(caisson, script, *options, source="host:", **keywords):
    done = caisson.sh(script, "--json", *options, source=source, **keywords)
    return done, done.json()


def test_open_files_are_refused(caisson):
    script = ("import os\nn = 0\ntry:\n  while True: os.dup(0); n += 1\n"
              "except OSError as e: print(n, e.errno)")
    done = caisson("run", "--rm", "--open-files", "32", "host:", "--", "python3", "-c", script)
    assert done.stdout == "29 24\n"


def test_file_size_ends_the_writer(caisson):
    done, value = outcome(caisson, "exec head -c 3000000 /dev/zero > /tmp/f", "--file-size", "1m")
    assert (value["reason"], value["signal"]) == ("signaled", 25)  # SIGXFSZ
    assert done.returncode == 128 + 25


def test_disk_of_many_files(caisson):
    script = "i=0; while :; do head -c 500000 /dev/zero > /workspace/$i; i=$((i+1)); done"
    done, value = outcome(caisson, f"echo writing; {script}", "--disk", "8m", "--timeout", "60s")
    assert (value["reason"], value["stdout"]) == ("disk_full", "writing\n")
    assert done.returncode != 0


def test_disk_of_one_large_file(caisson):
    done, value = outcome(caisson, "head -c 50000000 /dev/zero > /workspace/f", "--disk", "4m")
    assert value["reason"] == "disk_full"
    assert done.returncode != 0


def test_disk_of_a_sparse_or_deleted_file_is_free(caisson):
    script = ("truncate -s 3M /workspace/sparse; for i in 1 2 3 4; do head -c 2000000 /dev/zero > "
              "/workspace/f; rm /workspace/f; sleep 0.1; done; echo end")
    _, value = outcome(caisson, script, "--disk", "4m")
    assert (value["reason"], value["stdout"]) == ("exited", "end\n")


def test_disk_holds_between_starts(caisson):
    box = caisson("create", "--disk", "4m", "host:", "sh", "-c",
                  "head -c 1500000 /dev/zero > /workspace/$(ls /workspace | wc -l); sleep 0.3",
                  check=True).stdout.strip()
    reasons = []
    for _ in range(4):
        caisson("start", box, check=True)
        caisson("wait", box, check=True)
        reasons.append(caisson.inspect(box)["exit"]["reason"])
    assert reasons[0] == "exited" and reasons[-1] == "disk_full", reasons


def test_default_tmpfs_size(caisson):
    done = caisson.sh("head -c 3000000 /dev/zero > /tmp/f; wc -c < /tmp/f", "--tmpfs-size", "1m")
    assert int(done.stdout) <= 1 << 20


def test_tmpfs_of_host_boxes(caisson):
    script = ("head -c 3000000 /dev/zero > /t/f; wc -c < /t/f; rm /t/f;"
              "i=0; while touch /t/$i 2>/dev/null; do i=$((i+1)); done; echo $i")
    size, inodes = caisson.sh(script, "--tmpfs", "/t:size=1m,inodes=20").stdout.split()
    assert int(size) <= 1 << 20
    assert 10 <= int(inodes) <= 20
