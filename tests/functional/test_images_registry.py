"""Images of registries: a real one, and one that counts what it is asked."""

import json
import subprocess

from support.images import Image, Index, Layer, busybox_image, file, link
from support.registry import PASSWORD, USER, auth_file


def test_an_image_of_a_real_registry_runs(caisson, registry):
    reference = registry.push("real/one", "1", busybox_image(Layer([file("etc/motd", "from a registry\n")])))
    done = caisson("run", "--rm", "-q", reference, "--", "cat", "/etc/motd", check=True)
    assert done.stdout == "from a registry\n"
    document = json.loads(caisson("image", "inspect", reference, check=True).stdout)
    assert document
