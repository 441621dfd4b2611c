"""`caisson run`: streams, exit statuses, and what is inside."""

import os
import re
import shlex
import signal
import subprocess

import pytest

from support import host
from support.cli import UNLIMITED

pytestmark = pytest.mark.without_subuid


def test_prints_output_and_exits_zero(caisson):
    done = caisson("run", "host:", "--", "python3", "-c", "print(6*7)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "42\n", "")


@pytest.mark.parametrize("code", [1, 7, 125, 126, 127, 255])
def test_exit_status_is_the_programs(caisson, code):
    assert caisson.sh(f"exit {code}").returncode == code


def test_signal_is_128_plus_number(caisson):
    assert caisson.sh("kill -SEGV $$").returncode == 128 + signal.SIGSEGV


def test_stdout_and_stderr_are_separate(caisson):
    done = caisson.sh("echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_program_not_found_is_127(caisson):
    done = caisson("run", "--rm", "host:", "no-such-program")
    assert done.returncode == 127
    assert "no-such-program" in done.error_line()
    assert done.stdout == ""


def test_not_executable_is_126(caisson):
    done = caisson("run", "--rm", "host:", "/etc/passwd")
    assert done.returncode == 126
    assert "/etc/passwd" in done.error_line()


def test_own_failure_is_125(caisson):
    done = caisson("run", "--rm", "--memory", "much", "host:", "true")
    assert done.returncode == 125
    assert "much" in done.error_line()


def test_double_dash_and_options_of_the_command(caisson):
    assert caisson("run", "--rm", "host:", "echo", "--rm", "--", "-x").stdout == "--rm -- -x\n"
    assert caisson("run", "--rm", "host:", "--", "echo", "--", "-x").stdout == "-- -x\n"


def test_stdin_is_passed_with_i(caisson):
    done = caisson("run", "--rm", "-i", "host:", "--", "wc", "-c", input="data\n")
    assert done.stdout.strip() == "5"


def test_stdin_is_empty_without_i(caisson):
    assert caisson("run", "--rm", "host:", "wc", "-c", input="data\n").stdout.strip() == "0"


def test_large_stdin_reaches_the_program(caisson):
    data = os.urandom(8 << 20)
    done = caisson("run", "--rm", "-i", "host:", "cat", input=data, binary=True)
    assert done.stdout == data


def test_unread_stdin_does_not_block(caisson):
    done = caisson("run", "--rm", "-i", "host:", "true", input=bytes(4 << 20), timeout=30)
    assert done.returncode == 0


def test_output_is_live(caisson):
    process = caisson.popen("run", "--rm", "-i", "host:", "--", "sh", "-c",
                            "echo first; read line; echo second $line",
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"first\n"
    out, _ = process.communicate(b"go\n", timeout=30)
    assert out == b"second go\n"
    assert process.returncode == 0


def test_binary_output_is_untouched(caisson):
    done = caisson.sh(r"printf '\377\000\033[31m\r\n'", binary=True)
    assert done.stdout == b"\xff\x00\x1b[31m\r\n"


def test_much_output_arrives_whole(caisson):
    done = caisson.sh("head -c 50000000 /dev/zero", binary=True)
    assert len(done.stdout) == 50_000_000


def test_environment_is_empty(caisson):
    done = caisson("run", "--rm", "host:", "env", env={"CANARY": "secret"})
    names = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert names <= {"PATH", "HOME", "HOSTNAME", "TERM", "USER", "LANG"}
    assert "secret" not in done.stdout
    assert caisson.home not in done.stdout


def test_environment_options(caisson, workdir):
    (workdir / "env").write_text("# comment\nFROM_FILE=a b\n\nTOO=x=y\n")
    done = caisson("run", "--rm", "-e", "A=1", "--env", "COPIED", "-e", "EMPTY=", "--env-file",
                   workdir / "env", "host:", "env", env={"COPIED": "copy"})
    lines = done.stdout.splitlines()
    for line in ("A=1", "COPIED=copy", "EMPTY=", "FROM_FILE=a b", "TOO=x=y"):
        assert line in lines


def test_only_three_descriptors(caisson):
    leaked = [os.open("/etc/passwd", os.O_RDONLY) for _ in range(3)]
    try:
        done = caisson("run", "--rm", "host:", "python3", "-c",
                       "import os; print(sorted(int(f) for f in os.listdir('/proc/self/fd')))",
                       pass_fds=leaked)
    finally:
        for fd in leaked:
            os.close(fd)
    # listdir itself holds the fourth.
    assert done.stdout == "[0, 1, 2, 3]\n"


def test_working_directory(caisson):
    assert caisson.sh("pwd", "-w", "/usr/bin").stdout == "/usr/bin\n"
    assert caisson.sh("pwd").stdout == "/workspace\n"


@pytest.mark.parametrize("workdir_option", ["/no/such/dir", "/etc/passwd", "relative", "/usr/../.."])
def test_unusable_working_directory_is_an_error(caisson, workdir_option):
    done = caisson.sh("pwd", "-w", workdir_option)
    assert (done.returncode, done.stdout) == (125, "")
    assert workdir_option in done.error_line()


def test_hostname(caisson):
    assert re.fullmatch("caisson(-[0-9a-z]{8})?\n", caisson.sh("hostname").stdout)  # of a microVM with its id's end
    assert caisson.sh("uname -n", "--hostname", "submarine").stdout == "submarine\n"


def test_root_inside_is_not_root_outside(caisson):
    done = caisson.sh("id -u; cat /proc/self/uid_map")
    lines = done.stdout.splitlines()
    assert lines[0] == "0"
    inside, outside, _ = map(int, lines[1].split())
    assert inside == 0
    # An ordinary user's is the root of a namespace of that user, which the box is made in.
    # A microVM's is the root of a namespace of its own kernel.
    assert outside != 0 or not host.IS_ROOT or caisson.isolation == "microvm", "the box shares the host's root"


def test_only_the_boxes_processes_are_visible(caisson):
    done = caisson.sh("for p in /proc/[0-9]*; do cat $p/comm; done")
    names = done.stdout.splitlines()
    assert len(names) <= 4, names


def test_kernel_namespaces_are_its_own(caisson):
    done = caisson.sh("readlink /proc/self/ns/*")
    assert done.returncode == 0
    inside = dict(re.findall(r"(\w+):\[(\d+)\]", done.stdout))
    for name in ("mnt", "pid", "net", "ipc", "uts", "cgroup", "user"):
        outside = re.search(r"\d+", os.readlink(f"/proc/self/ns/{name}")).group()
        assert inside[name] != outside, f"the {name} namespace is the host's"


def test_network_is_loopback_only(caisson):
    assert caisson.sh("ls /sys/class/net").stdout.split() == ["lo"]


def test_host_network_is_asked_for_by_name(caisson):
    done = caisson.sh("readlink /proc/self/ns/net", "--network", "host")
    assert done.stdout.strip() == os.readlink("/proc/self/ns/net")


def test_no_new_privs_and_filter(caisson):
    status = dict(line.split(":\t", 1)
                  for line in caisson.sh("cat /proc/self/status").stdout.splitlines() if ":\t" in line)
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


def test_minimal_profile_has_no_capability(caisson):
    done = caisson.sh("grep ^Cap /proc/self/status; touch /x", "--profile", "minimal")
    assert set(re.findall(r"\t([0-9a-f]+)", done.stdout)) == {"0000000000000000"}
    assert done.returncode != 0


def test_double_forked_processes_end_with_the_box(caisson):
    marker = f"31{os.getpid() % 100000:05}"
    done = caisson.sh(f"setsid sh -c 'trap \"\" TERM HUP; sleep {marker} & sleep {marker}' & echo up")
    assert done.stdout == "up\n"
    running = subprocess.run(["pgrep", "-f", f"sleep {marker}"], capture_output=True, text=True,
                             timeout=10, check=False)
    assert running.stdout == ""


def test_rm_leaves_no_record(caisson):
    assert caisson.sh("true").returncode == 0
    assert caisson.boxes() == []


def test_without_rm_the_record_stays(caisson):
    assert caisson("run", "host:", "sh", "-c", "exit 3").returncode == 3
    [box] = caisson.boxes()
    info = caisson.inspect(box)
    assert info["state"] == "stopped"
    assert (info["exit"]["reason"], info["exit"]["exit_code"]) == ("exited", 3)


def test_cidfile(caisson, workdir):
    assert caisson("run", "--cidfile", workdir / "id", "host:", "true").returncode == 0
    assert caisson.boxes() == [(workdir / "id").read_text().strip()]


def test_closed_standard_descriptors(caisson):
    run = shlex.join(caisson.command("run", "--rm", "host:", "--", "sh", "-c", "exit 9"))
    command = f"exec {run} <&- >&- 2>&-"
    done = subprocess.run(["sh", "-c", command], env=caisson.env, timeout=60, check=False)
    assert done.returncode == 9


def test_reader_that_goes_away(caisson):
    run = shlex.join(caisson.command("run", "--rm", "host:", "--", "sh", "-c", "while :; do echo line; done"))
    command = f"{run} | head -n 1"
    done = subprocess.run(["sh", "-c", command], env=caisson.env, timeout=60, capture_output=True,
                          check=False)
    assert (done.stdout, UNLIMITED.sub("", done.stderr.decode())) == (b"line\n", "")


def test_first_interrupt_stops(caisson):
    process = caisson.popen("run", "--rm", "host:", "--", "sh", "-c",
                            "trap 'echo bye; exit 5' TERM INT; echo up; while :; do sleep 0.1; done",
                            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == (b"bye\n", 5)


def test_second_interrupt_kills(caisson):
    process = caisson.popen("run", "--rm", "host:", "--", "sh", "-c",
                            "trap 'echo no' TERM INT; echo up; while :; do sleep 0.1; done",
                            stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == b"no\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGKILL
