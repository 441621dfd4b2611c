"""A registry that does what a test wants of it, and remembers what it was asked.

    fake = FakeRegistry()
    reference = fake.add("test/image", "1", image)
    fake.on("/blobs/", lambda request: request.answer(503), times=2)
    ... caisson pull {reference} ...
    assert fake.count("/blobs/") == 4
"""

import json
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support.images import MEDIA_TYPES, Index


@dataclass
class Asked:
    method: str
    path: str
    headers: dict
    status: int = 0
    sent: int = 0  # bytes of the body
    ended: bool = field(default=False)


@dataclass
class Rule:
    pattern: re.Pattern
    action: object
    times: int  # how often it acts; negative: always


class Request(BaseHTTPRequestHandler):
    """One request, as a rule's action gets it."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        fake = self.server.fake
        self.asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
        with fake.lock:
            fake.requests.append(self.asked)
            action = fake.take_rule(self.path)
        try:
            if action is None or action(self) == "go on":
                self.serve()
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            self.close_connection = True
        finally:
            self.asked.ended = True

    do_HEAD = do_GET

    # --- answers ---

    def begin(self, status, headers=None, length=None):
        self.asked.status = status
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if length is not None and "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def answer(self, status, body=b"", headers=None):
        body = body.encode() if isinstance(body, str) else body
        self.begin(status, headers, len(body))
        if self.command != "HEAD":
            self.send(body)

    def send(self, data):
        self.wfile.write(data)
        self.asked.sent += len(data)

    def fail(self, status, code="DENIED", message="no", headers=None):
        self.answer(status, json.dumps({"errors": [{"code": code, "message": message}]}),
                    {"Content-Type": "application/json", **(headers or {})})

    def hang_up(self):
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def truncate(self, data, at, status=200, headers=None):
        """Promises all of `data`, sends `at` bytes and is gone."""
        self.begin(status, headers, len(data))
        self.send(data[:at])
        self.hang_up()

    def drip(self, data, pause, piece=1):
        self.begin(200, {}, len(data))
        for start in range(0, len(data), piece):
            self.send(data[start:start + piece])
            self.wfile.flush()
            time.sleep(pause)

    def flood(self, total, piece=bytes(1 << 16), headers=None, announce=True):
        """Sends `total` bytes, or as many as the client takes."""
        self.begin(200, headers, total if announce else None)
        self.close_connection = True
        while self.asked.sent < total:
            self.send(piece)

    def redirect(self, where, status=307):
        self.answer(status, b"", {"Location": where})

    # --- what an honest registry does ---

    def serve(self):
        path = self.path.partition("?")[0]
        if path == "/v2/":
            return self.answer(200, b"{}", {"Content-Type": "application/json"})
        found = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/([^/]+)", path)
        if not found:
            return self.fail(404, "NAME_UNKNOWN")
        repository, kind, name = found.groups()
        if kind == "manifests":
            return self.serve_manifest(repository, name)
        data = self.server.fake.blobs.get(name)
        return self.fail(404, "BLOB_UNKNOWN") if data is None else self.serve_blob(data)

    def serve_manifest(self, repository, name):
        found = self.server.fake.manifests.get((repository, name))
        if not found:
            return self.fail(404, "MANIFEST_UNKNOWN", "manifest unknown")
        kind, text = found
        return self.answer(200, text, {"Content-Type": kind})

    def serve_blob(self, data, headers=None):
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not wanted or not self.server.fake.ranges:
            return self.answer(200, data, headers)
        start = int(wanted[1])
        if start >= len(data):
            return self.fail(416, "RANGE_INVALID", headers={"Content-Range": f"bytes */{len(data)}"})
        part = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}", **(headers or {})}
        return self.answer(206, data[start:], part)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_):
        """A client that hangs up, or speaks TLS to a plain server, is no news."""


class FakeRegistry:
    def __init__(self, certificates=None):
        self.blobs, self.manifests, self.requests, self.rules = {}, {}, [], []
        self.ranges = True
        self.lock = threading.Lock()
        self.server = Server(("127.0.0.1", 0), Request)
        self.server.fake = self
        if certificates:
            self.server.socket = certificates.server_context().wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"{'https' if certificates else 'http'}://{self.host}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    # --- what there is ---

    def add(self, repository, tag, image):
        """Takes an image or an index in; its reference."""
        self.blobs.update(image.blobs())
        self._manifests(repository, image)
        kind = "index" if isinstance(image, Index) else "manifest"
        self.manifests[repository, tag] = (MEDIA_TYPES[image.family][kind], image.manifest)
        return f"{self.host}/{repository}:{tag}"

    def _manifests(self, repository, image):
        kind = "index" if isinstance(image, Index) else "manifest"
        self.manifests[repository, image.digest] = (MEDIA_TYPES[image.family][kind], image.manifest)
        for entry in getattr(image, "entries", ()):
            self._manifests(repository, entry)

    def on(self, pattern, action, times=-1):
        """`action(request)` answers what matches, `times` times; "go on" leaves it to the registry."""
        self.rules.append(Rule(re.compile(pattern), action, times))

    def take_rule(self, path):
        for rule in self.rules:
            if rule.times != 0 and rule.pattern.search(path):
                rule.times -= 1
                return rule.action
        return None

    # --- what was asked ---

    def asked(self, pattern="", method=None):
        with self.lock:
            return [one for one in self.requests
                    if re.search(pattern, one.path) and method in (None, one.method)]

    def count(self, pattern="", method=None):
        return len(self.asked(pattern, method))

    def sent(self, pattern=""):
        return sum(one.sent for one in self.asked(pattern))


class TokenServer:
    """A rule set: `fake` wants a bearer token, which its own /token gives for `basic` credentials
    (or for nothing). Remembers the scopes."""

    def __init__(self, fake, basic=None, realm=None):
        self.fake, self.basic, self.scopes = fake, basic, []
        self.realm = realm or f"{fake.url}/token"
        fake.on("^/token", self.give)
        fake.on("^/v2/", self.guard)

    def give(self, request):
        self.scopes += re.findall(r"scope=([^&]*)", request.path)
        if self.basic and request.headers.get("Authorization") != f"Basic {self.basic}":
            return request.fail(401, "UNAUTHORIZED", "who are you?")
        return request.answer(200, json.dumps({"token": "secret-token", "expires_in": 300}),
                              {"Content-Type": "application/json"})

    def guard(self, request):
        if request.headers.get("Authorization") == "Bearer secret-token":
            return "go on"
        scope = re.match(r"/v2/(.+)/(?:manifests|blobs)/", request.path)
        words = f'Bearer realm="{self.realm}",service="fake"'
        words += f',scope="repository:{scope[1]}:pull"' if scope else ""
        return request.fail(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": words})
