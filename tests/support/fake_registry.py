"""A registry of threads that records what it is asked and lies as it is told.

    with FakeRegistry() as registry:
        name = registry.push("test/a", "1", image)
        registry.fault(r"/blobs/", status(503), times=1)
        caisson("pull", name)
        assert registry.count("GET", r"/blobs/" + layer.digest) == 2
"""

import json
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from support.images import sha256
from support.registry import basic


@dataclass
class Seen:
    """One request; `sent` counts the bytes of the answer's body."""
    method: str
    path: str
    headers: dict
    sent: int = 0
    status: int = 0
    at: float = field(default_factory=time.monotonic)


@dataclass
class Fault:
    pattern: re.Pattern
    act: object
    left: int | None


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle(self):
        try:
            # Whoever tries TLS first is told at once.
            if self.server.plain and self.connection.recv(1, socket.MSG_PEEK) == b"\x16":
                return
            super().handle()
        except OSError:
            pass

    def do_GET(self):
        owner = self.server.owner
        self.seen = Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
        with owner.lock:
            owner.requests.append(self.seen)
        length = int(self.headers.get("Content-Length") or 0)
        self.form = self.rfile.read(length) if length else b""
        for act in owner.acts(self.path):
            if act(self) is not PASS:
                return
        owner.serve(self)

    do_HEAD = do_POST = do_GET

    def reply(self, code, body=b"", headers=None, length=None):
        """`length` overrides the header, and then the connection ends with the body."""
        self.begin(code, {"Content-Length": str(len(body) if length is None else length)} | (headers or {}))
        if length is not None:
            self.close_connection = True
        if self.command != "HEAD":
            self.send(body)

    def begin(self, code, headers):
        self.seen.status = code
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def send(self, body):
        pace = self.server.owner.pace
        step = pace[0] if pace else len(body) or 1
        for start in range(0, len(body), step):
            self.wfile.write(body[start:start + step])
            self.seen.sent += len(body[start:start + step])
            if pace:
                time.sleep(pace[1])


PASS = object()  # a fault's answer: as if it were not there


class FakeRegistry:
    def __init__(self, certificates=None):
        self.requests, self.faults, self.lock = [], [], threading.Lock()
        self.blobs, self.manifests = {}, {}
        self.pace = None  # (bytes, seconds of pause after them)
        self.ranges = True
        self.token_users = None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.owner, self.server.plain = self, certificates is None
        self.server.daemon_threads = True
        self.server.block_on_close = False
        self.scheme = "https" if certificates else "http"
        if certificates:
            self.server.socket = certificates.server_context().wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)

    @property
    def name(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"{self.scheme}://{self.name}"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    # --- content ------------------------------------------------------------------------------

    def push(self, repository, tag, image):
        """`image` is an Image or an Index of support/images.py. Returns the reference."""
        for entry in getattr(image, "entries", ()):
            self.push(repository, entry.digest, entry)
        media = image.descriptor()["mediaType"]
        for reference in (tag, image.digest):
            self.manifests[repository, reference] = (media, image.manifest)
        if not hasattr(image, "entries"):
            self.blobs.update(image.blobs())
        return f"{self.name}/{repository}:{tag}"

    def fault(self, pattern, act, times=None):
        """`act(handler)` answers what matches (a search in the path), `times` times or always."""
        self.faults.append(Fault(re.compile(pattern), act, times))

    def acts(self, path):
        with self.lock:
            found = [fault for fault in self.faults if fault.left != 0 and fault.pattern.search(path)]
            for fault in found:
                if fault.left is not None:
                    fault.left -= 1
        return [fault.act for fault in found]

    def seen(self, method="GET", pattern=""):
        return [one for one in list(self.requests) if one.method == method and re.search(pattern, one.path)]

    def count(self, method="GET", pattern=""):
        return len(self.seen(method, pattern))

    # --- answers ------------------------------------------------------------------------------

    def require_token(self, user, password, realm=None, token="token-of-a-test"):
        """Bearer tokens, for this user; the token server is this server or `realm`."""
        self.token_users = (basic(user, password), realm or f"{self.url}/token", token)

    def serve(self, handler):
        path = urlsplit(handler.path).path
        if path == "/token":
            return self.serve_token(handler)
        if self.token_users and handler.seen.headers.get("authorization") != f"Bearer {self.token_users[2]}":
            repository = path.removeprefix("/v2/").rpartition("/")[0].rpartition("/")[0]
            challenge = (f'Bearer realm="{self.token_users[1]}",service="own",'
                         f'scope="repository:{repository}:pull"')
            return handler.reply(401, b"{}", {"WWW-Authenticate": challenge})
        if path == "/v2/":
            return handler.reply(200, b"{}")
        found = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", path)
        if found and found[2] == "manifests" and (found[1], found[3]) in self.manifests:
            media, manifest = self.manifests[found[1], found[3]]
            return handler.reply(200, manifest, {"Content-Type": media, "Docker-Content-Digest": sha256(manifest)})
        if found and found[2] == "blobs" and found[3] in self.blobs:
            return self.serve_blob(handler, self.blobs[found[3]])
        return handler.reply(404, b'{"errors":[{"code":"UNKNOWN","message":"no such thing"}]}')

    def serve_blob(self, handler, blob):
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.seen.headers.get("range", ""))
        if not wanted or not self.ranges:
            return handler.reply(200, blob)
        first = int(wanted[1])
        if first >= len(blob):
            return handler.reply(416, b"")
        return handler.reply(206, blob[first:],
                             {"Content-Range": f"bytes {first}-{len(blob) - 1}/{len(blob)}"})

    def serve_token(self, handler):
        if not self.token_users or handler.seen.headers.get("authorization") != self.token_users[0]:
            return handler.reply(401, b'{"errors":[{"message":"who are you"}]}')
        handler.seen.scope = parse_qs(urlsplit(handler.path).query).get("scope")
        return handler.reply(200, json.dumps({"token": self.token_users[2], "expires_in": 60}).encode())


# --- faults -------------------------------------------------------------------------------------

def status(code, headers=None, body=b""):
    return lambda handler: handler.reply(code, body, headers)


def redirect(place, code=307):
    """`place` is a URL or makes one of the path."""
    return lambda handler: handler.reply(code, b"", {"Location": place(handler.path) if callable(place) else place})


def instead(body, media_type="application/octet-stream"):
    return lambda handler: handler.reply(200, body, {"Content-Type": media_type})


def truncated(blob, kept):
    """The first `kept` bytes of what is asked for, under the whole's length."""
    def act(handler):
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.seen.headers.get("range", ""))
        first = int(wanted[1]) if wanted else 0
        headers = {"Content-Range": f"bytes {first}-{len(blob) - 1}/{len(blob)}"} if wanted else {}
        handler.reply(206 if wanted else 200, blob[first:first + kept], headers, length=len(blob) - first)
    return act


def wrong_range(blob):
    """A part, but not the one that was asked for."""
    def act(handler):
        if "range" not in handler.seen.headers:
            return PASS
        return handler.reply(206, blob[1:], {"Content-Range": f"bytes 1-{len(blob) - 1}/{len(blob)}"})
    return act


def endless(media_type, limit=256 << 20):
    """A body without an end (or of `limit` bytes, so that a test ends)."""
    def act(handler):
        handler.begin(200, {"Content-Type": media_type, "Transfer-Encoding": "chunked"})
        handler.close_connection = True
        block = b"{\"a\": [" + b" " * 65529
        while handler.seen.sent < limit:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
            handler.seen.sent += len(block)
            block = b" " * 65536
    return act
