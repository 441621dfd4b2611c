"""A host that forbids user namespaces: an error that says who forbids it, and nothing left."""

import subprocess
from pathlib import Path

import pytest

from support.cli import ULID

pytestmark = pytest.mark.without_subuid

WRAPPER = Path(__file__).resolve().parents[1] / "support/no_user_namespaces.py"


def run(caisson, *words):
    done = subprocess.run([*map(str, words)], env=caisson.env, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60, check=False)
    caisson.note_ids(done.stdout.encode())
    return done


def test_forbidden_by_a_filter(caisson):
    done = run(caisson, "/usr/bin/python3", WRAPPER, "EPERM", caisson.program, "run", "--name", "n", "host:", "true")
    assert (done.returncode, done.stdout) == (125, "")
    [line] = done.stderr.splitlines()
    assert "user namespace" in line and "Operation not permitted" in line
    assert "seccomp" in line or "sysctl" in line
    info = caisson.inspect("n")
    assert (info["state"], ULID.fullmatch(info["id"]) is not None) == ("failed", True)
    assert "user namespace" in info["error_reason"]
    assert caisson("start", "-a", "n").returncode == 0


def test_forbidden_reason(caisson):
    done = run(caisson, "/usr/bin/python3", WRAPPER, "EPERM", caisson.program, "run", "--rm", "--json", "host:", "true")
    assert '"user_namespace_forbidden"' in done.stdout
    assert caisson.boxes() == []


@pytest.mark.parametrize("answer, hint", [("EINVAL", "CONFIG_USER_NS"), ("ENOSPC", "user.max_user_namespaces"),
                                          ("EACCES", "security module"), ("EPERM", "seccomp")])
def test_the_hint_fits_the_answer(caisson, answer, hint):
    done = run(caisson, "/usr/bin/python3", WRAPPER, answer, caisson.program, "run", "--rm", "host:", "true")
    assert done.returncode == 125
    # What a host has switched off comes before what else it could have been.
    assert hint in done.stderr or answer in ("EACCES", "EPERM") and "sysctl" in done.stderr


@pytest.mark.user_only
def test_forbidden_by_sysctl(caisson):
    """The switch belongs to a user namespace, so one of our own can be switched off."""
    script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" run --rm --json host: true'
    done = run(caisson, "unshare", "--user", "--map-current-user", "--keep-caps", "sh", "-c", script,
               caisson.program)
    assert done.returncode == 125, done.stderr
    assert '"user_namespace_forbidden"' in done.stdout
    assert "user.max_user_namespaces" in done.stderr
    assert len(done.stderr.splitlines()) == 1
