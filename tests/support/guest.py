"""Guests that do not do what a guest should: what ./dev guest made, with another /init."""

import hashlib
import json
from pathlib import Path

from support import host

BOOT = """#!/busybox sh
/busybox mount -t proc none /proc; /busybox mount -t devtmpfs none /dev
for file in $(/busybox cat /modules/early); do /busybox insmod /modules/$file; done
"""


def cpio(files):
    """An archive that the kernel unpacks over the one before it: {path: (mode, bytes)}, in the format "newc"."""
    archive = b""
    for path, (mode, data) in {**files, "TRAILER!!!": (0, b"")}.items():
        name = path.encode() + b"\0"
        fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name), 0)
        for part in (b"070701" + b"".join(b"%08X" % field for field in fields) + name, data):
            archive += part + bytes(-len(part) % 4)
    return archive


def first_process(archive):
    """The agent that is /init in an archive of the same format."""
    at = 0
    while True:
        size, length = (int(archive[at + start:at + start + 8], 16) for start in (54, 94))
        data = at + 110 + length + -(110 + length) % 4
        if archive[at + 110:at + 110 + length] == b"init\0":
            return archive[data:data + size]
        at = data + size + -size % 4


def with_init(folder, script):
    """The directory of a guest whose first process is `script`, a shell's; the agent is /agent there.
    Returns the environment that names it."""
    made, guest = Path(host.guest_dir()), folder / "guest"
    guest.mkdir()
    (guest / "vmlinux").symlink_to(made / "vmlinux")
    initramfs = (made / "initramfs").read_bytes()
    files = {"busybox": (0o100755, Path("/bin/busybox").read_bytes()), "init": (0o100755, script.encode()),
             "agent": (0o100755, first_process(initramfs))}
    initramfs += bytes(-len(initramfs) % 512) + cpio(files)
    (guest / "initramfs").write_bytes(initramfs)
    manifest = json.loads((made / "manifest.json").read_text())
    manifest["files"]["initramfs"] = {"sha256": hashlib.sha256(initramfs).hexdigest(), "size": len(initramfs)}
    (guest / "manifest.json").write_text(json.dumps(manifest))
    return {"CAISSON_GUEST": str(guest)}
