"""Profiles: what `profile` prints, docs/profiles.md, and what a box then has."""

import json
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.without_subuid

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/profiles.md"
NAMES = ("minimal", "standard", "full")


def show(caisson, name):
    return caisson("profile", "show", name, "--json", check=True).json()


def members(value, head=""):
    """{"limits.pids": 512, …}: every member that is no object."""
    found = {}
    for name, inner in value.items():
        found |= members(inner, f"{head}{name}.") if isinstance(inner, dict) else {head + name: inner}
    return found


def cell(value):
    if isinstance(value, bool):
        return str(value).lower()
    return str(len(value)) if isinstance(value, list) else str(value)


@pytest.mark.root_only  # the documents are not copied for other users
def test_the_document_says_what_the_profiles_are(caisson):
    text = DOCUMENT.read_text()
    rows = re.findall(r"^\| `([\w.]+)` \| (.*?) \| (.*?) \| (.*?) \|", text, re.MULTILINE)
    shown = [members(show(caisson, name)) for name in NAMES]
    told = {field: list(cells) for field, *cells in rows}
    assert told == {field: [cell(profile[field]) for profile in shown]
                    for field in shown[0] if field not in ("name", "about")}
    for title, field in (("Capabilities", "capabilities"), ("Protected", "protect")):
        [listed] = re.findall(rf"^\*\*{title}\*\*(.*?)\n\n", text, re.MULTILINE | re.DOTALL)
        assert set(re.findall(r"`(.*?)`", listed)) == set(shown[1][field])


def test_list_and_show(caisson):
    lines = caisson("profile", "ls", "--json", check=True).stdout.splitlines()
    assert [json.loads(line) for line in lines] == [show(caisson, name) for name in NAMES]
    table = caisson("profile", "ls", check=True).stdout.splitlines()
    assert [line.split()[0] for line in table] == ["NAME", *NAMES]
    text = caisson("profile", "show", "standard", check=True).stdout
    fields = {field.removesuffix(".max_bytes") for field in members(show(caisson, "standard"))}
    shown = {line.split()[0] for line in text.splitlines() if line}
    assert fields - {"name", "limits.output.action"} <= shown
    for option in re.findall(r"(--[a-z-]+)", text):
        assert option in caisson("run", "--help", check=True).stdout


def test_no_such_profile(caisson):
    done = caisson("profile", "show", "standart", "--json")
    assert done.json()["error"]["reason"] == "profile_unknown"
    assert "did you mean 'standard'?" in done.error_line()


def effective(caisson, *options):
    """How many capabilities root has in a box, and whether set-id programs have no effect."""
    status = caisson.sh("cat /proc/self/status", *options, check=True).stdout
    rows = dict(re.findall(r"^(\w+):\s*(\w+)$", status, re.MULTILINE))
    return int(rows["CapEff"], 16).bit_count(), rows["NoNewPrivs"] == "1"


@pytest.mark.parametrize("name", NAMES)
def test_a_box_has_what_its_profile_says(caisson, name, busybox_root):
    profile = show(caisson, name)
    assert effective(caisson, "--profile", name) == (len(profile["capabilities"]), profile["no_new_privileges"])
    done = caisson("run", "--rm", "--profile", name, f"dir:{busybox_root}", "--", "touch", "/made")
    assert (done.returncode == 0) == (not profile["read_only_root"])


@pytest.mark.parametrize("options, capabilities, privileges", [
    (("--cap-drop", "ALL"), 0, True),
    (("--cap-drop", "ALL", "--cap-add", "CHOWN,kill"), 2, True),
    (("--cap-drop", "net_raw,CAP_MKNOD"), 12, True),
    (("--profile", "minimal", "--cap-add", "CHOWN"), 1, True),
    (("--security", "no-new-privileges=false"), 14, False),
    (("--profile", "full", "--security-opt", "no-new-privileges"), 14, True),
])
def test_options_come_before_the_profile(caisson, options, capabilities, privileges):
    assert effective(caisson, *options) == (capabilities, privileges)


@pytest.mark.parametrize("options, status", [(("--profile", "minimal", "--writable"), 0), (("--read-only",), 1)])
def test_the_root_can_be_chosen(caisson, busybox_root, options, status):
    assert caisson("run", "--rm", *options, f"dir:{busybox_root}", "--", "touch", "/made").returncode == status


@pytest.mark.parametrize("words, reason", [
    (("--cap-add", "NET_RWA"), "capability_unknown"),
    (("--cap-drop", "everything"), "capability_unknown"),
    (("--protect", "../x"), "protect_invalid"),
    (("--protect", "/proc/x"), "protect_invalid"),
    (("--allow-read", "/usr"), "isolation_unsupported"),
    (("--isolation", "process", "--hostname", "h"), "isolation_unsupported"),
    (("--isolation", "process", "--allow-read", "/a/../b"), "access_invalid"),
    (("--security", "apparmor=unconfined"), "option_value_invalid"),
    (("--allow-bind-port", "0"), "option_value_invalid"),
])
def test_faults(caisson, words, reason):
    done = caisson("run", "--rm", "--json", *words, "host:", "true")
    assert done.json()["error"]["reason"] == reason
    done.error_line()


def test_paths_of_the_host_at_the_same_place(caisson, workdir):
    (workdir / "file").write_text("here\n")
    (workdir / "rw").mkdir()
    box = caisson("create", "--allow-ro", "file", "--allow-rw", "./rw/", "host:", "true", check=True,
                  cwd=workdir).stdout.strip()
    read_only, writable = caisson.inspect(box)["spec"]["mounts"]
    assert (read_only["source"], read_only["target"]) == (str(workdir / "file"),) * 2
    assert (writable["source"], writable["target"]) == (str(workdir / "rw"),) * 2
    assert (read_only["read_only"], writable["read_only"]) == (True, False)
