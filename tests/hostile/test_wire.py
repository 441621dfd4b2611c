"""Hostile bytes on a shim's socket: the box and its shim live on, and serve others."""

import os
import socket
import stat
import struct
import subprocess
import time

import pytest

from support.attack import rss_kib, shim_of, wait_for

pytestmark = pytest.mark.without_subuid

REQUEST, REPLY, EVENT, DATA, CREDIT = range(1, 6)
MAX_PAYLOAD = 1 << 20


def frame(kind, payload, stream=0, length=None):
    return struct.pack("<IBI", len(payload) if length is None else length, kind, stream) + payload


def text(value):
    data = value.encode()
    return bytes([0x60 + len(data)]) + data if len(data) < 24 else b"\x78" + bytes([len(data)]) + data


def request(op, **fields):
    """A CBOR map; the values are CBOR already."""
    fields = {"version": b"\x01", "op": text(op)} | fields
    return bytes([0xa0 + len(fields)]) + b"".join(text(k) + v for k, v in fields.items())


STATS = frame(REQUEST, request("stats"))

HOSTILE = {
    "nothing": b"",
    "one byte": b"\x00",
    "half a header": b"\x05\x00\x00",
    "zeros": bytes(100_000),
    "ones": b"\xff" * 100_000,
    "noise": os.urandom(1 << 20),
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "length of 4 GiB": frame(REQUEST, b"", length=0xffffffff),
    "length just too large": frame(REQUEST, b"", length=MAX_PAYLOAD + 1) + bytes(MAX_PAYLOAD + 1),
    "largest frame of nothing": frame(REQUEST, bytes(MAX_PAYLOAD)),
    "truncated": frame(REQUEST, request("stats"), length=1000),
    "type 0": frame(0, b"\xa0"),
    "type 6": frame(6, b"\xa0"),
    "type 255": frame(255, b"\xa0"),
    "a reply": frame(REPLY, b"\xa1" + text("ok") + b"\xa0"),
    "an event": frame(EVENT, b"\xa0"),
    "data": frame(DATA, bytes(8) + b"x", stream=1),
    "data too short": frame(DATA, b"x", stream=1),
    "credit too short": frame(CREDIT, b"x"),
    "credit of everything": frame(CREDIT, b"\xff" * 8) * 100,
    "credit of nothing": frame(CREDIT, bytes(8)) * 1000,
    "empty request": frame(REQUEST, b""),
    "not a map": frame(REQUEST, b"\x01"),
    "two maps": frame(REQUEST, b"\xa0\xa0"),
    "an endless map": frame(REQUEST, b"\xbf" + b"\x61a\x01" * 1000),
    "a map of 2^64 members": frame(REQUEST, b"\xbb" + b"\xff" * 8),
    "a string of 2^63 bytes": frame(REQUEST, b"\xa1\x7b\x7f" + b"\xff" * 7),
    "an array of 2^32 members": frame(REQUEST, b"\xa1\x62op\x9a\xff\xff\xff\xff"),
    "deep arrays": frame(REQUEST, b"\xa1\x62op" + b"\x81" * 100_000 + b"\x00"),
    "deep maps": frame(REQUEST, b"\xa1\x61a" * 50_000 + b"\x00"),
    "deep tags": frame(REQUEST, b"\xa1\x62op" + b"\xc1" * 100_000 + b"\x00"),
    "the same key twice": frame(REQUEST, b"\xa2" + (text("op") + text("stats")) * 2),
    "a key that is no text": frame(REQUEST, b"\xa1\x01\x01"),
    "not UTF-8": frame(REQUEST, b"\xa1\x62op\x64\xff\xfe\xfd\xfc"),
    "op missing": frame(REQUEST, b"\xa0"),
    "op is a number": frame(REQUEST, b"\xa1\x62op\x01"),
    "version missing": frame(REQUEST, b"\xa1" + text("op") + text("stats")),
    "version of the future": frame(REQUEST, request("stats", version=b"\x19\xff\xff")),
    "a field that nobody knows": frame(REQUEST, request("stats", later=b"\x01")),
    "op unknown": frame(REQUEST, request("format-disk")),
    "start again": frame(REQUEST, request("start")),
    "remove": frame(REQUEST, request("remove", directory=text("/"), name=text("tmp"))),
    "exec without fields": frame(REQUEST, request("exec")),
    "exec without descriptors": frame(REQUEST, request("exec", spec=b"\xa1" + text("command") + b"\x81" + text("true"))),
    "exec of nothing": frame(REQUEST, request("exec", spec=b"\xa1" + text("command") + b"\x80")),
    "signal 0": frame(REQUEST, request("signal", number=b"\x00")),
    "signal -1": frame(REQUEST, request("signal", number=b"\x20")),
    "signal 2^63": frame(REQUEST, request("signal", number=b"\x1b\x80" + bytes(7))),
    "signal 1.5": frame(REQUEST, request("signal", number=b"\xf9\x3e\x00")),
    "kill for an unknown reason": frame(REQUEST, request("kill", reason=text("boredom"))),
    "stop in the past": frame(REQUEST, request("stop", grace_ns=b"\x3b\x7f" + b"\xff" * 7)),
    "many requests at once": STATS * 2000,
    "attach twice": frame(REQUEST, request("attach", stdin=b"\xf4")) * 2,
    "wait twice": frame(REQUEST, request("wait")) * 2,
    "wait, attach, stats": frame(REQUEST, request("wait")) + frame(REQUEST, request("attach")) + STATS,
}


@pytest.fixture
def box(caisson):
    """A running box; at the end it still runs, with the same shim, which is still small."""
    made = caisson.detached("sh", "-c", "while :; do echo tick; sleep 0.05; done")
    shim = shim_of(caisson, made)
    yield made
    assert caisson("exec", made, "--", "echo", "alive").stdout == "alive\n"
    assert shim_of(caisson, made) == shim
    assert rss_kib(shim) < 48 * 1024
    caisson("rm", "-f", made, check=True)


@pytest.fixture
def connect(caisson, box):
    opened = []

    def dial():
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(10)
        client.connect(f"{caisson.home}/boxes/{box}/{box}.sock")
        opened.append(client)
        return client

    yield dial
    for client in opened:
        client.close()


def push(client, data):
    """Sends what is taken; a shim that hangs up is right to do so."""
    try:
        client.sendall(data)
    except (BrokenPipeError, ConnectionResetError, socket.timeout):
        pass


def drain(client, seconds=0.2):
    client.settimeout(seconds)
    got = b""
    try:
        while data := client.recv(65536):
            got += data
    except (socket.timeout, ConnectionResetError):
        pass
    return got


def answer(client):
    """The kind of the first frame that comes back."""
    header = b""
    while len(header) < 5 and (data := client.recv(5 - len(header))):
        header += data
    return header[4:5]


def test_an_honest_request_is_answered(connect):
    client = connect()
    client.sendall(STATS)
    assert drain(client)[4] == REPLY


def test_hostile_bytes(caisson, box, connect):
    """One connection each, some of them left open, some closed at once."""
    for number, (name, data) in enumerate(HOSTILE.items()):
        client = connect()
        push(client, data)
        drain(client, 0.02)
        if number % 2:
            client.close()
        honest = connect()
        honest.sendall(STATS)
        assert answer(honest) == bytes([REPLY]), f"no answer to others after: {name}"
        honest.close()
    assert caisson.inspect(box)["state"] == "running"


def test_hostile_bytes_one_at_a_time(connect):
    client = connect()
    for byte in STATS + frame(REQUEST, b"\xbf" * 50):
        push(client, bytes([byte]))
    assert drain(client)[4] == REPLY


def test_too_many_descriptors(caisson, box, connect):
    shim = shim_of(caisson, box)
    before = len(os.listdir(f"/proc/{shim}/fd")) if os.access(f"/proc/{shim}/fd", os.R_OK) else None
    clients = [connect() for _ in range(5)]
    with open("/dev/null") as null:
        for client in clients:
            for _ in range(30):
                try:
                    socket.send_fds(client, [b"\x01"], [null.fileno()] * 50)
                except OSError:
                    break
    for client in clients:
        drain(client, 0.05)
        client.close()
    if before is not None:
        wait_for(lambda: len(os.listdir(f"/proc/{shim}/fd")) <= before, 5, "closing of what was sent")


def test_connections_that_say_nothing(caisson, box, connect):
    clients = []
    for _ in range(300):
        try:
            clients.append(connect())
        except OSError:
            break
    assert caisson("exec", box, "--", "echo", "served").stdout == "served\n"


def test_client_that_asks_and_never_reads(caisson, box, connect):
    shim = shim_of(caisson, box)
    client = connect()
    client.setblocking(False)
    sent, deadline = 0, time.monotonic() + 1.5
    while time.monotonic() < deadline and sent < 64 << 20:
        try:
            sent += client.send(STATS * 1000)
        except BlockingIOError:
            time.sleep(0.01)
    assert rss_kib(shim) < 48 * 1024
    assert caisson("exec", box, "--", "echo", "served").stdout == "served\n"


def test_client_that_attaches_and_never_reads(caisson, connect):
    """It has no credit to give: the shim keeps nothing for it."""
    loud = caisson.detached("yes")
    client = socket.socket(socket.AF_UNIX)
    client.connect(f"{caisson.home}/boxes/{loud}/{loud}.sock")
    client.sendall(frame(REQUEST, request("attach", stdin=b"\xf4")) + frame(CREDIT, b"\xff" * 8) * 3)
    time.sleep(0.7)
    assert rss_kib(shim_of(caisson, loud)) < 48 * 1024
    client.close()
    caisson("rm", "-f", loud, check=True)


def test_socket_is_for_its_user_alone(caisson, box):
    folder = f"{caisson.home}/boxes/{box}"
    path = f"{folder}/{box}.sock"
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    if os.geteuid() != 0:
        return
    # Also when somebody opens the way to it.
    for folder in (caisson.home, f"{caisson.home}/boxes", folder):
        os.chmod(folder, 0o755)
    os.chmod(path, 0o777)
    dial = ("import socket; s = socket.socket(socket.AF_UNIX); s.connect(%r); s.sendall(%r); s.settimeout(5);"
            "print(len(s.recv(100)))" % (path, STATS))
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", dial],
                          capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout.strip() in ("", "0"), done.stdout
    os.chmod(caisson.home, 0o700)


def test_box_cannot_reach_its_own_socket(caisson, box):
    done = caisson("exec", box, "--", "sh", "-c", "ls -R /run /var/run; cat /proc/net/unix")
    assert box not in done.stdout


@pytest.mark.user_only
def test_a_box_does_not_command_another_by_its_socket(caisson, box):
    """An ordinary user's box has the user's id, and may be shown a directory that holds the home."""
    script = f"""
import socket
s = socket.socket(socket.AF_UNIX)
s.connect("/h/boxes/{box}/{box}.sock")
s.sendall({STATS!r})
s.settimeout(5)
try:
    print(len(s.recv(100)))
except OSError:
    print(0)
"""
    done = caisson("run", "--rm", "-v", f"{caisson.home}:/h:ro", "host:", "--", "python3", "-c", script)
    assert done.stdout in ("0\n", ""), done
