#!/usr/bin/env python3
"""Runs the test suites and closes with one line: N passed, N failed, N skipped.

unit        ctest over build/dev, and pytest over tests/tools
functional  pytest over tests/functional against build/release/bin: as root, and beside that as an
            ordinary user with subordinate ids and then (marked tests) as one without; in the end
            once more by who started it, with boxes that are microVMs (tests/support/isolation.py)
hostile     the same over tests/hostile

Both users are made for the run and removed after it. Started by an ordinary user, the suites run
as that user only.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from ordinary_user import OrdinaryUser  # noqa: E402
from support.host import missing_guest  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "test-results"
SUITES = ("unit", "functional", "hostile")
PASS_SECONDS = 40 * 60  # of one pytest pass; a hang ends here at the latest


class Tally:
    """What all passes together came to."""

    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []  # (name, reason)
        self.limits = {}  # test: reason, of tests that show what Caisson is known not to do
        self.notes = []

    def add_junit(self, file, label):
        for case in ElementTree.parse(file).iter("testcase"):
            name = f"{label}: {case.get('classname', '')}.{case.get('name')}"
            skip = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed.append(name)
            elif skip is not None and skip.get("type") == "pytest.xfail":  # strict: it did fail
                self.passed += 1
                self.limits[case.get("name")] = first_line(skip.get("message"))
            elif skip is not None:
                self.skipped.append((name, first_line(skip.get("message") or skip.text)))
            elif case.get("status") in ("notrun", "disabled"):
                self.skipped.append((name, "disabled"))
            else:
                self.passed += 1

    def ran(self):
        return self.passed + len(self.failed)


def first_line(text):
    lines = (text or "no reason given").strip().splitlines()
    # GoogleTest puts "file:line" before the message.
    if len(lines) > 1 and lines[0].rpartition(":")[2].isdigit():
        lines = lines[1:]
    return lines[0].strip()


def banner(text):
    print(f"==> {text}", flush=True)


# --- unit ---------------------------------------------------------------------------------------

def run_unit(tally, pytest_args):
    folder = RESULTS / "gtest"
    folder.mkdir(parents=True)
    env = dict(os.environ, GTEST_OUTPUT=f"xml:{folder}/",
               ASAN_OPTIONS="detect_stack_use_after_return=1",
               UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1")
    banner("unit tests (AddressSanitizer, UndefinedBehaviorSanitizer)")
    report = RESULTS / "ctest.xml"
    subprocess.run(["ctest", "--test-dir", str(ROOT / "build/dev"), "--output-on-failure",
                    "--no-tests=error", "-j", str(os.cpu_count()), "--timeout", "300",
                    "--output-junit", str(report)], env=env, stdin=subprocess.DEVNULL, check=False)
    if report.exists():
        add_ctest(tally, report, folder)
    else:
        tally.failed.append("unit: ctest did not run")
    Passes(tally).run("unit", "tools", ROOT / "tests", [], pytest_args)


def add_ctest(tally, report, gtest_folder):
    """A ctest entry `unit.X` counts as the single tests of X_test when these were reported."""
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.get("name")
        details = gtest_folder / f"{name.removeprefix('unit.')}_test.xml"
        failed_before = len(tally.failed)
        if details.exists():
            tally.add_junit(details, name)
        elif case.get("status") == "run":
            tally.passed += 1
        elif case.find("skipped") is not None:
            tally.skipped.append((name, "skipped by ctest"))
        if case.find("failure") is not None and len(tally.failed) == failed_before:
            tally.failed.append(f"{name}: the program failed")


# --- functional and hostile ---------------------------------------------------------------------

class Passes:
    """Runs of pytest that may go on at the same time. What one prints is printed whole at its end."""

    def __init__(self, tally):
        self.tally = tally
        self.lock = threading.Lock()
        self.running = set()
        self.stopped = False

    def run(self, label, suite, tests, prefix, pytest_args, bin_dir=None, cwd=None):
        """One run; its JUnit report is copied out of `tests`, where another user can write."""
        report = Path(tempfile.mkdtemp(prefix="caisson-report-")) / "report.xml"
        os.chmod(report.parent, 0o777)
        command = [*prefix, "/usr/bin/python3", "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider",
                   "-c", str(tests / "pytest.ini"), f"--junitxml={report}", *pytest_args,
                   str(tests / suite)]
        env = dict(os.environ)
        if bin_dir:
            env["CAISSON_TEST_BIN"] = str(bin_dir)
        began = time.monotonic()
        status, output = self._finish(command, env, cwd or tests)
        with self.lock:
            banner(f"tests/{suite}: {label} ({time.monotonic() - began:.0f} s)")
            print(output, end="", flush=True)
            failed_before = len(self.tally.failed)
            if report.exists():
                self.tally.add_junit(report, label)
            # 5: nothing was collected, e.g. no test for this pass.
            if status not in (0, 5) and len(self.tally.failed) == failed_before:
                self.tally.failed.append(f"{label}: pytest ended with status {status}")
        shutil.rmtree(report.parent)

    def _finish(self, command, env, cwd):
        """The status and everything printed. A pass that does not end is ended, and counts as failed."""
        with tempfile.TemporaryFile("w+", errors="replace") as log:
            with self.lock:
                if self.stopped:
                    return "not started", ""
                process = subprocess.Popen(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL,
                                           stdout=log, stderr=subprocess.STDOUT)
                self.running.add(process)
            try:
                status = process.wait(timeout=PASS_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                status = f"no end within {PASS_SECONDS} s"
            with self.lock:
                self.running.discard(process)
            log.seek(0)
            return status, log.read()

    def stop(self):
        """Ends the passes that run and lets none begin."""
        with self.lock:
            self.stopped = True
            for process in self.running:
                process.terminate()


@contextmanager
def readable_copy(user):
    """Programs and tests where `user` can read them: the checkout may be out of its reach."""
    folder = Path(tempfile.mkdtemp(prefix="caisson-copy-"))
    try:
        os.chmod(folder, 0o755)
        shutil.copytree(ROOT / "build/release/bin", folder / "bin")
        if (ROOT / "build/guest/manifest.json").exists():
            shutil.copytree(ROOT / "build/guest", folder / "guest", ignore=shutil.ignore_patterns("cache"))
        shutil.copytree(ROOT / "tests", folder / "tests", symlinks=True,
                        ignore=shutil.ignore_patterns("__pycache__"))
        subprocess.run(["chown", "-R", f"{user.name}:", str(folder)], check=True)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run_as_user(passes, suite, user, label, pytest_args):
    with readable_copy(user) as folder:
        prefix = user.prefix(CAISSON_TEST_BIN=folder / "bin", CAISSON_GUEST=folder / "guest",
                             CI=os.environ.get("CI", ""))
        passes.run(f"{suite}, {label}", suite, folder / "tests", prefix, pytest_args, cwd=folder)


def run_as_users(passes, suite, pytest_args):
    with OrdinaryUser("caisson-test", subordinate_ids=True) as user:
        run_as_user(passes, suite, user, "user", pytest_args)
    with OrdinaryUser("caisson-test-bare", subordinate_ids=False) as user:
        run_as_user(passes, suite, user, "user without subordinate ids",
                    ["-m", "without_subuid and not needs_subuid", *pytest_args])


def run_boxes(tally, suite, pytest_args):
    """Root's pass beside the users'. They see nothing of each other: every test has a home of its
    own, and looks for what is left over among its descendants, its home's paths and its boxes' ids."""
    bin_dir = ROOT / "build/release/bin"
    if not (ROOT / "tests" / suite).is_dir():
        return
    passes = Passes(tally)
    if "--isolation" in pytest_args:
        passes.run(f"{suite}, this user", suite, ROOT / "tests", [], pytest_args, bin_dir)
        return
    if os.geteuid() != 0:
        tally.notes.append(f"{suite}: not root, so only the tests for an ordinary user ran")
        passes.run(f"{suite}, this user", suite, ROOT / "tests", [], pytest_args, bin_dir)
        run_microvms(passes, suite, pytest_args, bin_dir)
        return
    banner(f"tests/{suite}: as root, and at the same time as ordinary users")
    with ThreadPoolExecutor(2) as pool:
        try:
            both = [pool.submit(passes.run, f"{suite}, root", suite, ROOT / "tests", [], pytest_args,
                                bin_dir),
                    pool.submit(run_as_users, passes, suite, pytest_args)]
            for one in both:
                one.result()
        except BaseException:
            passes.stop()
            raise
    run_microvms(passes, suite, pytest_args, bin_dir)


# What is most of an isolation's own; all of them take twice the time of a pass with containers.
MICROVM_TESTS = "test_run or test_exec or test_endings or test_pause or test_logs"


def run_microvms(passes, suite, pytest_args, bin_dir):
    """Alone: an emulated machine takes a processor for itself."""
    if suite != "functional":
        return
    label = f"{suite}, boxes are microVMs"
    if reason := missing_guest():
        passes.tally.skipped.append((label, f"needs a guest: {reason}"))
        return
    chosen = pytest_args or ["-k", MICROVM_TESTS]
    passes.run(label, suite, ROOT / "tests", [], ["--isolation", "microvm", *chosen], bin_dir)


# --- the end ------------------------------------------------------------------------------------

def allowed_skips():
    lines = (ROOT / "tests/skips_allowed_in_ci.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def refuse_skips(tally):
    """In CI as root every functional test has what it needs: a skip is a hole in the proof."""
    if os.environ.get("CI") != "true" or os.geteuid() != 0:
        return
    allowed = allowed_skips()
    for name, reason in list(tally.skipped):
        if name.startswith(("functional", "hostile")) and not any(a in name for a in allowed):
            tally.skipped.remove((name, reason))
            tally.failed.append(f"{name} (skipped in CI: {reason})")


def close(tally):
    print()
    for note in tally.notes:
        print(f"note: {note}")
    if tally.limits:
        print("known limits, each shown by a test:")
        for name, reason in tally.limits.items():
            print(f"  {name}: {reason}")
    if tally.skipped:
        print("skipped:")
        for name, reason in tally.skipped:
            print(f"  {name}: {reason}")
    if tally.failed:
        print("failed:")
        for name in tally.failed:
            print(f"  {name}")
    if tally.ran() == 0:
        print("no test ran: that is a failure too")
    print(f"{tally.passed} passed, {len(tally.failed)} failed, {len(tally.skipped)} skipped")
    return 0 if tally.ran() and not tally.failed else 1


def main():
    parser = argparse.ArgumentParser(prog="./dev test", description="Runs test suites.")
    parser.add_argument("suites", nargs="*", metavar="SUITE",
                        help="unit, functional, hostile (default: all)")
    own, _, rest = partition(sys.argv[1:])
    suites = parser.parse_args(own).suites or SUITES
    for suite in suites:
        if suite not in SUITES:
            parser.error(f"unknown suite '{suite}'; there are {', '.join(SUITES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that users and copies go
    shutil.rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir(parents=True)
    tally = Tally()
    for suite in suites:
        if suite == "unit":
            run_unit(tally, rest)
        else:
            run_boxes(tally, suite, rest)
    refuse_skips(tally)
    return close(tally)


def partition(words):
    if "--" in words:
        at = words.index("--")
        return words[:at], "--", words[at + 1:]
    return words, "", []


if __name__ == "__main__":
    sys.exit(main())
