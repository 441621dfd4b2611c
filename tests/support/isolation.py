"""The functional suite with boxes of another isolation: `pytest --isolation microvm`.

Every `run` and `create` of the fixture `caisson` gets `--isolation`, and instead of `host:` an image with
the programs that tests use: a box that shows files of the host boots, and takes seconds for it. Of
EXCLUDED nothing runs, which the run says at its beginning.
"""

import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

from support.images import Image, Layer, directory, file, link, write_layout

IMAGE = "localhost/programs:1"

HOSTS = "is about the host and Caisson's records, whatever is in the box"
REFUSED = "is about what is refused before there is a box"
IMAGES = "is about images, which are the same for every isolation"
SHOWN = "files of the host: test_microvm shows them"
DISK = "a microVM's disk has that size: the program is told that it is full, and the box goes on"
SLOW = "takes minutes with an emulated processor; test_microvm does the same in small"
LATER = "the guest counts what reached its disk, which is later than a program wrote it"

# Why a module, a test, or a test with its parameters does not run.
EXCLUDED = {"microvm": {
    "test_microvm.py": "runs with the others", "test_microvm_memory.py": "runs with the others",
    "test_microvm_faults.py": "runs with the others", "test_microvm_commit.py": "runs with the others",
    "test_doctor_microvm.py": "runs with the others", "test_microvm_machine.py": "runs with the others",
    
    "test_bad_input.py": REFUSED, "test_cli.py": REFUSED, "test_box_file.py": REFUSED,
    "test_image_strategies.py": IMAGES, "test_images_local.py": IMAGES, "test_images_local_store.py": IMAGES,
    "test_images_registry.py": IMAGES, "test_images_registry_detours.py": IMAGES, "test_images_transfer.py": IMAGES,
    "test_isolation.py": "names its isolations itself", "test_doctor.py": "names its isolations itself",
    "test_faults.py": "makes each step of a container's set-up fail", "test_forbidden_namespaces.py": "is about containers",
    "test_idmap.py": SHOWN, "test_protect.py": SHOWN, "test_volumes.py": SHOWN,
    "test_100_mib_of_stdin": SLOW, "test_100_mib_through_cat": SLOW, "test_large_files_stream": SLOW,
    "test_flood_without_reader_does_not_fill_memory_or_disk": SLOW,
    "test_the_library": "makes its boxes itself, as containers",
    "test_host_network_is_asked_for_by_name": "a microVM has no network of the host's",
    "test_disk": DISK, "test_disk_of_many_files": DISK, "test_disk_of_one_large_file": DISK,
    "test_disk_holds_between_starts": DISK,
    "test_of_a_limit[head -c 3m /dev/zero > /workspace/x; sleep 1000-options3-used up its disk limit (1m)]": DISK,
    "test_a_check_that_cannot_be_executed_again_and_again": "its times are too short for a directory of the host's",
    "test_default_tmpfs_size": "an image has its own /tmp, `host:` a tmpfs",
    "test_usage_of_work": LATER, "test_usage_counts_bytes_of_what_was_killed": LATER,
}}


def add_option(parser):
    parser.addoption("--isolation", choices=("container", *EXCLUDED), default="container",
                     help="the isolation of boxes that tests make without a word on it")


def select(config, items):
    """Takes what is excluded out of `items`; the lines that say so."""
    reasons = EXCLUDED.get(config.getoption("isolation"), {})
    found = {item: [name for name in (item.path.name, item.originalname, item.name) if name in reasons]
             for item in items}
    dropped = [item for item in items if found[item]]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if not found[item]]
    counts = {name: sum(name in names for names in found.values()) for name in reasons}
    return [f"without {count} of {name}: {reasons[name]}" for name, count in counts.items() if count]


def words(isolation, arguments):
    """What the program is called with."""
    if isolation == "container" or not arguments or arguments[0] not in ("run", "create"):
        return arguments
    options = () if "--isolation" in arguments else ("--isolation", isolation)
    rest = (IMAGE if word == "host:" else word for word in arguments[1:])
    return (arguments[0], *options, *rest)


# --- a home that has the image ------------------------------------------------------------------

PROGRAMS = """sh bash python3 awk grep sed find tar ps pgrep hostname setsid su script cmp xargs getent mount umount
basename cat chmod chown chgrp cp cut date dd df du echo env expr false head id ln ls mkdir mkfifo mknod mktemp mv
nproc od printf pwd readlink realpath rm rmdir seq sha256sum sleep sort stat stty sync tail tee test timeout touch tr
true truncate tty uname uniq wc who yes""".split()


def libraries(programs):
    """The files that the loader takes for them, as absolute paths."""
    out = subprocess.run(["ldd", *programs], capture_output=True, text=True, timeout=20, check=False).stdout
    return {word for word in out.split() if word.startswith("/") and not word.endswith(":")}


def python_files():
    """The standard library without its large packages."""
    top = Path(sysconfig.get_path("stdlib"))
    below = ("collections", "encodings", "importlib", "json", "lib-dynload", "re")
    for folder in (top, *(top / name for name in below)):
        for path in (*folder.glob("*.py"), *folder.glob("*.so"), *folder.glob("__pycache__/*.pyc")):
            yield path


def programs_image():
    """Like what `host:` shows: the same files at the same places, of which nothing can be written."""
    found = {f"/usr/bin/{name}": shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") for name in PROGRAMS}
    files = {at: path for at, path in found.items() if path}
    files |= {f"/usr{path}".replace("/usr/usr", "/usr"): path for path in libraries(files.values())}
    files |= {str(path): path for path in python_files()}
    folders = {str(parent) for at in files for parent in Path(at).parents} - {"/"}
    members = [directory(folder[1:]) for folder in sorted(folders)]
    members += [file(at[1:], Path(path).read_bytes(), mode=0o755 if os.access(path, os.X_OK) else 0o644)
                for at, path in sorted(files.items())]
    members += [link(name, f"usr/{name}") for name in ("bin", "lib", "lib64", "sbin")]
    members += [directory(name) for name in ("etc", "home", "mnt", "opt", "root", "usr/sbin", "workspace")]
    members += [directory("tmp", mode=0o1777),
                file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"),
                file("etc/group", "root:x:0:\nnogroup:x:65534:\n"), file("etc/hostname", "caisson\n")]
    return Image([Layer(members, "none")], {"WorkingDir": "/workspace"})


class Seed:
    """A home that has the image, its disk and templates of machines, from which every test's begins."""

    def __init__(self, caisson, folder):
        write_layout(folder / "layout", {"latest": programs_image()})
        caisson("pull", f"oci:{folder}/layout", check=True)
        ident = caisson("images", "-q", "--no-trunc", check=True).stdout.strip()
        caisson("image", "tag", ident, IMAGE, check=True)
        for options in ((), ("--memory", "64m")):  # the sizes that most tests have
            caisson("run", "--rm", *options, "host:", "true", check=True)
        self.home = Path(caisson.home)

    def give(self, home):
        """Files that nobody writes to are the same ones under second names."""
        own = ("db", "audit", "metrics")
        home.mkdir(mode=0o700)
        shared = [path for path in self.home.iterdir() if path.name not in own]
        subprocess.run(["cp", "-al", *shared, home], check=True, timeout=60)
        subprocess.run(["cp", "-a", self.home / "db", home], check=True, timeout=60)
