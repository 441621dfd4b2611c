"""A real registry on loopback (Debian's docker-registry), and putting images into registries.

    with Registry(folder) as registry:
        registry.push("test/busybox", "1", busybox_image())
        caisson("pull", f"{registry.name}/test/busybox:1")
"""

import base64
import hashlib
import http.client
import json
import re
import ssl
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")


def run(*words):
    subprocess.run([*map(str, words)], capture_output=True, timeout=60, check=True)


class Certificates:
    """A CA of its own and a certificate of 127.0.0.1 and localhost, made by openssl."""

    def __init__(self, folder):
        folder = Path(folder)
        self.ca, self.key, self.cert = (folder / name for name in ("ca.pem", "key.pem", "cert.pem"))
        ca_key, request, names = (folder / name for name in ("ca-key.pem", "request.pem", "names"))
        elliptic = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        run("openssl", "req", "-x509", *elliptic, "-keyout", ca_key, "-out", self.ca, "-days", "30",
            "-subj", "/CN=own CA", "-addext", "basicConstraints=critical,CA:TRUE")
        run("openssl", "req", *elliptic, "-keyout", self.key, "-out", request, "-subj", "/CN=127.0.0.1")
        names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        run("openssl", "x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", ca_key, "-CAcreateserial",
            "-out", self.cert, "-days", "30", "-extfile", names)

    def server_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Registry:
    """docker-registry of its own directory, on a port that the kernel chose. With `certificates` it
    speaks TLS; `user` is (NAME, PASSWORD), without which nobody gets in."""

    def __init__(self, folder, certificates=None, user=None):
        self.folder, self.certificates, self.user = Path(folder), certificates, user
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "log"
        self.process = self.port = None

    @property
    def name(self):
        """As references begin: HOST:PORT."""
        return f"127.0.0.1:{self.port}"

    def start(self):
        settings = {"version": 0.1, "log": {"level": "info", "accesslog": {"disabled": True}},
                    "storage": {"filesystem": {"rootdirectory": str(self.folder / "storage")},
                                "delete": {"enabled": True}},
                    "http": {"addr": "127.0.0.1:0", "secret": "of a test"}}
        if self.certificates:
            settings["http"]["tls"] = {"certificate": str(self.certificates.cert),
                                       "key": str(self.certificates.key)}
        if self.user:
            run("htpasswd", "-B", "-b", "-c", self.folder / "htpasswd", *self.user)
            settings["auth"] = {"htpasswd": {"realm": "own", "path": str(self.folder / "htpasswd")}}
        config = self.folder / "config.yml"
        config.write_text(json.dumps(settings))  # JSON is YAML
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(["docker-registry", "serve", config], cwd=self.folder,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.port = self._wait_for_port()
        return self

    def _wait_for_port(self):
        for _ in range(1000):
            found = LISTENING.search(self.log.read_text(errors="replace"))
            if found:
                return int(found[1])
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        self.stop()
        raise RuntimeError(f"docker-registry does not listen: {self.log.read_text(errors='replace')}")

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # --- pushing ------------------------------------------------------------------------------

    def request(self, method, path, body=None, headers=None):
        """(status, headers, body)"""
        if self.certificates:
            trust = ssl.create_default_context(cafile=str(self.certificates.ca))
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=120, context=trust)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        own = {"Authorization": basic(*self.user)} if self.user else {}
        try:
            connection.request(method, path, body, own | (headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def _expect(self, wanted, method, path, *arguments):
        status, headers, body = self.request(method, path, *arguments)
        if status != wanted:
            raise RuntimeError(f"{method} {path}: status {status}: {body[:500]}")
        return headers

    def push_blob(self, repository, digest, body, size=None):
        """`body` is bytes or a file object of `size` bytes."""
        started = self._expect(202, "POST", f"/v2/{repository}/blobs/uploads/")
        place = urlsplit(started["Location"])
        self._expect(201, "PUT", f"{place.path}?{place.query}&digest={digest}", body,
                     {"Content-Type": "application/octet-stream",
                      "Content-Length": str(len(body) if size is None else size)})

    def push_manifest(self, repository, reference, manifest, media_type):
        self._expect(201, "PUT", f"/v2/{repository}/manifests/{reference}", manifest,
                     {"Content-Type": media_type})

    def push(self, repository, tag, image):
        """`image` is an Image or an Index of support/images.py. Returns the reference."""
        for entry in getattr(image, "entries", ()):
            self.push(repository, entry.digest, entry)
        if not hasattr(image, "entries"):
            for digest, data in image.blobs().items():
                if digest != image.digest:
                    self.push_blob(repository, digest, data)
        self.push_manifest(repository, tag, image.manifest, image.descriptor()["mediaType"])
        return f"{self.name}/{repository}:{tag}"


def file_digest(path):
    hashed = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            hashed.update(chunk)
    return "sha256:" + hashed.hexdigest()
