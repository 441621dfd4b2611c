"""What of the caller and of the host a box can learn."""

import os
import socket
import uuid

import pytest

from support.attack import run_inside

pytestmark = pytest.mark.without_subuid


def test_callers_environment_is_absent(caisson):
    secrets = {"AWS_SECRET_ACCESS_KEY": "canary-1", "SSH_AUTH_SOCK": "/canary-2", "LD_PRELOAD": "",
               "PYTHONPATH": "/canary-3", "DOCKER_HOST": "canary-4", "BASH_ENV": "/canary-5"}
    box = caisson("run", "-d", "host:", "sleep", "1000", env=secrets, check=True).stdout.strip()
    done = caisson("exec", box, "--", "sh", "-c", "cat /proc/*/environ /proc/*/cmdline; env", env=secrets)
    caisson("rm", "-f", box, check=True)
    assert "canary" not in done.stdout
    assert caisson.home not in done.stdout


def test_files_of_the_host_are_absent(caisson):
    found = run_inside(caisson, """
paths = ["/etc/shadow", "/etc/gshadow", "/etc/ssh", "/etc/machine-id", "/etc/sudoers", "/etc/ssl/private",
         "/etc/krb5.keytab", "/etc/fstab", "/etc/crontab", "/etc/subuid", "/var/lib/dpkg", "/var/log/apt",
         "/run/docker.sock", "/run/systemd", "/run/dbus", "/boot/grub", "/root/.ssh", "/root/.bashrc",
         "/dev/mem", "/dev/kmsg", "/dev/kvm", "/dev/fuse", "/dev/sda", "/dev/vda", "/dev/loop-control",
         "/dev/net/tun", "/dev/console", "/dev/hda", "/dev/port", "/dev/cpu"]
tell([path for path in paths if os.path.lexists(path)])
""")
    assert found == []


def test_home_directory_of_the_caller_is_absent(caisson):
    done = caisson.sh("ls -A /home /root /home/* /root/* 2>/dev/null; ls -d " + os.path.expanduser("~") + "/*")
    assert set(done.stdout.split()) <= {"/home:", "/root:", "user", "/home/user:"}


def test_host_socket_by_path_is_absent(caisson, canary):
    path = canary.folder.parent / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        answer = run_inside(caisson, f"""
import socket
tell(attempt(lambda: socket.socket(socket.AF_UNIX).connect({str(path)!r})))
""")
        assert answer == "ENOENT"


@pytest.mark.parametrize("profile", ["standard", "full"])
def test_host_abstract_socket_is_unreachable(caisson, profile):
    name = f"\0caisson-test-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(name)  # it is there
        answer = run_inside(caisson, f"""
import socket
tell([attempt(lambda: socket.socket(socket.AF_UNIX).connect({name!r})), open("/proc/net/unix").read()])
""", "--profile", profile)
    assert answer[0] == "ECONNREFUSED"
    assert name[1:] not in answer[1]


def test_abstract_socket_of_another_box_is_unreachable(caisson):
    serve = "import socket, time\ns = socket.socket(socket.AF_UNIX)\ns.bind('\\0meeting')\ns.listen()\nprint('up', flush=True)\ntime.sleep(1000)"
    box = caisson.detached("python3", "-c", serve)
    while "up" not in caisson("logs", box).stdout:
        pass
    answer = run_inside(caisson, """
import socket
tell(attempt(lambda: socket.socket(socket.AF_UNIX).connect("\\0meeting")))
""")
    caisson("rm", "-f", box, check=True)
    assert answer == "ECONNREFUSED"


def test_host_port_on_loopback_is_unreachable(caisson):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        answers = run_inside(caisson, f"""
import socket
def dial(address, family=socket.AF_INET):
    def action():
        s = socket.socket(family)
        s.settimeout(2)
        s.connect((address, {port}))
        return "done"
    return attempt(action)
tell([dial("127.0.0.1"), dial("169.254.169.254"), dial("10.0.0.1"), dial("::1", socket.AF_INET6)])
""")
    assert set(answers) <= {"ECONNREFUSED", "ENETUNREACH", "EADDRNOTAVAIL"}, answers


def test_message_queues_and_shared_memory_of_the_host_are_absent(caisson):
    key = 0x63616973
    found = run_inside(caisson, f"""
tell([call(29, {key}, 0, 0), call(64, {key}, 0, 0), call(68, {key}, 0), os.listdir("/dev/shm"),
      os.listdir("/dev/mqueue"), open("/proc/sysvipc/shm").read().count("\\n")])
""")
    assert found == ["ENOENT", "ENOENT", "ENOENT", [], [], 1]


def test_mount_table_tells_no_path_of_the_host(caisson, workdir, canary):
    done = caisson.sh("cat /proc/self/mountinfo /proc/mounts", "-v", f"{canary.folder}:/data:ro")
    assert caisson.home not in done.stdout
    assert "boxes/" not in done.stdout


def test_other_processes_are_invisible(caisson):
    found = run_inside(caisson, "tell(sorted(int(p) for p in os.listdir('/proc') if p.isdigit()))")
    assert len(found) == 2 and found[0] == 1
