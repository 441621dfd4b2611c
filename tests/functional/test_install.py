"""The installed package: files, and a program built against it."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.root_only, pytest.mark.seconds(300)]


def run(*words, **options):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=280,
                          stdin=subprocess.DEVNULL, check=False, **options)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", ROOT / "build/release", "--prefix", folder)
    return folder


def test_files(prefix):
    for name in ("bin/caisson", "libexec/caisson/caisson-shim", "lib/libcaisson.a",
                 "include/caisson/caisson.h", "lib/cmake/caisson/caissonConfig.cmake",
                 "share/man/man1/caisson.1", "share/bash-completion/completions/caisson",
                 "share/zsh/site-functions/_caisson", "share/fish/vendor_completions.d/caisson.fish",
                 "share/caisson/box.schema.json"):
        assert (prefix / name).is_file(), name
    headers = {p.name for p in (ROOT / "include/caisson").iterdir()}
    assert {p.name for p in (prefix / "include/caisson").iterdir()} == headers


def test_installed_program_finds_its_shim(prefix, caisson):
    caisson.program = str(prefix / "bin/caisson")
    assert caisson.sh("exit 3").returncode == 3


def test_example_is_short():
    assert len((ROOT / "examples/embed_cpp/main.cc").read_text().splitlines()) < 40


def test_example_builds_and_runs(prefix, caisson, tmp_path):
    build = tmp_path / "build"
    run("cmake", "-G", "Ninja", "-S", ROOT / "examples/embed_cpp", "-B", build,
        f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_BUILD_TYPE=Release")
    run("cmake", "--build", build)
    env = caisson.env | {"CAISSON_SHIM": str(prefix / "libexec/caisson/caisson-shim")}
    done = run(build / "embed", env=env)
    assert done.stdout == "hello from a box\nended: exited\n"
    assert caisson.boxes() == []


@pytest.mark.parametrize("header", sorted(p.name for p in (ROOT / "include/caisson").glob("*.h")))
def test_headers_stand_alone(prefix, header):
    run("g++", "-std=c++23", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c++",
        f"-I{prefix}/include", "-include", f"caisson/{header}", os.devnull)


def test_man_page_has_no_faults(prefix):
    done = run("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", prefix / "share/man/man1/caisson.1")
    assert done.stderr == ""
