"""`-f`: a box as YAML or JSON, and its schema."""

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest

pytestmark = pytest.mark.without_subuid

SCHEMA = Path(__file__).resolve().parents[2] / "docs/formats/box.schema.json"
EVERY_OPTION = (
    "--name", "every", "--isolation", "container", "--pull", "never", "--rootfs", "overlay", "-e", "A=1", "-e", "B=",
    "-w", "/tmp", "-u", "0:0", "--group-add", "1", "--hostname", "h", "-v", "/tmp:/mnt:ro",
    "--mount", "type=bind,source=/tmp,target=/opt/b,idmap=off", "--tmpfs", "/t:size=1m,mode=1777,inodes=9",
    "--allow-ro", "/usr/share", "--protect", "/a", "--no-default-protect", "--writable", "-m", "64m", "--cpus", "1.5",
    "--cpu-weight", "50", "--pids", "99", "--timeout", "1m", "--cpu-time", "1m", "--open-files", "99", "--file-size", "1g",
    "--output-limit", "5m:kill", "--disk", "1g", "--tmpfs-size", "1m", "--network", "none", "--idle-timeout", "1h",
    "--idle-action", "stop", "--max-lifetime", "2h", "--restart", "on-failure:3", "--health-cmd", "true",
    "--health-interval", "10s", "--health-timeout", "5s", "--health-start-period", "1s", "--health-retries", "2",
    "--replay", "1k", "-l", "k=v", "--profile", "minimal", "--cap-add", "CHOWN", "--cap-drop", "ALL",
    "--security", "no-new-privileges=false", "--security", "seccomp=unconfined", "--stop-signal", "INT",
    "--allow-missing", "memory,pids,cpus,cpu_weight,cpu_time,disk")


def validator():
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def write(folder, text, name="box.yaml"):
    (folder / name).write_text(text)
    return folder / name


def refused(caisson, file, *options):
    done = caisson("run", "--rm", "--json", *options, "-f", file)
    assert done.returncode == 125
    done.error_line()
    return done.json()["error"]


def test_a_box_of_yaml(caisson, workdir):
    file = write(workdir, 'source: "host:"\ncommand: [sh, -c, "echo $PORT $DEBUG; exit 7"]\n'
                          "env: {PORT: 8080, DEBUG: true}\nlimits: {wall_time_ns: 1m}\n")
    done = caisson("run", "--rm", "-f", file)
    assert (done.stdout, done.returncode, done.stderr) == ("8080 true\n", 7, "")


def test_standard_input(caisson):
    text = 'source: "host:"\ncommand: [echo, 5]\n'
    assert caisson("run", "--rm", "-f", "-", input=text).stdout == "5\n"
    assert caisson("run", "--rm", "--file=-", "-e", "A=1", "host:", "sh", "-c", "echo $A", input=text).stdout == "1\n"


def test_the_command_line_comes_on_top(caisson, workdir):
    file = write(workdir, 'source: "dir:/no/such"\ncommand: ["false"]\nenv: {A: 1, B: 2}\nname: file\n'
                          "limits: {wall_time_ns: 1m}\nlabels: {x: 1}\n")
    box = caisson("create", "-e", "B=3", "--name", "line", "-l", "y=2", "-f", file, "--timeout", "2m", "host:", "--",
                  "true", check=True).stdout.strip()
    spec = caisson.inspect(box)["spec"]
    assert (spec["source"], spec["command"], spec["name"]) == ("host:", ["true"], "line")
    assert spec["env"] == {"A": "1", "B": "3"} and spec["labels"] == {"x": "1", "y": "2"}
    assert spec["limits"]["wall_time_ns"] == 120 * 10**9


def test_mounts_count_from_the_file(caisson, workdir):
    (workdir / "sub/data").mkdir(parents=True)
    (workdir / "sub/data/file").write_text("here\n")
    (workdir / "sub/data").chmod(0o755)
    file = write(workdir / "sub", 'source: "host:"\ncommand: [cat, /mnt/file]\nmounts: ["./data:/mnt:ro"]\n')
    assert caisson("run", "--rm", "-f", file, cwd="/").stdout == "here\n"
    assert caisson("run", "--rm", "-f", "sub/box.yaml", cwd=workdir).stdout == "here\n"
    assert caisson("run", "--rm", "-f", "-", input=file.read_text(), cwd=workdir / "sub").stdout == "here\n"


def test_debug_plan_takes_it_too(caisson, workdir):
    file = write(workdir, 'source: "host:"\ncommand: ["true"]\nhostname: from-a-file\n')
    assert "from-a-file" in caisson("debug", "plan", "-f", file, check=True).stdout


@pytest.mark.parametrize("text, reason, part", [
    ("a: 1\na: 2\n", "yaml_invalid", "line 2, column 1: key 'a' is given twice"),
    ("source: host:\n", "yaml_invalid", "line 1, column 13"),
    ("env: &e {A: 1}\n", "yaml_invalid", "anchors"),
    ("a: [", "yaml_invalid", "line 2, column 1"),
    ("---\na: 1\n---\nb: 1\n", "yaml_invalid", "line 3, column 1: a second document"),
    ("", "yaml_invalid", "there is no document"),
    ('source: "host:"\ncomand: [x]\n', "field_unknown", "unknown field 'comand'"),
    ("limits: {memory_bytes: 64x}\n", "size_invalid", "read 'limits.memory_bytes'"),
    ("tty: yes\n", "field_invalid", "read 'tty'"),
    ('command: ["true"]\n', "argument_missing", "SOURCE is missing"),
    ('source: "host:"\n', "command_missing", "COMMAND is missing"),
    ('source: "host:"\ncommand: [x]\nname: ../x\n', "name_invalid", "'../x'"),
])
def test_faults(caisson, workdir, text, reason, part):
    error = refused(caisson, write(workdir, text))
    assert error["reason"] == reason
    assert part in error["message"]
    if reason in ("yaml_invalid", "field_unknown", "size_invalid"):
        assert error["message"].startswith(f"read box file '{workdir}/box.yaml': ")


def test_files_that_cannot_be_read(caisson, workdir):
    assert refused(caisson, workdir / "missing")["reason"] == "box_file_unreadable"
    assert refused(caisson, workdir)["reason"] == "box_file_unreadable"
    assert refused(caisson, write(workdir, "#" * (1 << 20) + "\n"))["reason"] == "yaml_invalid"


def test_inspect_makes_a_file(caisson, workdir):
    caisson("create", "--name", "first", "-e", "A=1.10", "-v", f"{workdir}:/mnt:ro", "--timeout", "1m", "host:", "--",
            "sh", "-c", "echo $A", check=True)
    spec = caisson.inspect("first")["spec"]
    text = subprocess.run(["jq", ".spec"], input=caisson("inspect", "first", check=True).stdout, capture_output=True,
                          text=True, check=True, timeout=30).stdout
    file = write(workdir, text, "box.json")
    assert caisson("run", "-f", file, "--name", "second").stdout == "1.10\n"
    assert caisson.inspect("second")["spec"] == spec | {"name": "second"}


@pytest.mark.root_only  # the documents are not copied for other users
def test_the_schema_fits_every_spec(caisson, workdir):
    check = validator()
    caisson("create", *EVERY_OPTION, "host:", "--", "true", check=True)
    every = caisson.inspect("every")["spec"]
    check.validate(every)
    assert not {"name", "env", "mounts", "health", "restart", "protect_defaults"} - set(every)
    caisson("create", "--name", "least", "host:", "true", check=True)
    check.validate(caisson.inspect("least")["spec"])
    file = write(workdir, json.dumps(every | {"name": "again"}), "box.json")
    caisson("create", "-f", file, check=True)
    assert caisson.inspect("again")["spec"] == every | {"name": "again"}


@pytest.mark.root_only
@pytest.mark.parametrize("box", [
    {},
    {"source": "host:", "command": ["sleep", 5], "env": {"PORT": 8080, "DEBUG": True}, "user": 1000},
    {"mounts": ["./src:/workspace:ro", "cache:/c", "/a:/b:rw,idmap=off", {"type": "tmpfs", "target": "/t", "mode": "1777"}]},
    {"limits": {"memory_bytes": "64m", "wall_time_ns": "1m30s", "cpu_time_ns": "1.5", "disk_bytes": "1.5GiB"}},
    {"access": {"read": ["/a"], "bind_ports": [80]}, "isolation": "process"},
    {"name": {"base64": "QQ=="}, "entrypoint": [], "security": {"cap_add": ["ALL"], "no_new_privileges": False}},
])
def test_good_examples_of_the_schema(caisson, workdir, box):
    validator().validate(box)
    text = json.dumps({"source": "host:", "command": ["true"]} | box)
    done = caisson("debug", "plan", "--json", "-f", write(workdir, text, "box.json"))
    reason = done.json()["error"]["reason"] if done.returncode else ""
    assert reason not in ("field_invalid", "field_unknown", "yaml_invalid", "size_invalid", "duration_invalid", "volume_invalid")


@pytest.mark.root_only
@pytest.mark.parametrize("box", [
    {"comand": ["x"]}, {"limits": {"memory": 1}}, {"limits": {"memory_bytes": "64x"}}, {"tty": "yes"},
    {"isolation": "vm"}, {"mounts": ["/only"]}, {"mounts": [{"type": "bind"}]}, {"mounts": [{"type": "magic", "target": "/t"}]},
    {"idle_timeout_ns": "soon"}, {"health": {}}, {"limits": {"pids": "5"}}, {"security": {"seccomp": "off"}},
    {"mounts": [{"type": "tmpfs", "target": "/t", "mode": "8"}]}, {"env": []}, {"command": "true"}, [],
])
def test_what_the_schema_refuses_is_refused(caisson, workdir, box):
    assert not validator().is_valid(box)
    assert refused(caisson, write(workdir, json.dumps(box), "box.json"))["reason"] in (
        "field_invalid", "field_unknown", "size_invalid", "duration_invalid", "volume_invalid")
