"""Protected paths: what an agent must not rewrite in the directory that it works in."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from support.attack import wait_for
from support.boxes import refused, shim_of

pytestmark = [pytest.mark.without_subuid, pytest.mark.usefixtures("nothing_stays")]


@pytest.fixture
def project(workdir):
    folder = workdir / "project"
    (folder / ".git/hooks").mkdir(parents=True)
    (folder / ".git/config").write_text("[core]\n")
    (folder / ".git/HEAD").write_text("ref: refs/heads/main\n")
    (folder / "code").write_text("code\n")
    return folder


def tree(folder):
    return {str(path.relative_to(folder)): path.read_text() if path.is_file() else None
            for path in sorted(folder.rglob("*"))}


def run(caisson, folder, script, *options):
    return caisson("run", "--rm", "-v", f"{folder}:/w", "-w", "/w", *options, "host:", "--", "sh", "-c", script)


ATTACKS = {
    "write a hook": "echo evil > .git/hooks/pre-commit",
    "write the configuration": "echo evil >> .git/config",
    "move the hooks": "mv .git/hooks .git/old && mkdir .git/hooks && echo evil > .git/hooks/pre-commit",
    "move all of git": "mv .git .old && mkdir -p .git/hooks && echo evil > .git/hooks/pre-commit",
    "remove the configuration": "rm -f .git/config; echo evil > .git/config",
    "rename over the configuration": "echo evil > n; mv -f n .git/config",
    "link the configuration": "ln .git/config other && echo evil >> other",
    "symlink in place of git": "mv .git .old; ln -sfnT /w/.old .git",
    "mode of the hooks": "chmod 0777 .git/hooks",
    "an agent's configuration": "mkdir -p .claude; echo evil > .claude/settings.json",
    "another agent's configuration": "echo evil > .mcp.json",
    "an editor's tasks": "mkdir .vscode && echo evil > .vscode/tasks.json",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_runs_later_on_the_host_stays_as_it_was(caisson, project, attack):
    before = tree(project)
    done = run(caisson, project, ATTACKS[attack])
    assert done.returncode != 0, attack
    after = tree(project)
    after.pop("n", None)
    assert after == before


def test_everything_else_can_be_written(caisson, project):
    done = run(caisson, project, "echo more >> code; echo x > .git/index; mkdir .git/refs; echo y > new; cat .git/config")
    assert (done.returncode, done.stdout) == (0, "[core]\n"), done.stderr
    assert (project / "code").read_text() == "code\nmore\n" and (project / ".git/index").exists()


def test_absent_paths_leave_nothing(caisson, workdir):
    folder = workdir / "empty"
    folder.mkdir()
    done = run(caisson, folder, "mkdir -p .git/hooks && echo evil > .git/hooks/pre-commit")
    assert done.returncode != 0
    assert list(folder.iterdir()) == []


def test_while_it_runs_the_name_is_taken(caisson, workdir):
    folder = workdir / "empty"
    folder.mkdir()
    box = caisson.detached("sleep", "1000", options=("-v", f"{folder}:/w"))
    assert (folder / ".git").is_dir()
    for script in "touch /w/.git/x", "rmdir /w/.git", "mv /w/.git /w/g", "echo x > /w/.mcp.json", "rm -f /w/.mcp.json":
        assert caisson("exec", box, "--", "sh", "-c", script).returncode != 0, script
    # A second box on the same directory shares the placeholders; the last to leave removes them.
    other = caisson.detached("sleep", "1000", options=("-v", f"{folder}:/w"))
    caisson("kill", box, check=True)
    wait_for(lambda: caisson.inspect(box)["state"] == "stopped")
    assert caisson("exec", other, "--", "sh", "-c", "touch /w/.git/x").returncode != 0
    assert (folder / ".git").is_dir()
    caisson("kill", other, check=True)
    wait_for(lambda: list(folder.iterdir()) == [])


def test_a_killed_shim_leaves_no_placeholder(caisson, workdir):
    folder = workdir / "empty"
    folder.mkdir()
    box = caisson.detached("sleep", "1000", options=("-v", f"{folder}:/w"))
    os.kill(shim_of(caisson, box), signal.SIGKILL)
    wait_for(lambda: caisson.inspect(box)["state"] == "stopped")
    assert list(folder.iterdir()) == []


def test_asked_for(caisson, workdir):
    folder = workdir / "p"
    folder.mkdir()
    (folder / "keep").write_text("keep")
    script = "echo x > keep; echo x > later; mkdir d; echo x > free; cat keep"
    done = run(caisson, folder, script, "--protect", "keep", "--protect", "/w/later", "--protect", "d/",
               "--no-default-protect")
    assert done.stdout == "keep", done.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["free", "keep"]
    done = caisson("run", "--rm", "--protect", "/etc/hosts", "--protect", "/opt/tool/conf", "host:", "--", "sh", "-c",
                   "echo x > /etc/hosts || mkdir /opt/tool/conf || mv /opt/tool /opt/t || mv /etc /e || echo held")
    assert done.stdout == "held\n", done.stderr


def test_switched_off(caisson, workdir):
    folder = workdir / "p"
    folder.mkdir()
    for options in ("--no-default-protect",), ("--profile", "full"):
        done = run(caisson, folder, "mkdir -p .git/hooks && echo x > .git/hooks/h && rm -r .git", *options)
        assert done.returncode == 0, done.stderr


def test_symbolic_links(caisson, project):
    (project / "real").write_text("{}")
    (project / ".mcp.json").symlink_to("real")
    done = caisson("run", "--name", "l", "-v", f"{project}:/w", "host:", "true")
    assert done.returncode == 0 and "'/w/.mcp.json' is a symbolic link" in done.stderr
    assert any(".mcp.json" in warning for warning in caisson.inspect("l")["warnings"])
    refused(caisson("run", "-v", f"{project}:/w", "--protect", ".mcp.json", "host:", "true"), "symbolic link")
    for bad in "", "/", "../x", "a/../b", "/proc/x", "a//b":
        refused(caisson("run", "--protect", bad, "host:", "true"), "protect")


def test_other_mounts_are_left_alone(caisson, project, workdir):
    """A path that is another mount's is not the bind's to protect."""
    other = workdir / "other"
    (other / "deep").mkdir(parents=True)
    (other / "f").write_text("other")
    empty = workdir / "empty"
    empty.mkdir()
    for options in (("-v", f"{other}:/w/.vscode:ro"), ("-v", f"{other}:/w/.vscode")):
        done = run(caisson, empty, "cat /w/.vscode/f", *options)
        assert done.stdout == "other", done.stderr
    done = run(caisson, project, "cat /w/.git/f", "-v", f"{other}:/w/.git")
    assert done.stdout == "other", done.stderr
    done = run(caisson, empty, "stat -f -c %T /w/.claude", "--tmpfs", "/w/.claude")
    assert done.stdout == "tmpfs\n", done.stderr


def test_many_boxes_on_one_directory(caisson, workdir):
    folder = workdir / "p"
    folder.mkdir()
    for _ in range(4):
        boxes = [caisson.popen("run", "--rm", "-v", f"{folder}:/w", "host:", "true", stderr=subprocess.PIPE)
                 for _ in range(8)]
        for box in boxes:
            error = box.communicate(timeout=60)[1]
            assert box.returncode == 0, error
    wait_for(lambda: list(folder.iterdir()) == [])


def test_places_without_room(caisson):
    assert caisson("run", "--rm", "-v", "/proc:/p", "host:", "test", "-e", "/p/self").returncode == 0


def test_git_itself(caisson, workdir):
    folder = workdir / "repository"
    folder.mkdir()
    environment = {"HOME": str(workdir), "PATH": os.environ["PATH"]}
    subprocess.run(["git", "init", "-q", folder], check=True, env=environment)
    done = run(caisson, folder, "git config --global --add safe.directory /w; git -c user.name=a -c user.email=b commit "
                                "-q --allow-empty -m one && git log --format=%s; git config core.hooksPath /tmp")
    assert "one" in done.stdout and done.returncode != 0, done.stderr
    assert "hooksPath" not in Path(folder, ".git/config").read_text()
