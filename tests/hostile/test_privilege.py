"""Nothing in a box gives rights outside of it: setuid, file capabilities, user namespaces, keys."""

import os
import shutil
import stat
import struct
import subprocess

import pytest

from support.attack import run_inside, wait_for

pytestmark = pytest.mark.without_subuid


def status_of(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def host_processes(caisson, box):
    """Host ids of the box's processes, its first one excepted."""
    init = caisson.inspect(box)["init_pid"]
    with open(f"/proc/{init}/task/{init}/children") as file:
        return [int(pid) for pid in file.read().split()]


def make_setuid(image):
    program = image / "bin/suid"
    shutil.copy(image / "bin/identity", program)
    program.chmod(0o6755)


@pytest.mark.needs_subuid
def test_setuid_root_program_gives_nothing(caisson, image):
    make_setuid(image)
    done = caisson("run", "--rm", "-u", "1000", f"dir:{image}", "/bin/suid")
    assert "euid 1000 egid 1000" in done.stdout
    assert "NoNewPrivs:\t1" in done.stdout
    assert "CapEff:\t0000000000000000" in done.stdout
    assert "setuid 0\n" not in done.stdout


@pytest.mark.needs_subuid
def test_setuid_root_program_in_a_full_box_is_not_root_outside(caisson, image):
    make_setuid(image)
    box = caisson.detached("/bin/suid", "1000", source=f"dir:{image}",
                           options=("-u", "1000", "--profile", "full"))
    wait_for(lambda: "setuid" in caisson("logs", box).stdout)
    assert "euid 0" in caisson("logs", box).stdout  # sudo in an image works
    uids = {uid for pid in host_processes(caisson, box) for uid in status_of(pid)["Uid"].split()}
    caisson("rm", "-f", box, check=True)
    assert uids and "0" not in uids, uids


@pytest.mark.root_only
@pytest.mark.parametrize("profile", ["minimal", "standard", "full"])
def test_file_capabilities_give_nothing(caisson, image, profile):
    program = image / "bin/capable"
    shutil.copy(image / "bin/identity", program)
    everything = 0xffffffff
    os.setxattr(program, "security.capability",
                struct.pack("<IIIII", 0x02000001, everything, everything, everything, everything))
    done = caisson("run", "--rm", "-u", "1000", "--profile", profile, f"dir:{image}", "/bin/capable")
    effective = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("CapEff")]
    # A file's capabilities count only in the namespace of the id that gave them, the host's.
    assert effective in ([], ["0000000000000000"]), done.stdout


@pytest.mark.parametrize("profile, bounding", [("minimal", 0), ("standard", 0xa80425fb), ("full", 0xa80425fb)])
def test_capabilities_are_the_profiles(caisson, profile, bounding):
    done = caisson.sh("grep ^Cap /proc/self/status", "--profile", profile)
    caps = {name: int(value, 16) for name, value in (l.split(":\t") for l in done.stdout.splitlines())}
    assert caps["CapBnd"] == caps["CapPrm"] == caps["CapEff"] == bounding
    assert caps["CapInh"] == caps["CapAmb"] == 0


@pytest.mark.parametrize("profile", ["minimal", "standard", "full"])
def test_no_nested_user_namespace(caisson, profile):
    found = run_inside(caisson, """
NEWUSER = 0x10000000
tell([call(272, NEWUSER), call(56, NEWUSER | 17, 0, 0, 0, 0), call(272, NEWUSER | 0x7e020000),
      call(435, 0, 0), call(308, os.open("/proc/self/ns/user", os.O_RDONLY), NEWUSER)])
""", "--profile", profile)
    assert found[0:3] == ["EPERM"] * 3
    assert found[3] == "ENOSYS"
    assert found[4] == "EPERM"


@pytest.mark.parametrize("profile", ["standard", "full"])
def test_other_ids_than_the_boxes_do_not_exist(caisson, profile):
    found = run_inside(caisson, """
open("/tmp/f", "w").close()
tell([attempt(lambda: os.setuid(70000)), attempt(lambda: os.chown("/tmp/f", 70000, 70000)),
      attempt(lambda: os.setgid(70000)), os.stat("/proc/1").st_uid, os.stat("/usr/bin/env").st_uid])
""", "--profile", profile)
    assert found[:3] == ["EINVAL"] * 3


def test_keys_of_the_caller_are_unreachable(caisson):
    """Keyrings know no namespaces; also without the filter a box has a session keyring of its own."""
    done = run_inside(caisson, """
tell([call(250, 6, -3, 0, 0), call(250, 11, -3, 0, 0), call(248, "user", "k", "v", 1, -3), call(249, "user", "k", 0, -3)])
""")
    assert set(done) == {"EPERM"}
    ring = run_inside(caisson, """
import re
tell([libc.syscall(250, 0, -3, 0), open("/proc/keys").read() if os.path.isfile("/proc/keys") else ""])
""", "--security", "seccomp=unconfined")
    assert ring[1] == ""


def test_setuid_file_made_in_a_box_is_out_of_reach_on_the_host(caisson, image):
    box = caisson("run", "-d", f"dir:{image}", "--", "sh", "-c", "cp /bin/identity /mine; chmod 6755 /mine; sleep 1000",
                  check=True).stdout.strip()
    path = f"{caisson.home}/boxes/{box}/upper/mine"
    if os.geteuid() == 0:
        wait_for(lambda: os.path.exists(path) and os.stat(path).st_mode & stat.S_ISUID)
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", path],
                              capture_output=True, text=True, timeout=10, check=False)
        assert done.returncode != 0
        assert "euid" not in done.stdout
    for folder in (caisson.home, f"{caisson.home}/boxes", f"{caisson.home}/db",
                   f"{caisson.home}/boxes/{box}", f"{caisson.home}/cache", f"{caisson.home}/ended"):
        assert stat.S_IMODE(os.stat(folder).st_mode) & 0o077 == 0, folder
    caisson("rm", "-f", box, check=True)


def test_host_processes_of_a_box_have_no_rights(caisson):
    """Seen from the host: neither the first process nor those of the box are root or capable."""
    box = caisson.detached("sleep", "1000")
    init = caisson.inspect(box)["init_pid"]
    states = [status_of(pid) for pid in (init, *host_processes(caisson, box))]
    namespaces = {os.readlink(f"/proc/{pid}/ns/user") for pid in host_processes(caisson, box)} \
        if os.geteuid() == 0 else set()
    caisson("rm", "-f", box, check=True)
    assert len(states) == 2
    for state in states:
        assert os.geteuid() != 0 or "0" not in state["Uid"].split()
        assert os.geteuid() != 0 or "0" not in state["Gid"].split()
    assert states[0]["CapEff"] == "0000000000000000"
    assert os.readlink("/proc/self/ns/user") not in namespaces
