"""tools/check_words.py finds forbidden words, long files and undocumented error reasons."""

import check_words
import pytest

DECLARATION = "Error make_error(Code code, std::string_view reason, std::string message);\n"


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/errors.md").write_text("| reason | code |\n|---|---|\n")
    (tmp_path / "src/error.h").write_text(DECLARATION)
    return tmp_path


@pytest.mark.parametrize("text", ["// T" + "ODO: later\n", "path = '/ro" + "ot/x'\n", "see pyp" + "i.org\n"])
def test_forbidden_words(tree, text):
    (tree / "src/a.cc").write_text(text)
    [fault] = check_words.check(tree)
    assert fault.startswith("src/a.cc:1:")


@pytest.mark.parametrize("text", ["boxes/id/work/work\n", "ROOT/home\n", "$HOME/root/x\n"])
def test_allowed_words(tree, text):
    (tree / "src/a.cc").write_text(text)
    assert check_words.check(tree) == []


def test_long_files(tree):
    (tree / "src/a.h").write_text("\n" * 251)
    (tree / "src/a.cc").write_text("\n" * 500)
    [fault] = check_words.check(tree)
    assert "src/a.h: 251 lines" in fault


def test_reasons_both_ways(tree):
    (tree / "src/a.cc").write_text(
        '  return make_error(Code::kNotFound, "box_gone",\n    format("find \'{}\': (a, b)", x));\n'
        '  make_error(f(a, b), early ? "one_way" : "other_way", "x");\n'
        'error.reason = "set_later";\n')
    (tree / "docs/errors.md").write_text("| `box_gone` | X |\n| `one_way` | X |\n| `never_used` | X |\n")
    assert check_words.check(tree) == [
        "docs/errors.md: reason 'other_way' is used but not listed",
        "docs/errors.md: reason 'set_later' is used but not listed",
        "docs/errors.md: reason 'never_used' is listed but not used"]


def test_wrappers_count_too(tree):
    (tree / "src/a.cc").write_text(
        'Error invalid(std::string_view reason, std::string message) { return {}; }\n'
        'auto e = invalid("size_invalid", "m");\n')
    assert check_words.used_reasons({"a": (tree / "src/a.cc").read_text()}) == {"size_invalid"}


def test_a_files_own_function_of_the_same_name(tree):
    header = 'Error invalid(std::string_view reason, std::string message);\n'
    source = ('Error invalid(std::string_view where, std::string message) {\n'
              '  return make_error(Code::kX, "policy_bad", message);\n}\n'
              'auto e = invalid("policy", "m");\n')
    used = check_words.used_reasons({"e.h": DECLARATION, "t.h": header, "a.cc": source})
    assert used == {"policy_bad"}
