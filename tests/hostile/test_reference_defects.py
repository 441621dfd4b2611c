"""One test for each defect of an earlier sandbox, named after it. Other tests go deeper."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from support.attack import rss_kib, run_inside, wait_for

pytestmark = pytest.mark.without_subuid


def status(caisson, *options):
    done = caisson.sh("cat /proc/self/status", *options)
    return dict(line.split(":\t", 1) for line in done.stdout.splitlines() if ":\t" in line)


def namespaces(caisson):
    return dict(re.findall(r"(\w+):\[(\d+)\]", caisson.sh("readlink /proc/self/ns/*").stdout))


def own_namespace(name):
    return re.search(r"\d+", os.readlink(f"/proc/self/ns/{name}")).group()


@pytest.fixture
def box(caisson):
    made = caisson.detached("sleep", "1000")
    yield made
    caisson("rm", "-f", made, check=True)


def test_root_has_inner_user_namespace(caisson):
    assert namespaces(caisson)["user"] != own_namespace("user")
    box = caisson.detached("sleep", "1000")
    assert caisson("exec", box, "id", "-u").stdout == "0\n"
    uids = Path(f"/proc/{caisson.inspect(box)['init_pid']}/status").read_text().split("Uid:")[1].split()[:4]
    assert "0" not in uids, "root of the box is root of the host"
    caisson("rm", "-f", box, check=True)


def test_root_has_no_full_capabilities(caisson):
    found = status(caisson)
    full = (1 << 41) - 1
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert int(found[name], 16) & full & (1 << 21 | 1 << 12 | 1 << 16 | 1 << 19 | 1 << 2 | 1 << 22) == 0
    assert found["CapAmb"] == found["CapInh"] == "0000000000000000"


def test_syscall_filter_is_active(caisson):
    assert status(caisson)["Seccomp"] == "2"
    assert run_inside(caisson, "tell(call(272, 0x10000000))") == "EPERM"


def test_caller_environment_does_not_leak(caisson):
    done = caisson("run", "--rm", "host:", "--", "sh", "-c", "env; cat /proc/*/environ", env={"CANARY": "of-the-caller"})
    assert "of-the-caller" not in done.stdout and "CANARY" not in done.stdout


def test_parents_of_writable_paths_stay_hidden(caisson, workdir):
    (workdir / "secret").write_text("canary")
    (workdir / "sub").mkdir()
    done = caisson.sh(f"ls -A {workdir} {workdir.parent}; cat {workdir}/secret /data/../secret", "-v",
                      f"{workdir}/sub:{workdir}/sub", "-v", f"{workdir}/sub:/data")
    assert "canary" not in done.stdout and "secret" not in done.stdout
    assert "h" not in done.stdout.split()


def test_host_etc_is_not_readable(caisson):
    listed = set(caisson.sh("ls -A /etc").stdout.split())
    assert not listed & {"shadow", "gshadow", "sudoers", "ssh", "machine-id", "fstab", "subuid", "crontab", "pam.d"}
    names = {line.split(":")[0] for line in Path("/etc/passwd").read_text().splitlines()}
    inside = {line.split(":")[0] for line in caisson.sh("cat /etc/passwd").stdout.splitlines()}
    assert inside <= {"root", "daemon", "user", "nobody"}, inside - names


def test_process_has_its_own_session(caisson):
    sid, pid = caisson.sh("ps -o sid=,pid= -p $$").stdout.split()
    assert sid == pid


def test_cgroup_namespace_is_its_own(caisson):
    assert namespaces(caisson)["cgroup"] != own_namespace("cgroup")
    assert "caisson" not in caisson.sh("cat /proc/self/cgroup").stdout
    assert {line.rsplit(":", 1)[1] for line in caisson.sh("cat /proc/self/cgroup").stdout.splitlines()} <= {"/"}


def test_network_choice_is_not_ignored(caisson):
    assert caisson.sh("ls /sys/class/net").stdout.split() == ["lo"]
    assert caisson.sh("cat /proc/net/route | wc -l").stdout.strip() == "1"
    done = caisson("run", "--rm", "--network", "filtered", "host:", "true")
    assert done.returncode == 125, "a choice that does not exist was taken for another"


def test_bind_target_with_dotdot_truncates_no_host_file(caisson, workdir):
    (workdir / "source").write_text("source")
    (workdir / "victim").write_text("canary")
    for target in (f"/../..{workdir}/victim", f"/x/../../../..{workdir}/victim", f"{workdir}/../w/victim"):
        caisson("run", "--rm", "-v", f"{workdir}/source:{target}", "host:", "true")
        caisson("run", "--rm", "-v", f"{workdir}/source:{workdir}/victim", "host:", "true")
    assert (workdir / "victim").read_text() == "canary"


def test_exec_uses_the_boxes_root(caisson, image):
    (image / "mark").write_text("of the image")
    box = caisson.detached("sleep", "1000", source=f"dir:{image}")
    assert caisson("exec", box, "cat", "/mark").stdout == "of the image"
    assert caisson("exec", box, "ls", "/usr").returncode != 0
    caisson("rm", "-f", box, check=True)


def test_files_persist_between_execs(caisson, box):
    caisson("exec", box, "sh", "-c", "echo kept > /workspace/f; mkdir /opt/d", check=True)
    assert caisson("exec", box, "sh", "-c", "cat /workspace/f; ls -d /opt/d").stdout == "kept\n/opt/d\n"


def test_output_streams_while_the_program_runs(caisson, box):
    process = caisson.popen("exec", "-i", box, "--", "sh", "-c", "echo one; read x; echo two", stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"one\n"
    assert process.poll() is None
    assert process.communicate(b"\n", timeout=20)[0] == b"two\n"


@pytest.mark.parametrize("reader, output", [("wc -c", b"20000000"), ("true", b""), ("sleep 0.2", b""), ("head -c 1", b"\0")])
def test_large_stdin_does_not_deadlock(caisson, box, reader, output):
    for words in (("run", "--rm", "-i", "host:"), ("exec", "-i", box)):
        done = caisson(*words, "sh", "-c", reader, input=bytes(20_000_000), binary=True, timeout=30)
        assert (done.returncode, done.stdout.strip()) == (0, output)


def test_partial_output_survives_a_timeout(caisson, box):
    done = caisson("run", "--rm", "--json", "--timeout", "300ms", "host:", "sh", "-c", "echo out; echo err >&2; sleep 60")
    value = done.json()
    assert (value["reason"], value["stdout"], value["stderr"]) == ("timeout", "out\n", "err\n")
    done = caisson("exec", "--json", "--timeout", "300ms", box, "sh", "-c", "echo out; sleep 60")
    assert (done.json()["reason"], done.json()["stdout"]) == ("timeout", "out\n")


def test_buffers_are_bounded(caisson):
    process = caisson.popen("run", "--rm", "--json", "--timeout", "2s", "host:", "yes", stdout=subprocess.PIPE)
    time.sleep(1.5)
    peak = rss_kib(process.pid)
    out, _ = process.communicate(timeout=60)
    value = json.loads(out)
    assert peak < 64 << 10
    assert len(value["stdout"]) <= 10 << 20
    assert value["exit"]["output_dropped_bytes"] > 0


def test_more_than_wall_time_is_enforced(caisson):
    value = caisson("run", "--rm", "--json", "--cpu-time", "300ms", "--timeout", "30s", "host:", "sh", "-c",
                    "while :; do :; done").json()
    assert value["reason"] == "cpu_time"
    assert caisson.sh("ulimit -n", "--open-files", "33").stdout == "33\n"
    if os.geteuid() == 0:
        value = caisson("run", "--rm", "--json", "--memory", "32m", "host:", "python3", "-c", "bytearray(1 << 28)").json()
        assert value["reason"] == "oom"


def test_usage_is_measured(caisson):
    code = "import os, time\nx = bytearray(50 << 20)\nopen('/workspace/f', 'wb').write(x)\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    usage = caisson("run", "--rm", "--json", "host:", "python3", "-c", code).json()["usage"]
    assert usage["cpu_user_ns"] + usage["cpu_system_ns"] >= 0.15e9
    assert usage["peak_memory_bytes"] >= 50 << 20
    assert usage["wall_ns"] >= 0.2e9
    assert usage.get("write_bytes", 50 << 20) >= 50 << 20
    assert 0 not in usage.values() or {k for k, v in usage.items() if v == 0} <= {"oom_kills", "read_bytes"}


def test_endings_do_not_look_alike(caisson):
    ends = {}
    for name, words in {"exit 1": ("host:", "sh", "-c", "exit 1"), "set-up": ("dir:/no/such/dir", "true"),
                        "missing": ("host:", "no-such-program"), "not executable": ("host:", "/etc/passwd"),
                        "signal": ("host:", "sh", "-c", "kill -9 $$")}.items():
        done = caisson("run", "--rm", "--json", *words)
        value = done.json()
        ends[name] = (done.returncode, value.get("error", {}).get("reason") or value["reason"])
    assert len(set(ends.values())) == len(ends), ends
    assert ends["exit 1"] == (1, "exited")
    assert ends["missing"] == (127, "program_not_found")
    assert ends["not executable"] == (126, "program_not_executable")
    assert ends["set-up"] == (125, "source_missing")
    assert ends["signal"] == (137, "signaled")


def test_wrong_working_directory_is_an_error(caisson, box):
    done = caisson.sh("pwd", "-w", "/no/such/dir")
    assert (done.returncode, done.stdout) == (125, "")
    done = caisson("exec", "-w", "/no/such/dir", box, "pwd")
    assert (done.returncode, done.stdout) == (125, "")


def test_removal_leaves_no_process(caisson):
    made = caisson.detached("sh", "-c", "(setsid sleep 1000 &); trap '' TERM; while :; do sleep 1; done")
    init = caisson.inspect(made)["init_pid"]
    caisson("rm", "-f", made, check=True)
    wait_for(lambda: not os.path.exists(f"/proc/{init}"), 5, "end of the first process")


def test_boxes_are_known_to_later_processes(caisson, box):
    assert caisson.boxes() == [box]
    assert caisson.inspect(box)["state"] == "running"
    assert caisson("exec", box, "echo", "same box").stdout == "same box\n"


def test_nothing_is_claimed_that_is_not_done(caisson):
    """A limit or choice that cannot be had is refused or named, never passed over in silence."""
    for words in (("--isolation", "confidential"), ("--network", "public"), ("--security", "apparmor=x"), ("--pids", "0"),
                  ("--security", "seccomp=/no/such/file")):
        done = caisson("run", "--rm", *words, "host:", "true")
        assert done.returncode == 125, words
    for option, value in (("--memory", "64m"), ("--pids", "50"), ("--cpus", "0.5")):
        done = caisson("run", "--rm", "--json", option, value, "host:", "true")
        assert done.returncode in (0, 125)
        if done.returncode == 0:
            assert done.json()["reason"] == "exited"
        else:
            assert done.json()["error"]["reason"] == "limit_unsupported"
