"""Nothing that the caller has open, nor its directory, reaches a box (CVE-2024-21626)."""

import os
from contextlib import contextmanager

import pytest

pytestmark = pytest.mark.without_subuid

LIST = "import os; print(sorted(int(f) for f in os.listdir('/proc/self/fd')))"
ONLY_STANDARD = "[0, 1, 2, 3]\n"  # 3 is the directory being listed


@contextmanager
def inherited(count=20):
    """Descriptors of the host's root directory that a child gets."""
    held = [os.open("/", os.O_RDONLY | os.O_DIRECTORY) for _ in range(count)]
    try:
        yield held
    finally:
        for fd in held:
            os.close(fd)


def test_run_has_three_descriptors(caisson):
    with inherited() as held:
        done = caisson("run", "--rm", "host:", "--", "python3", "-c", LIST, pass_fds=held)
    assert done.stdout == ONLY_STANDARD


def test_exec_has_three_descriptors(caisson):
    with inherited() as held:
        box = caisson("run", "-d", "host:", "sleep", "1000", pass_fds=held, check=True).stdout.strip()
        done = caisson("exec", box, "--", "python3", "-c", LIST, pass_fds=held)
        seen = caisson("exec", box, "--", "sh", "-c", "ls -l /proc/*/fd 2>/dev/null", pass_fds=held)
    caisson("rm", "-f", box, check=True)
    assert done.stdout == ONLY_STANDARD
    assert "-> /\n" not in seen.stdout


def test_terminal_has_three_descriptors(caisson):
    with inherited() as held:
        done = caisson("run", "--rm", "-t", "host:", "--", "python3", "-c", LIST, pass_fds=held)
    assert done.stdout.replace("\r\n", "\n") == ONLY_STANDARD


@pytest.mark.parametrize("name", [*(f"self/fd/{n}" for n in range(21)), "self/cwd", "self/root",
                                  "1/cwd", "1/root", "self/fd/3/../../..", "thread-self/cwd"])
def test_working_directory_through_a_magic_link(caisson, name):
    with inherited() as held:
        done = caisson.sh("pwd; ls", "-w", f"/proc/{name}", pass_fds=held)
    assert (done.returncode, done.stdout) == (125, "")
    done.error_line()


@pytest.mark.parametrize("name", ["self/fd/7", "self/cwd", "1/root"])
def test_working_directory_of_exec_through_a_magic_link(caisson, name):
    with inherited() as held:
        box = caisson("run", "-d", "host:", "sleep", "1000", pass_fds=held, check=True).stdout.strip()
        done = caisson("exec", "-w", f"/proc/{name}", box, "sh", "-c", "pwd; ls", pass_fds=held)
    caisson("rm", "-f", box, check=True)
    assert (done.returncode, done.stdout) == (125, "")


@pytest.mark.parametrize("target", ["/proc/self/fd/7", "/proc/self/cwd", "/proc/1/root", "/proc/1/cwd"])
def test_working_directory_of_the_image_is_a_link(caisson, image, canary, target):
    (image / "work").symlink_to(target)
    with inherited() as held:
        done = caisson.sh(f"pwd; cat {canary.file}", "-w", "/work", source=f"dir:{image}", pass_fds=held)
    assert done.returncode == 125
    assert canary.secret not in done.stdout


def test_program_through_an_inherited_descriptor(caisson, image, canary):
    """Descriptors are closed by the exec itself, so none names the host's root."""
    script = "for n in $(seq 3 60); do cat /proc/self/fd/$n%s; ls /proc/self/fd/$n/; done 2>/dev/null" % canary.file
    with inherited() as held:
        done = caisson.sh(script, source=f"dir:{image}", pass_fds=held)
    assert done.stdout == ""


def test_callers_directory_is_not_the_boxes(caisson, canary):
    done = caisson.sh("pwd; ls; readlink /proc/self/cwd; cat file", cwd=canary.folder)
    assert done.stdout.split() == ["/workspace", "/workspace"]
