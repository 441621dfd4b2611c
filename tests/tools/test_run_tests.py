"""tools/run_tests.py counts truthfully."""

import run_tests

JUNIT = """<testsuites><testsuite>
<testcase classname="a" name="good"/>
<testcase classname="a" name="bad"><failure message="m"/></testcase>
<testcase classname="a" name="leaky"><error message="m"/></testcase>
<testcase classname="a" name="away"><skipped message="needs a moon"/></testcase>
<testcase classname="a" name="limit"><skipped type="pytest.xfail" message="not yet seen"/></testcase>
</testsuite></testsuites>"""
GTEST = """<testsuites><testsuite>
<testcase name="A" status="run" result="completed" classname="S"/>
<testcase name="B" status="run" result="skipped" classname="S"><skipped message="f.cc:3&#x0A;no moon"/></testcase>
<testcase name="C" status="notrun" result="suppressed" classname="S"/>
</testsuite></testsuites>"""
CTEST = """<testsuite>
<testcase name="unit.base" classname="unit.base" status="{status}">{more}</testcase>
<testcase name="fuzz.wire" classname="fuzz.wire" status="run"/>
</testsuite>"""


def test_pytest_report(tmp_path):
    (tmp_path / "r.xml").write_text(JUNIT)
    tally = run_tests.Tally()
    tally.add_junit(tmp_path / "r.xml", "functional, root")
    assert tally.passed == 2
    assert tally.limits == {"limit": "not yet seen"}
    assert tally.failed == ["functional, root: a.bad", "functional, root: a.leaky"]
    assert tally.skipped == [("functional, root: a.away", "needs a moon")]


def test_single_tests_of_a_program(tmp_path):
    (tmp_path / "base_test.xml").write_text(GTEST)
    (tmp_path / "ctest.xml").write_text(CTEST.format(status="run", more=""))
    tally = run_tests.Tally()
    run_tests.add_ctest(tally, tmp_path / "ctest.xml", tmp_path)
    assert (tally.passed, tally.failed) == (2, [])
    assert [reason for _, reason in tally.skipped] == ["no moon", "disabled"]


def test_program_that_crashed(tmp_path):
    (tmp_path / "ctest.xml").write_text(CTEST.format(status="fail", more="<failure/>"))
    tally = run_tests.Tally()
    run_tests.add_ctest(tally, tmp_path / "ctest.xml", tmp_path)
    assert (tally.passed, tally.failed) == (1, ["unit.base: the program failed"])


def test_program_that_failed_after_its_last_test(tmp_path):
    (tmp_path / "base_test.xml").write_text(GTEST)
    (tmp_path / "ctest.xml").write_text(CTEST.format(status="fail", more="<failure/>"))
    tally = run_tests.Tally()
    run_tests.add_ctest(tally, tmp_path / "ctest.xml", tmp_path)
    assert tally.failed == ["unit.base: the program failed"]


def test_skips_are_refused_in_ci(monkeypatch):
    monkeypatch.setenv("CI", "true")
    monkeypatch.setattr(run_tests.os, "geteuid", lambda: 0)
    monkeypatch.setattr(run_tests, "allowed_skips", lambda: ["known_gap"])
    tally = run_tests.Tally()
    tally.skipped = [("functional, root: a.x", "r"), ("functional, user: a.known_gap", "r"), ("unit.a", "r")]
    run_tests.refuse_skips(tally)
    assert tally.failed == ["functional, root: a.x (skipped in CI: r)"]
    assert len(tally.skipped) == 2


def test_no_test_is_a_failure(capsys):
    assert run_tests.close(run_tests.Tally()) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 0 failed, 0 skipped"


def test_closing_line(capsys):
    tally = run_tests.Tally()
    tally.passed = 2
    tally.skipped = [("a", "needs a moon")]
    assert run_tests.close(tally) == 0
    out = capsys.readouterr().out
    assert "a: needs a moon" in out
    assert out.splitlines()[-1] == "2 passed, 0 failed, 1 skipped"
