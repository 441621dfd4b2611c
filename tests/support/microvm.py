"""Boxes of the isolation `microvm`."""

import os
from pathlib import Path

import pytest

from support import host
from support.images import Layer, busybox_image, link, write_layout

NEEDS_GUEST = [pytest.mark.seconds(240),
               pytest.mark.skipif(bool(host.missing_guest()), reason=f"needs a guest: {host.missing_guest()}")]
VM = ("--isolation", "microvm")


@pytest.fixture
def image(workdir):
    more = Layer([link(f"bin/{name}", "busybox") for name in ("uname", "yes", "tail", "stty", "tty")])
    write_layout(workdir / "layout", {"latest": busybox_image(more)})
    return f"oci:{workdir}/layout"


@pytest.fixture
def box(caisson, image):
    running = caisson.detached("sleep", "1000", source=image, options=(*VM, "--memory", "96m"))
    yield running
    caisson("rm", "-f", running, check=True)


def machine_of(caisson, box):
    """The process id of the box's QEMU: the child of its shim."""
    shim = caisson.inspect(box)["shim_pid"]
    children = Path(f"/proc/{shim}/task/{shim}/children").read_text().split()
    [found] = [int(child) for child in children if b"qemu" in Path(f"/proc/{child}/cmdline").read_bytes()]
    return found


@pytest.fixture
def folder(workdir):
    place = workdir / "shown"
    (place / "deep").mkdir(parents=True)
    (place / "file").write_text("of the host\n")
    if host.IS_ROOT:
        for path in (place, place / "deep", place / "file"):
            os.chown(path, 501, 501)
    return place
