"""`caisson doctor`: what is claimed was attacked, and a defence that is missing is found."""

import json
import subprocess

import pytest

from support import host

pytestmark = [pytest.mark.without_subuid]

DEFENCES = {"files", "attributes", "mounts", "signals", "tracing", "network", "unix_sockets", "system_calls",
            "privileges", "shared_memory", "descriptors"}


NO_GUEST = {"CAISSON_GUEST": "/nonexistent"}  # microVMs: test_doctor_microvm.py


def doctor(caisson, *options):
    done = caisson("doctor", "--json", *options, timeout=110, env=NO_GUEST)
    document = json.loads(done.stdout)
    return done.returncode, {(row["isolation"], row["name"]): row for row in document["rows"]}, document


def test_every_claim_is_proved(caisson):
    status, rows, document = doctor(caisson, "--fresh")
    assert status == 0
    start = rows["microvm", "start"]
    assert start["proof"] == "unavailable" and "./dev guest" in start["hint"], "it is not there, and no failure"
    assert document["fully_isolated"]["microvm"] is False
    for isolation, names in ("container", DEFENCES | {"kernel_files"}), ("process", DEFENCES):
        assert document["fully_isolated"][isolation] is True
        for name in names | {"start"}:
            row = rows[isolation, name]
            assert (row["proof"], row["required"]) == ("proved", True), row
    for row in rows.values():
        assert row["proof"] in ("proved", "unavailable"), row
        if row["proof"] == "unavailable":
            assert row["detail"], row
    for limit in "open_files", "file_size":
        assert rows["container", f"limit_{limit}"]["proof"] == "proved"
    assert rows["container", "limit_tmpfs"]["proof"] == "proved"
    if host.IS_ROOT:
        for limit in "memory", "pids", "cpus":
            assert rows["container", f"limit_{limit}"]["proof"] == "proved", rows["container", f"limit_{limit}"]
    for name in ("kernel", "user_namespaces", "userns_sysctls", "userns_apparmor", "landlock", "overlay", "kvm",
                 "cgroup_memory", "idmap_home"):
        assert ("", name) in rows
    table = caisson("doctor", env=NO_GUEST).stdout
    assert "FAILED" not in table and "container" in table and "proved" in table


HOLES = [("container", name) for name in (
    "files", "network", "system_calls", "privileges", "shared_memory", "kernel_files", "descriptors",
    "limit_open_files", "limit_file_size", "limit_tmpfs")]
HOLES += [("process", name) for name in ("files", "signals", "network", "system_calls", "descriptors")]


@pytest.mark.seconds(300)
@pytest.mark.parametrize("name", sorted({name for _, name in HOLES}))
def test_a_missing_defence_fails(caisson, name):
    status, rows, document = doctor(caisson, "--without", name)
    assert status == 1
    for isolation in (isolation for isolation, hole in HOLES if hole == name):
        row = rows[isolation, name]
        assert row["proof"] == "failed" and row["detail"], row
        if not name.startswith("limit_"):
            assert document["fully_isolated"][isolation] is False
    assert caisson("run", "--rm", "host:", "true").returncode == 0, "nothing of it is remembered"


@pytest.mark.root_only
@pytest.mark.seconds(300)
@pytest.mark.parametrize("name", ["limit_memory", "limit_pids", "limit_cpus"])
def test_a_missing_limit_of_a_cgroup_fails(caisson, name):
    for _ in range(4):  # a busy machine may give the box too little to compute more than is allowed
        status, rows, _ = doctor(caisson, "--without", name)
        if status == 1:
            break
    assert status == 1 and rows["container", name]["proof"] == "failed", rows["container", name]


def test_a_system_call_filter_is_many_defences(caisson):
    _, rows, _ = doctor(caisson, "--without", "system_calls")
    for name in "system_calls", "shared_memory", "unix_sockets", "attributes":
        assert rows["process", name]["proof"] == "failed", rows["process", name]


def test_it_is_remembered(caisson):
    first = doctor(caisson, "--fresh")[1]
    assert doctor(caisson)[1] == first


def test_bad_words(caisson):
    done = caisson("doctor", "--without", "nothing")
    assert done.returncode != 0 and "no such row" in done.error_line()
    assert caisson("doctor", "x").returncode == 125
    for name in "mounts", "tracing", "attributes", "unix_sockets", "start":
        assert "several" in caisson("doctor", "--without", name).error_line()


@pytest.mark.root_only
def test_what_is_not_proved_is_not_started_by_root(caisson):
    """In a mount namespace with a /run/caisson of its own: root's is for the whole machine."""
    run = f"{caisson.program} run --rm host: true"
    script = (f"mkdir -p /run/caisson && mount -t tmpfs -o mode=700 none /run/caisson && {run} || exit 99\n"
              f"for f in /run/caisson/proof-container-*; do printf 'files (read /secret)' > $f; done\n{run}")
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], env=caisson.env, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 125, done
    assert "files (read /secret)" in done.stderr and "doctor" in done.stderr


@pytest.mark.user_only
@pytest.mark.parametrize("found, starts", [("proved\n", True), ("files (read /secret)", False)])
def test_what_is_not_proved_is_not_started(caisson, home, found, starts):
    """A home of its own for what is remembered, as a user without a home directory has."""
    env = {"XDG_RUNTIME_DIR": str(home.parent)}
    assert caisson("run", "--rm", "host:", "true", env=env).returncode == 0
    [proof] = (home.parent / "caisson").glob("proof-container-*")
    proof.write_text(found)
    done = caisson("run", "--rm", "host:", "true", env=env)
    assert (done.returncode == 0) == starts
    assert starts or ("files (read /secret)" in done.error_line() and "doctor" in done.error_line())
    for path in (home.parent / "caisson").iterdir():
        path.unlink()
    (home.parent / "caisson").rmdir()


def test_without_a_shim_nothing_is_claimed(caisson):
    done = caisson("doctor", "--json", env={"CAISSON_SHIM": "/bin/false"})
    rows = [row for row in json.loads(done.stdout)["rows"] if row["isolation"] in ("container", "process", "microvm")]
    assert rows and all(row["proof"] == "unavailable" for row in rows)
    assert json.loads(done.stdout)["fully_isolated"] == {"container": False, "process": False, "microvm": False}
