"""A real registry (Debian's docker-registry) on loopback, and pushing to one."""

import base64
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from pathlib import Path

from support.images import MEDIA_TYPES, Index, sha256

USER, PASSWORD = "reader", "pass word: with/signs"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Certificates:
    """A CA of our own, and a certificate of it for 127.0.0.1 and localhost."""

    def __init__(self, folder):
        folder = Path(folder)
        folder.mkdir(exist_ok=True)
        self.ca, self.key, self.certificate = (folder / name for name in ("ca.crt", "server.key", "server.crt"))
        request, authority, names = (folder / name for name in ("server.csr", "ca.key", "names"))
        names.write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")
        elliptic = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        self._openssl("req", "-x509", *elliptic, "-keyout", authority, "-out", self.ca, "-days", "2",
                      "-subj", "/CN=caisson tests", "-addext", "keyUsage=critical,keyCertSign")
        self._openssl("req", *elliptic, "-keyout", self.key, "-out", request, "-subj", "/CN=127.0.0.1")
        self._openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", authority,
                      "-CAcreateserial", "-days", "2", "-extfile", names, "-out", self.certificate)

    @staticmethod
    def _openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)

    def server_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Registry:
    """One running docker-registry. With `certificates` it speaks TLS, with `password` it asks for it."""

    def __init__(self, folder, certificates=None, password=None):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.certificates, self.password = certificates, password
        self.port = free_port()
        self.host = f"127.0.0.1:{self.port}"
        self.log = (self.folder / "log").open("w")
        (self.folder / "config.yml").write_text(json.dumps(self._config()))  # JSON is YAML
        self.process = subprocess.Popen(["docker-registry", "serve", self.folder / "config.yml"],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        start_new_session=True)
        self._await()

    def _config(self):
        config = {"version": 0.1, "log": {"level": "error", "accesslog": {"disabled": True}},
                  "storage": {"filesystem": {"rootdirectory": str(self.folder / "data")},
                              "delete": {"enabled": True}},
                  "http": {"addr": self.host}}
        if self.certificates:
            config["http"]["tls"] = {"certificate": str(self.certificates.certificate),
                                     "key": str(self.certificates.key)}
        if self.password:
            file = self.folder / "htpasswd"
            subprocess.run(["htpasswd", "-Bbc", file, USER, self.password], check=True,
                           capture_output=True, timeout=30)
            config["auth"] = {"htpasswd": {"realm": "caisson tests", "path": str(file)}}
        return config

    def _await(self):
        deadline = time.monotonic() + 20
        while True:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, "docker-registry does not listen"
                time.sleep(0.02)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=10)
        self.log.close()
        shutil.rmtree(self.folder)

    def push(self, repository, tag, image):
        """Puts an image or an index there; returns its reference."""
        Pusher(self).push(repository, tag, image)
        return f"{self.host}/{repository}:{tag}"


class Pusher:
    """What a push is: blobs first, then the manifests from the leaves to the root."""

    def __init__(self, registry):
        self.registry = registry
        if registry.certificates:
            context = ssl.create_default_context(cafile=str(registry.certificates.ca))
            self.connection = http.client.HTTPSConnection("127.0.0.1", registry.port, context=context, timeout=60)
        else:
            self.connection = http.client.HTTPConnection("127.0.0.1", registry.port, timeout=60)

    def request(self, method, path, body=b"", **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.registry.password:
            pair = f"{USER}:{self.registry.password}".encode()
            headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        self.connection.request(method, path, body=body, headers=headers)
        response = self.connection.getresponse()
        return response, response.read()

    def push(self, repository, tag, image):
        self._entry(repository, tag, image)
        self.connection.close()

    def _entry(self, repository, tag, image):
        if isinstance(image, Index):
            for entry in image.entries:
                self._entry(repository, entry.digest, entry)
        else:
            self._blob(repository, image.config)
            for layer in image.layers:
                if not layer.urls:
                    self._blob(repository, layer.blob)
        kind = MEDIA_TYPES[image.family]["index" if isinstance(image, Index) else "manifest"]
        response, said = self.request("PUT", f"/v2/{repository}/manifests/{tag}", image.manifest, Content_Type=kind)
        assert response.status == 201, (response.status, said)

    def _blob(self, repository, data):
        digest = sha256(data)
        response, _ = self.request("HEAD", f"/v2/{repository}/blobs/{digest}")
        if response.status == 200:
            return
        response, said = self.request("POST", f"/v2/{repository}/blobs/uploads/")
        assert response.status == 202, (response.status, said)
        where = response.headers["Location"]
        where = where[where.index("/v2/"):]
        where += ("&" if "?" in where else "?") + f"digest={digest}"
        response, said = self.request("PUT", where, data, Content_Type="application/octet-stream")
        assert response.status == 201, (response.status, said)


def auth_file(path, host, user, password):
    """A file of credentials as docker keeps them."""
    pair = base64.b64encode(f"{user}:{password}".encode()).decode()
    Path(path).write_text(json.dumps({"auths": {host: {"auth": pair}}}))
    os.chmod(path, 0o600)
    return Path(path)
