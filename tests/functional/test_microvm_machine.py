"""The machine of a microVM: its kernel, its disks' speed, the memory it takes and gives back."""

import json
import time
from pathlib import Path

import pytest

from support.host import guest_dir
from support.microvm import NEEDS_GUEST, VM, machine_of
from support.microvm import box, image  # noqa: F401: fixtures

pytestmark = NEEDS_GUEST
MIB = 1 << 20


@pytest.mark.warm(False)
def test_cold(caisson, image, home):
    """It boots, and neither takes a template nor leaves one."""
    done = caisson("run", "--rm", "--json", "--cold", *VM, image, "--", "uname", "-r", timeout=120)
    assert done.json()["exit_code"] == 0, done.stdout
    assert not list(home.glob("templates/*"))


def test_a_kernel_of_ones_own(caisson, image, workdir):
    kernel = workdir / "kernel"
    kernel.write_bytes((guest_dir() / "vmlinux").read_bytes())
    done = caisson("run", "--rm", "--kernel", "kernel", *VM, image, "--", "uname", "-r", cwd=workdir, timeout=120)
    assert (done.returncode, done.stderr) == (0, "") and "cloud" in done.stdout
    (workdir / "text").write_text("no kernel\n" * 100)
    done = caisson("run", "--rm", "--kernel", workdir / "text", *VM, image, "--", "true")
    assert done.returncode == 125 and "neither an ELF file nor a bzImage" in done.error_line()
    done = caisson("run", "--rm", "--kernel", workdir / "missing", *VM, image, "--", "true")
    assert done.returncode == 125 and "missing" in done.error_line()
    done = caisson("run", "--rm", "--kernel", kernel, image, "--", "true")
    assert done.returncode == 125 and "--isolation microvm" in done.error_line()


def seconds_of_writing(caisson, box):
    began = time.monotonic()
    caisson("exec", box, "--", "sh", "-c", "head -c 12582912 /dev/zero > /x; busybox sync", check=True, timeout=120)
    return time.monotonic() - began


def test_disk_rate(caisson, image):
    for options, least in ((("--disk-bps", "2m"), 4), (("--disk-iops", "10"), 1), ((), 0)):
        slow = caisson.detached("sleep", "1000", source=image, options=(*VM, *options))
        try:
            took = seconds_of_writing(caisson, slow)
            assert took > least, f"12 MiB in {took} s with {options}"
            assert options or took < 4
        finally:
            caisson("rm", "-f", slow, check=True)


def resident(process):
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096


def test_memory_is_given_back(caisson, image):
    """What a program has freed is the host's again."""
    big = caisson.detached("sleep", "1000", source=image, options=VM)
    try:
        qemu = machine_of(caisson, big)
        caisson("exec", big, "--", "sh", "-c", "head -c 200000000 /dev/zero | tail -c 200000000 > /dev/null",
                check=True, timeout=120)
        full = resident(qemu)
        end = time.monotonic() + 60
        while resident(qemu) > full - 100 * MIB:
            assert time.monotonic() < end, f"{full >> 20} MiB, then {resident(qemu) >> 20}"
            time.sleep(0.5)
        assert caisson("exec", big, "--", "echo", "on").stdout == "on\n"
    finally:
        caisson("rm", "-f", big, check=True)


def test_figures_of_the_monitor(caisson, box):
    usage = caisson("stats", "--json", box, check=True).json()["usage"]
    assert 10 * MIB < usage["vmm_memory_bytes"] < 500 * MIB and usage["vmm_cpu_ns"] > 0
    assert usage["memory_bytes"] < 64 * MIB, "of the box alone"
    assert "VMM" in caisson("stats", box, check=True).stdout


def templates(caisson):
    return [json.loads(line) for line in caisson("vm", "ls", "--json", check=True).stdout.splitlines()]


@pytest.mark.warm(False)
def test_warm(caisson, image, home):
    """The first box of the kind goes on from what was made for it; nothing else is left of that."""
    size = ("--memory", "96m")
    assert templates(caisson) == [] and caisson("vm", "prune", check=True).stdout == ""
    done = caisson("vm", "warm", *size, check=True, timeout=120)
    assert (done.stdout, done.stderr) == ("", "")
    [of_size] = templates(caisson)
    assert (of_size["cpus"], of_size["source"]) == (1, "") and (96 + 128) * MIB <= of_size["memory_bytes"] < 300 * MIB
    assert caisson("vm", "warm", "--json", *size, "--", image, check=True, timeout=120).json() == {"warnings": []}
    box, also = templates(caisson)
    assert also["name"] == of_size["name"] and box["name"].startswith(of_size["name"]), "used last first"
    assert (box["source"], box["memory_bytes"]) == (image, of_size["memory_bytes"]) and box["size_bytes"] > MIB
    assert caisson("ps", "-a", "-q", check=True).stdout == "" and not list((home / "fetch/staging").iterdir())
    caisson("image", "tag", caisson("images", "-q", check=True).stdout.strip(), "localhost/also:1", check=True)
    done = caisson("run", "--rm", "--json", *VM, *size, "--timeout", "60s", "-e", "A=1", "localhost/also:1", "--", "sh", "-c", "echo $A", timeout=120)
    stages = {stage["name"] for stage in done.json()["stages"]}
    assert done.json()["exit_code"] == 0 and not stages & {"template", "box"}, "it was all there"
    assert caisson("vm", "ls", "-q", check=True).stdout.split() == [box["name"], of_size["name"]]
    running = caisson.detached("sleep", "1000", source=image, options=(*VM, *size))
    removed = caisson("vm", "prune", "--json", check=True).json()["deleted"]
    assert set(removed) == {box["name"], of_size["name"]} and templates(caisson) == []
    assert caisson("exec", running, "--", "echo", "on").stdout == "on\n"
    caisson("rm", "-f", running, check=True)


@pytest.mark.parametrize("words, part", [
    (("host:",), "files of the host"), (("--cold", "IMAGE"), "cold"), (("--kernel", "/k", "IMAGE"), "kernel"),
    (("-v", "/tmp:/x", "IMAGE"), "files of the host"), (("--isolation", "process", "IMAGE"), "'process'"),
    (("-d", "IMAGE"), "-d"), (("-v", "/tmp:/x"), "files of the host"),
    (("--memory", "1m", "IMAGE"), "memory"), (("--disk-bps", "0", "IMAGE"), "disk_bytes"),
    (("oci:/nowhere",), "/nowhere"), (("--ready-timeout", "0s",), "ready_timeout")])
def test_what_cannot_be_warm(caisson, image, home, words, part):
    done = caisson("vm", "warm", *(image if word == "IMAGE" else word for word in words), timeout=120)
    assert done.returncode == 125 and part in done.error_line(), done
    assert [info for info in templates(caisson) if info["source"]] == []
    staging = home / "fetch/staging"
    assert not staging.exists() or not list(staging.iterdir())


def test_a_deadline_of_ones_own(caisson, image):
    done = caisson("run", "--rm", "--cold", "--ready-timeout", "50ms", *VM, image, "--", "true", timeout=60)
    line = done.error_line()
    assert done.returncode == 125 and "did not answer in time" in line and "--ready-timeout" in line


def test_the_agent_is_small(bin_dir):
    """Each machine has it in its memory, and unpacks it when it boots."""
    assert (bin_dir / "caisson-agent").stat().st_size <= 2 * MIB
