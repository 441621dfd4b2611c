"""The programs of Caisson cannot be reached from a box through /proc/PID/exe (CVE-2019-5736)."""

import subprocess

import pytest

from support.attack import fingerprint, run_inside

pytestmark = pytest.mark.without_subuid


@pytest.fixture
def unchanged(bin_dir):
    before = {name: fingerprint(bin_dir / name) for name in ("caisson", "caisson-shim")}
    yield
    for name, value in before.items():
        assert fingerprint(bin_dir / name) == value, f"{name} was changed"


def trap(image, name="trap", text="#!/proc/self/exe\n"):
    file = image / "bin" / name
    file.write_text(text)
    file.chmod(0o755)
    return f"/bin/{name}"


@pytest.mark.parametrize("text", ["#!/proc/self/exe\n", "#!/proc/self/exe run\n",
                                  "#!/proc/1/exe\n", "#!/proc/self/fd/3\n"])
def test_entrypoint_is_the_running_program(caisson, image, unchanged, text):
    done = caisson("run", "--rm", f"dir:{image}", "--", trap(image, text=text), timeout=20)
    assert done.returncode != 0


def test_entrypoint_is_a_link_to_the_running_program(caisson, image, unchanged):
    (image / "bin/through").symlink_to("/proc/self/exe")
    done = caisson("run", "--rm", f"dir:{image}", "--", "/bin/through", timeout=20)
    assert done.returncode != 0


@pytest.mark.seconds(60)
def test_program_caught_while_it_runs_in_the_box(caisson, image, unchanged):
    command = trap(image)
    box = caisson.detached("/bin/seize", "3", source=f"dir:{image}")
    while caisson.inspect(box)["state"] == "running":
        caisson("exec", box, command, timeout=20)
    taken = caisson("logs", box).stdout
    assert "done" in taken
    assert "taken" not in taken, sorted(set(taken.splitlines()))


def test_own_rights_do_not_reach_the_first_process(caisson):
    found = run_inside(caisson, """
tell({name: attempt(lambda: str(os.readlink(f"/proc/1/{name}"))) for name in ("exe", "cwd", "root")}
     | {name: read(f"/proc/1/{name}") for name in ("environ", "maps", "mem", "auxv", "syscall")}
     | {"fd": attempt(lambda: str(os.listdir("/proc/1/fd"))), "write": write("/proc/1/mem", "x"),
        "exec": attempt(lambda: os.execv("/proc/1/exe", ["x"])),
        "map_files": attempt(lambda: str(os.listdir("/proc/1/map_files")))})
""")
    assert set(found.values()) <= {"EACCES", "EPERM"}, found


def test_command_line_and_environment_of_the_first_process_tell_nothing(caisson, bin_dir):
    done = caisson.sh("cat /proc/1/cmdline /proc/1/comm /proc/1/environ; true")
    assert caisson.home not in done.stdout
    assert str(bin_dir) not in done.stdout


def test_shim_started_in_a_box_does_nothing(caisson, bin_dir, workdir, unchanged):
    """A box that brings its own copy of the shim gains nothing from it."""
    copy = workdir / "copy"
    copy.mkdir()
    subprocess.run(["cp", bin_dir / "caisson-shim", copy], check=True, timeout=10)
    done = caisson.sh("/copy/caisson-shim; echo status $?", "-v", f"{copy}:/copy:ro", timeout=20)
    assert done.stdout == "status 125\n"
