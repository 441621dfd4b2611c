"""Layers made to lead outward, or to use the machine up. Whatever comes: nothing outside changes; and
what is refused is refused in one line and leaves nothing."""

import gzip
import os
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest

from support import host
from support.images import (Image, Layer, busybox_image, device, directory, fifo, file, hardlink, header, link,
                            opaque, pax, raw, tar_bytes, whiteout)

UP = "../" * 12


# --- names --------------------------------------------------------------------------------------

def outward(canary):
    """Names that would lead to the canary."""
    inside = str(canary.folder).lstrip("/")
    return [f"{UP}{inside}/file", f"a/{UP}{inside}/new", "..", "a/..", "a/../../x", f"./{UP}{inside}/file"]


@pytest.mark.without_subuid
def test_names_that_lead_out(trial, canary):
    for name in outward(canary):
        for make in (file, directory, lambda n: link(n, "/"), fifo):
            trial.layer_refused([directory("a"), make(name)])
        trial.layer_refused([file("x", "x"), hardlink("y", name)])
        trial.layer_refused([directory("a"), pax({b"path": name.encode()}), raw(b"harmless", b"x")])
        trial.layer_refused([raw(b"././@LongLink", name.encode() + b"\0", kind=b"L", magic=b"ustar  \0"),
                             raw(b"harmless", b"x", magic=b"ustar  \0")])


@pytest.mark.without_subuid
def test_absolute_names_stay_inside(trial, canary):
    tree = trial.taken([file(str(canary.file), "x"), file("//double", "x")])
    assert trial.run(f"cat {canary.file} /double") == "xx"
    assert (tree / "double").exists()


@pytest.mark.without_subuid
def test_links_as_parents(trial, canary):
    """`a -> /canary`, then a/file: a directory of its own, or refused; never the canary."""
    for target in (str(canary.folder), UP + str(canary.folder).lstrip("/"), f"/proc/self/root{canary.folder}"):
        for last in (file("a/file", "x"), directory("a/inner"), link("a/file", "x"), whiteout("a/file"),
                     opaque("a"), fifo("a/pipe"), file("a/inner/file", "x"), whiteout("a/inner"),
                     directory("a", mode=0o777), hardlink("a/hard", "b")):
            done = trial.pull(Image([Layer([file("b", "b"), link("a", target), last], "none")]))
            assert done.returncode == 0 or done.error_line()


@pytest.mark.without_subuid
def test_links_of_a_layer_below_as_parents(trial, canary):
    for last in (file("a/file", "x"), whiteout("a/file"), opaque("a"), directory("a/inner"), file("a/b/c", "x"),
                 hardlink("h", "a/file"), hardlink("h", "a")):
        done = trial.pull(busybox_image(Layer([link("a", str(canary.folder))]), Layer([last], "none")))
        assert done.returncode == 0 or done.error_line()
        if done.returncode == 0:
            seen = trial.caisson("run", "--rm", "--pull", "never", done.stdout.strip(), "--", "sh", "-c", "cat /h /a/file 2>&1")
            assert canary.secret not in seen.stdout


@pytest.mark.without_subuid
def test_hard_links_out(trial, canary):
    for target in (str(canary.file), UP + str(canary.file).lstrip("/"), "s/file", "/etc/passwd", "../../db/state.db"):
        done = trial.pull(Image([Layer([link("s", str(canary.folder)), hardlink("h", target)], "none")]))
        trial.check_refused(done)
    assert os.stat(canary.file).st_nlink == 1


@pytest.mark.without_subuid
def test_names_that_are_reserved_or_impossible(trial):
    for name in (".wh.", ".wh..", ".wh...", ".wh.d/f"):
        trial.layer_refused([file(name)])
    trial.layer_refused([file("n" * 256)])
    trial.layer_refused([file("/".join(["d"] * 400))])
    trial.layer_refused([file("/".join(["d" * 200] * 30))])
    for path in (b"a\0b", b"", b"a\0/../../../x"):
        done = trial.pull(Image([Layer([pax({b"path": path}), raw(b"x", b"")], "none")]))
        if done.returncode == 0:
            trial.forget(done.stdout.strip())
        else:
            trial.check_refused(done)


def test_deep_path_that_still_fits(trial):
    trial.taken([file("/".join(["d"] * 200) + "/f", "deep")])
    assert trial.run(f"cat /{'/'.join(['d'] * 200)}/f") == "deep"


@pytest.mark.without_subuid
def test_names_that_are_no_utf_8(trial):
    """Bytes stay bytes, and a terminal never sees them."""
    trial.taken([raw(b"\xff\xfe\x80", b"bytes"), raw(b"\x1b]0;t\x07", b"escape")])
    assert "bytes" in trial.run("cat /$(printf '\\377\\376\\200')")
    line = trial.layer_refused([raw(b"\x1b[31m/../../x", b"")])
    assert "\x1b" not in line


def test_duplicates(trial):
    """The last one counts, of whatever kind the others were."""
    kinds = [file("x", "first"), directory("x"), link("x", "/etc/passwd"), fifo("x")]
    for kind in kinds:
        trial.taken([kind, file("x", "last")])
        assert trial.run("cat /x; cat /etc/passwd | head -n 1") == "lastroot:x:0:0:root:/root:/bin/sh\n"
    trial.taken([directory("x"), file("x/inside", "1"), link("x", "/tmp"), file("x/after", "2")])
    trial.run("ls -la /x /tmp")


# --- what a member is ---------------------------------------------------------------------------

def test_devices(trial, canary):
    """Nothing usable is made on the host, and none can be used in a box."""
    tree = trial.taken([device("null", "c", 1, 3, mode=0o666), device("sda", "b", 8, 0, mode=0o666),
                        device("mem", "c", 1, 1, mode=0o666), device("kmsg", "c", 1, 11, mode=0o666)])
    for name in ("null", "sda", "mem", "kmsg"):
        info = os.lstat(tree / name)
        if not host.IS_ROOT:
            assert stat.S_ISREG(info.st_mode) and info.st_size == 0
            assert b"-" in os.getxattr(tree / name, "user.containers.override_stat")
    text = trial.run("for f in null sda mem kmsg; do head -c 1 /$f > /dev/null 2>&1 && echo $f; echo x > /$f 2>/dev/null; "
                     "done; true")
    assert not set(text.split()) & {"sda", "mem", "kmsg"} or not host.IS_ROOT
    trial.layer_refused([device("odd", "c", 1 << 20, 3)])


def test_host_side_of_a_home_is_closed(trial):
    """Others cannot reach a set-user-id program of an image through the home."""
    tree = trial.taken([file("setuid/busybox", Path("/bin/busybox").read_bytes(), mode=0o6755)])
    assert os.stat(tree / "setuid/busybox").st_mode & 0o7777 == 0o6755
    closed = any(not os.stat(folder).st_mode & 0o007 for folder in [tree, *tree.parents][1:4])
    assert closed, "a directory above denies others"
    assert trial.run("/setuid/busybox id -u", "-u", "0").strip() == "0"


def test_extended_attributes(trial):
    bad = {"security.capability": b"\x01\0\0\x02" + b"\xff" * 16, "trusted.overlay.opaque": "y",
           "user.overlay.opaque": "y", "user.overlay.redirect": "/etc", "user.overlay.metacopy": "",
           "trusted.overlay.redirect": "/", "security.selinux": "x", "system.posix_acl_access": b"\2\0\0\0",
           "user.containers.override_stat": "0:0:4755", "user.fine": "kept"}
    tree = trial.taken([file("f", "x", xattrs=bad), directory("etc", xattrs=bad)])
    names = set(os.listxattr(tree / "f")) | set(os.listxattr(tree / "etc"))
    own = {"user.containers.override_stat"} if not host.IS_ROOT else set()
    assert not {name for name in names if name.startswith(("trusted.", "user.overlay.", "security.selinux"))}, names
    assert names - own <= {"user.fine", "security.capability"}, names
    for name in own & names:
        assert os.getxattr(tree / "etc", name) != b"0:0:4755"
    assert "app" in trial.run("cat /etc/passwd"), "the directory is not opaque"


def test_attribute_beyond_size(trial):
    done = trial.pull(Image([Layer([file("f", "x", xattrs={"user.big": "x" * (1 << 20)})], "none")]))
    trial.check_refused(done) if done.returncode else None


# --- numbers ------------------------------------------------------------------------------------

@pytest.mark.without_subuid
def test_sizes_that_lie(trial):
    huge = b"\x80" + b"\0" * 3 + b"\x7f" + b"\xff" * 7
    negative = b"\xff" * 12
    for block in (header(b"f", size_field=negative), header(b"f", size_field=huge),
                  header(b"f", size_field=b"77777777777\0"), header(b"f", size=1 << 20),
                  header(b"f", size_field=b"-0000000001\0"), header(b"f", checksum=b"0000000\0"), b"\xff" * 512, b"text, no tar" * 100):
        trial.layer_refused([file("before", "x"), block])
    for value in (b"-1", b"99999999999999999999", b"9223372036854775807", b"10000000000"):
        trial.layer_refused([pax({b"size": value}), raw(b"f", b"content")])


@pytest.mark.without_subuid
def test_pax_headers_that_lie(trial):
    for data in (b"999999999 path=x\n", b"0 path=x\n", b"-5 path=x\n", b"11 path\n", b"path=x\n",
                 b"4294967306 path=x\n", b"18446744073709551626 path=x\n", b"\xff" * 600):
        done = trial.pull(Image([Layer([pax(data), raw(b"f", b"content")], "none")]))
        if done.returncode == 0:
            trial.forget(done.stdout.strip())
        else:
            trial.check_refused(done)
    for key, value in ((b"uid", b"-1"), (b"gid", b"4294967295"), (b"uid", b"99999999999999999999")):
        done = trial.pull(Image([Layer([pax({key: value}), raw(b"f", b"content")], "none")]))
        trial.check_refused(done)
    trial.layer_refused([header(b"long", kind=b"x", size=1 << 30), b"x" * 4096])
    trial.layer_refused([header(b"././@LongLink", kind=b"L", size=1 << 30), b"x" * 4096])


def sparse(real, offset, length, content=b""):
    table = b"1\n%d\n%d\n" % (offset, length)
    data = table + bytes(512 - len(table)) + content
    return pax({b"GNU.sparse.major": b"1", b"GNU.sparse.minor": b"0", b"GNU.sparse.name": b"sparse",
                b"GNU.sparse.realsize": b"%d" % real}) + raw(b"GNUSparseFile.0/sparse", data)


@pytest.mark.without_subuid
def test_sparse_files_beyond_measure(trial):
    for real in (1 << 62, (1 << 64) - 1, 1 << 70, 1 << 40):
        trial.layer_refused([sparse(real, 0, 1, b"x")])
    for member_ in (sparse(10, 1 << 62, 1, b"x"), sparse(10, 5, 100, b"x" * 100), sparse(10, 0, 1 << 40, b"x")):
        done = trial.pull(Image([Layer([member_], "none")]))
        assert done.returncode == 0 or trial.check_refused(done)
        if done.returncode == 0:
            trial.forget(done.stdout.strip())


# --- bombs --------------------------------------------------------------------------------------

def zeros(megabytes):
    """The gzip of a tar with one file of zeros, without ever holding it."""
    process = subprocess.Popen(["gzip", "-1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    chunk = bytes(1 << 20)

    def feed():
        try:
            process.stdin.write(header(b"zeros", size=megabytes << 20))
            for _ in range(megabytes):
                process.stdin.write(chunk)
            process.stdin.close()
        except BrokenPipeError:
            pass
    threading.Thread(target=feed).start()
    data = process.stdout.read()
    process.wait()
    return data


@pytest.fixture(scope="module")
def gzip_of_zeros():
    return zeros(1200)


@pytest.mark.seconds(60)
def test_gzip_bomb(trial, gzip_of_zeros):
    """1,2 GiB out of 5 MiB."""
    began = time.monotonic()
    trial.layer_refused(Layer(b"", blob=gzip_of_zeros))
    assert time.monotonic() - began < 30
    assert not list(Path(trial.caisson.home).glob("fetch/staging/*/*"))


@pytest.mark.seconds(60)
def test_zstd_bomb(trial):
    start = header(b"zeros", size=1_300_000_000)
    for first in (start, bytes(512)):  # a file of zeros, and nothing but zeros
        process = subprocess.run(["sh", "-c", "{ cat; head -c 1300000000 /dev/zero; } | zstd -q -1 -c"], input=first,
                                 capture_output=True, check=True)
        trial.layer_refused(Layer(b"", "zstd", blob=process.stdout))


@pytest.mark.without_subuid
def test_zstd_window_beyond_measure(trial):
    tar = tar_bytes([file("f", "x" * 10_000)])
    for level in ("--ultra --long=31", "--ultra --long=30"):
        data = subprocess.run(["zstd", "-q", "-c", *level.split(), "--no-check"], input=tar + bytes(64 << 20),
                              capture_output=True, check=True).stdout
        done = trial.pull(Image([Layer(tar, "zstd", blob=data)]))
        trial.check_refused(done)
    # A frame whose header asks for a window of 2 TiB.
    frame = bytes.fromhex("28b52ffd") + bytes([0x00, (31 << 3) | 7]) + b"\x01\0\0"
    trial.layer_refused(Layer(tar, "zstd", blob=frame))


@pytest.mark.root_only  # it takes half a minute
@pytest.mark.seconds(100)
def test_two_million_entries(trial):
    """In 20 KiB: refused, in bounded time and memory. All are one directory, or the disk would be the limit."""
    many = gzip.compress(header(b"same/", kind=b"5") * 2_000_100 + bytes(1024), 1)
    began = time.monotonic()
    trial.layer_refused(Layer(b"", blob=many), timeout=90)
    assert time.monotonic() - began < 60


def test_nested_compression_is_not_followed(trial):
    inner = gzip.compress(tar_bytes([file("f", "x")]))
    trial.layer_refused(Layer(tar_bytes([file("f", "x")]), blob=gzip.compress(inner)))
