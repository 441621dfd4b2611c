"""Making OCI and docker images, good ones and lying ones.

    base = Layer([directory("etc"), file("etc/motd", "hello\n"), link("etc/issue", "motd")])
    image = Image([base, Layer([whiteout("etc/motd")], compression="zstd")], {"Cmd": ["sh"]})
    write_layout(folder, {"latest": image})

Everything that is written down about a blob can be made to lie: `Layer(lies={"digest": ..., "size": ...,
"diff_id": ..., "media_type": ...})`, `Image(lies={"manifest": bytes, "config": bytes, ...})`.
"""

import gzip
import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

OCI = "application/vnd.oci.image"
DOCKER = "application/vnd.docker"
MEDIA_TYPES = {
    "oci": {"index": f"{OCI}.index.v1+json", "manifest": f"{OCI}.manifest.v1+json",
            "config": f"{OCI}.config.v1+json", "none": f"{OCI}.layer.v1.tar",
            "gzip": f"{OCI}.layer.v1.tar+gzip", "zstd": f"{OCI}.layer.v1.tar+zstd"},
    "docker": {"index": f"{DOCKER}.distribution.manifest.list.v2+json",
               "manifest": f"{DOCKER}.distribution.manifest.v2+json",
               "config": f"{DOCKER}.container.image.v1+json",
               "none": f"{DOCKER}.image.rootfs.diff.tar",
               "gzip": f"{DOCKER}.image.rootfs.diff.tar.gzip",
               "zstd": f"{DOCKER}.image.rootfs.diff.tar.zstd"},
}
MTIME = 1_600_000_000


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


# --- members ------------------------------------------------------------------------------------

def member(name, kind=tarfile.REGTYPE, content=b"", mode=None, uid=0, gid=0, mtime=MTIME, target="",
           major=0, minor=0, xattrs=None, pax=None):
    """(TarInfo, bytes). `xattrs` is {name: bytes or str}; `pax` is put into the header as it is."""
    info = tarfile.TarInfo(name)
    data = content.encode() if isinstance(content, str) else content
    info.type, info.size, info.linkname = kind, len(data), target
    info.mode = mode if mode is not None else 0o755 if kind == tarfile.DIRTYPE else 0o644
    info.uid, info.gid, info.mtime = uid, gid, mtime
    info.devmajor, info.devminor = major, minor
    info.pax_headers = dict(pax or {})
    for key, value in (xattrs or {}).items():
        text = value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
        info.pax_headers[f"SCHILY.xattr.{key}"] = text
    return info, data


def file(name, content=b"", **details):
    return member(name, content=content, **details)


def directory(name, **details):
    return member(name, tarfile.DIRTYPE, **details)


def link(name, target, **details):
    return member(name, tarfile.SYMTYPE, target=target, **{"mode": 0o777, **details})


def hardlink(name, target, **details):
    return member(name, tarfile.LNKTYPE, target=target, **details)


def device(name, kind="c", major=1, minor=3, **details):
    return member(name, tarfile.CHRTYPE if kind == "c" else tarfile.BLKTYPE, major=major, minor=minor,
                  **details)


def fifo(name, **details):
    return member(name, tarfile.FIFOTYPE, **details)


def whiteout(name, **details):
    folder, _, last = name.rpartition("/")
    return file(f"{folder}/.wh.{last}" if folder else f".wh.{last}", **details)


def opaque(folder, **details):
    return file(f"{folder}/.wh..wh..opq", **details)


def tar_bytes(members, end=True):
    """A tar of members: (TarInfo, bytes) pairs, or bytes that are put in as they are."""
    out = io.BytesIO()
    for item in members:
        if isinstance(item, bytes):
            out.write(item)
            continue
        info, data = item
        out.write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        out.write(data)
        out.write(bytes(-len(data) % 512))
    if end:
        out.write(bytes(1024))
    return out.getvalue()


def header(name=b"f", kind=b"0", size=0, target=b"", mode=b"0000644\0", uid=b"0000000\0",
           size_field=None, magic=b"ustar\x0000", prefix=b"", checksum=None):
    """One raw 512-byte header, for what tarfile refuses to write."""
    block = bytearray(512)
    block[0:len(name[:100])] = name[:100]
    block[100:108], block[108:116], block[116:124] = mode, uid, b"0000000\0"
    block[124:136] = size_field if size_field is not None else b"%011o\0" % size
    block[136:148] = b"%011o\0" % MTIME
    block[148:156], block[156:157] = b" " * 8, kind
    block[157:157 + len(target[:100])] = target[:100]
    block[257:265] = magic
    block[345:345 + len(prefix)] = prefix
    block[148:156] = checksum if checksum is not None else b"%06o\0 " % sum(block)
    return bytes(block)


def raw(name=b"f", content=b"", **details):
    """A raw header with its content, padded."""
    details.setdefault("size", len(content))
    return header(name, **details) + content + bytes(-len(content) % 512)


def pax_record(key, value):
    """One record of a PAX header, of bytes."""
    body = b" " + key + b"=" + value + b"\n"
    length = len(body)
    while len(b"%d" % length) + len(body) != length:
        length = len(b"%d" % length) + len(body)
    return b"%d" % length + body


def pax(records, kind=b"x"):
    """A raw PAX header of {bytes: bytes}, or of bytes as they are."""
    data = records if isinstance(records, bytes) else b"".join(pax_record(k, v) for k, v in records.items())
    return raw(b"./PaxHeaders/x", data, kind=kind)


def compress(data, compression):
    if compression == "none":
        return data
    if compression == "gzip":
        return gzip.compress(data, 6, mtime=0)
    level = compression.split()[1:] or ["-3"]
    return subprocess.run(["zstd", "-q", "-c", *level], input=data, capture_output=True, check=True,
                          timeout=120).stdout


# --- layers and images --------------------------------------------------------------------------

class Layer:
    """One layer. `content` is a list of members or the bytes of a whole tar; `blob` overrides what
    is stored."""

    def __init__(self, content=(), compression="gzip", blob=None, lies=None, urls=None):
        self.tar = content if isinstance(content, bytes) else tar_bytes(content)
        self.compression = compression.split()[0]
        self.blob = blob if blob is not None else compress(self.tar, compression)
        self.lies = lies or {}
        self.urls = urls
        self.diff_id = self.lies.get("diff_id", sha256(self.tar))
        self.digest = self.lies.get("digest", sha256(self.blob))

    def descriptor(self, family):
        found = {"mediaType": self.lies.get("media_type", MEDIA_TYPES[family][self.compression]),
                 "digest": self.digest, "size": self.lies.get("size", len(self.blob))}
        return found | ({"urls": self.urls} if self.urls else {})


class Image:
    """One image for one platform. `config` is the inner one: Entrypoint, Cmd, Env, ...; `outer` is
    merged into the configuration's top level; `lies` may hold the bytes of "manifest" or "config",
    or "manifest_fields", a dict merged into the manifest."""

    def __init__(self, layers, config=None, architecture="amd64", system="linux", variant=None,
                 family="oci", outer=None, lies=None, annotations=None):
        self.layers, self.family, self.lies = list(layers), family, lies or {}
        self.platform = {"architecture": architecture, "os": system}
        if variant:
            self.platform["variant"] = variant
        self.annotations = annotations
        document = {**self.platform, "config": config or {}, "created": "2024-01-02T03:04:05Z",
                    "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in self.layers]},
                    "history": [{"created": "2024-01-02T03:04:05Z", "created_by": f"step {number}"}
                                for number in range(len(self.layers))]}
        document.update(outer or {})
        self.config = self.lies.get("config", json.dumps(document).encode())
        self.manifest = self.lies.get("manifest", json.dumps(self._manifest()).encode())

    def _manifest(self):
        types = MEDIA_TYPES[self.family]
        document = {"schemaVersion": 2, "mediaType": types["manifest"],
                    "config": {"mediaType": types["config"], "digest": sha256(self.config),
                               "size": len(self.config)},
                    "layers": [layer.descriptor(self.family) for layer in self.layers]}
        if self.annotations:
            document["annotations"] = self.annotations
        return document | self.lies.get("manifest_fields", {})

    @property
    def digest(self):
        return sha256(self.manifest)

    @property
    def chain_ids(self):
        chain = []
        for layer in self.layers:
            chain.append(layer.diff_id if not chain else sha256(f"{chain[-1]} {layer.diff_id}".encode()))
        return chain

    def descriptor(self):
        return {"mediaType": MEDIA_TYPES[self.family]["manifest"], "digest": self.digest,
                "size": len(self.manifest), "platform": self.platform}

    def blobs(self):
        """{digest: bytes} of everything but the manifest's parents."""
        return {self.digest: self.manifest, sha256(self.config): self.config,
                **{layer.digest: layer.blob for layer in self.layers}}


class Index:
    """Images of several platforms, or other indexes."""

    def __init__(self, entries, family="oci", manifest=None):
        self.entries, self.family = list(entries), family
        self.manifest = manifest if manifest is not None else json.dumps(
            {"schemaVersion": 2, "mediaType": MEDIA_TYPES[family]["index"],
             "manifests": [entry.descriptor() for entry in self.entries]}).encode()

    @property
    def digest(self):
        return sha256(self.manifest)

    def descriptor(self):
        return {"mediaType": MEDIA_TYPES[self.family]["index"], "digest": self.digest,
                "size": len(self.manifest)}

    def blobs(self):
        found = {self.digest: self.manifest}
        for entry in self.entries:
            found.update(entry.blobs())
        return found


# --- where images are put -----------------------------------------------------------------------

def write_layout(folder, images, index=None, layout=b'{"imageLayoutVersion": "1.0.0"}', leave_out=()):
    """An OCI layout of {tag: Image or Index}; a tag may be None. `index` overrides index.json (bytes);
    the digests in `leave_out` get no file. Returns `folder`."""
    folder = Path(folder)
    (folder / "blobs/sha256").mkdir(parents=True, exist_ok=True)
    manifests = []
    for tag, image in images.items():
        for digest, data in image.blobs().items():
            if digest not in leave_out:
                (folder / "blobs" / digest.replace(":", "/")).write_bytes(data)
        entry = image.descriptor()
        if tag is not None:
            entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
        manifests.append(entry)
    document = {"schemaVersion": 2, "mediaType": MEDIA_TYPES["oci"]["index"], "manifests": manifests}
    (folder / "index.json").write_bytes(index if index is not None else json.dumps(document).encode())
    (folder / "oci-layout").write_bytes(layout)
    return folder


def write_oci_archive(path, images, compression="none", **details):
    """The same as one tar."""
    folder = Path(f"{path}.layout")
    write_layout(folder, images, **details)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("oci-layout", "index.json", "blobs"):
            archive.add(folder / name, name)
    shutil.rmtree(folder)
    Path(path).write_bytes(compress(out.getvalue(), compression))
    return Path(path)


def write_docker_archive(path, images, compression="none", manifest=None, extra=()):
    """What `docker save` wrote before it wrote OCI layouts: {name or tuple of names: Image}. Layers
    are stored uncompressed. `manifest` overrides manifest.json; `extra` are more members."""
    members, entries, written = [], [], set()
    for names, image in images.items():
        tags = [] if names is None else [names] if isinstance(names, str) else list(names)
        config = f"{hashlib.sha256(image.config).hexdigest()}.json"
        files = {config: image.config}
        layers = []
        for layer in image.layers:
            layers.append(f"{hashlib.sha256(layer.tar).hexdigest()}/layer.tar")
            files[layers[-1]] = layer.tar
        members += [file(name, data) for name, data in files.items() if name not in written]
        written.update(files)
        entries.append({"Config": config, "RepoTags": tags, "Layers": layers})
    document = manifest if manifest is not None else json.dumps(entries).encode()
    Path(path).write_bytes(compress(tar_bytes([*members, file("manifest.json", document), *extra]), compression))
    return Path(path)


# --- a small image that runs --------------------------------------------------------------------

PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n"
GROUP = "root:x:0:\napp:x:1000:\nvideo:x:44:app\n"


def busybox_members(applets=("sh", "cat", "echo", "ls", "stat", "id", "env", "pwd", "touch", "mkdir",
                             "rm", "find", "sha256sum", "sleep", "readlink", "test", "cp", "mv", "chmod",
                             "head", "wc", "true", "false", "printf", "grep", "sort", "ln", "dd")):
    """What a box needs to run a shell, as members."""
    return [directory("bin"), file("bin/busybox", Path("/bin/busybox").read_bytes(), mode=0o755),
            *(link(f"bin/{name}", "busybox") for name in applets), directory("etc"),
            file("etc/passwd", PASSWD), file("etc/group", GROUP), directory("tmp", mode=0o1777),
            directory("root", mode=0o700), directory("home"), directory("home/app", uid=1000, gid=1000)]


_busybox = {}


def busybox_layer(compression="gzip"):
    """The same object each time: it is costly to compress."""
    if compression not in _busybox:
        _busybox[compression] = Layer(busybox_members(), compression)
    return _busybox[compression]


def busybox_image(*more, config=None, compression="gzip", **details):
    """An image with a shell, and the layers `more` upon it."""
    return Image([busybox_layer(compression), *more], {"Cmd": ["sh"], **(config or {})}, **details)
