"""`caisson doctor` of microVMs: the guest attacks, and so does the process that is the machine."""

import json
import subprocess

import pytest

from support import host
from support.microvm import NEEDS_GUEST, VM
from support.microvm import image  # noqa: F401: a fixture

pytestmark = [*NEEDS_GUEST, pytest.mark.without_subuid]

DEFENCES = {"files", "attributes", "mounts", "signals", "tracing", "network", "unix_sockets", "system_calls",
            "privileges", "shared_memory", "kernel_files", "descriptors"}
OF_MACHINES = {"own_kernel", "host_unreachable", "device_set", "vmm_privileges", "vmm_system_calls",
               "vmm_namespaces", "vmm_files", "vmm_network"}
LIMITS = {f"limit_{name}" for name in ("memory", "pids", "cpus", "open_files", "file_size", "tmpfs")}


def doctor(caisson, *options):
    done = caisson("doctor", "--json", *options, timeout=230)
    document = json.loads(done.stdout)
    rows = {row["name"]: row for row in document["rows"] if row["isolation"] == "microvm"}
    return done.returncode, rows, document


def test_every_claim_is_proved(caisson):
    status, rows, document = doctor(caisson, "--fresh")
    assert set(rows) == DEFENCES | OF_MACHINES | LIMITS | {"start"}
    for name, row in rows.items():
        assert (row["proof"], row["required"]) == ("proved", name not in LIMITS), row
    assert status == 0 and document["fully_isolated"]["microvm"] is True
    assert doctor(caisson)[2]["rows"] == document["rows"], "it is remembered"


HOLES = {"device_set": "virtio-keyboard-device", "vmm_privileges": "CapPrm", "vmm_system_calls": "filters",
         "vmm_namespaces": "net namespace", "vmm_files": "secret" if not host.IS_ROOT else "/etc/passwd",
         "vmm_network": "abstract socket"}


@pytest.mark.parametrize("name", sorted(HOLES))
def test_a_missing_defence_of_the_machine_fails(caisson, name):
    status, rows, document = doctor(caisson, "--without", name)
    assert status == 1 and {row["isolation"] for row in document["rows"]} == {"microvm"}, "only these have it"
    assert rows[name]["proof"] == "failed" and HOLES[name] in rows[name]["detail"], rows[name]
    assert document["fully_isolated"]["microvm"] is False
    also = {"vmm_namespaces"} if name == "vmm_network" else set()  # a network of its own is one of several
    held = (DEFENCES | OF_MACHINES) - {name} - also
    assert {other for other in held if rows[other]["proof"] != "proved"} == set(), "the others hold by themselves"


@pytest.mark.parametrize("name", ["files", "system_calls", "limit_memory"])
def test_a_missing_defence_in_the_guest_fails(caisson, name):
    status, rows, document = doctor(caisson, "--without", name)
    assert name in rows, document["rows"]  # else it did not start: why, is there
    assert status == 1 and rows[name]["proof"] == "failed" and rows[name]["detail"], rows[name]


@pytest.mark.parametrize("name", ["own_kernel", "host_unreachable"])
def test_what_cannot_be_left_out(caisson, name):
    assert "several" in caisson("doctor", "--without", name).error_line()


@pytest.mark.root_only
def test_what_is_not_proved_is_not_started(caisson, image):
    """In a mount namespace with a /run/caisson of its own: root's is for the whole machine."""
    run = f"{caisson.program} run --rm {' '.join(VM)} {image} -- true"
    script = (f"mkdir -p /run/caisson && mount -t tmpfs -o mode=700 none /run/caisson && {run} || exit 99\n"
              "grep -qx proved /run/caisson/proof-microvm-* || exit 98\n"
              f"for f in /run/caisson/proof-microvm-*; do printf 'own_kernel (its kernel is the host)' > $f; done\n{run}")
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], env=caisson.env, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 125, done
    assert "own_kernel (its kernel is the host)" in done.stderr and "doctor" in done.stderr
