"""Boxes of the isolation `microvm`."""

import os
import shutil
from pathlib import Path

import pytest

from support import host
from support.images import Layer, busybox_image, link, write_layout

NEEDS_GUEST = [pytest.mark.seconds(240), pytest.mark.warm(True),
               pytest.mark.skipif(bool(host.missing_guest()), reason=f"needs a guest: {host.missing_guest()}")]
VM = ("--isolation", "microvm")


def make_templates(caisson):
    """Of the sizes that most tests have: the directory of them."""
    for size in ((), ("--memory", "96m")):
        caisson("vm", "warm", *size, check=True, timeout=240)
    return Path(caisson.home) / "templates"


def give_templates(templates, home):
    """Nobody writes to their files, so they are the same ones under second names; own() is for who does."""
    home.mkdir(mode=0o700)
    shutil.copytree(templates, home / "templates", copy_function=os.link)


def of_size(template):
    """The one that the template with a box comes from."""
    return template.with_name(template.name.rpartition("-")[0])


def own(path):
    """Makes the file one of its own."""
    copy = path.with_name("copy")
    shutil.copy2(path, copy)
    copy.rename(path)
    return path


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
