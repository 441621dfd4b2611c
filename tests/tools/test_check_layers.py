"""tools/check_layers.py refuses what the layer table does not allow."""

import check_layers
import pytest

TABLE = """
| layer | module | may include | third-party it owns |
|---|---|---|---|
| 0 | `base` | – | fmt |
| 1 | `sys` | base | libseccomp |
| 2 | `store` | base, sys | sqlite3 |
| 5 | `cli` | public headers only | – |
"""


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "ARCHITECTURE.md").write_text(TABLE)
    for folder in ("src", "include", "examples"):
        (tmp_path / folder).mkdir()

    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return check_layers.check(tmp_path)

    return write


@pytest.mark.parametrize("path, text", [
    ("src/sys/a.cc", '#include "base/fd.h"\n#include <seccomp.h>\n#include <vector>\n'),
    ("src/store/a.cc", '#include "sys/a.h"\n#include "store/b.h"\n#include "caisson/box.h"\n'),
    ("src/base/a_test.cc", "#include <gtest/gtest.h>\n#include <sys/wait.h>\n"),
    ("src/cli/a.cc", '#include "caisson/box.h"\n#include "cli/b.h"\n'),
    ("include/caisson/a.h", '#include "caisson/box.h"\n#include <vector>\n'),
    ("examples/a/main.cc", "#include <caisson/caisson.h>\n#include <iostream>\n"),
])
def test_allowed(tree, path, text):
    assert tree(path, text) == []


@pytest.mark.parametrize("path, text, said", [
    ("src/base/a.cc", '#include "sys/a.h"\n', "may not include sys"),
    ("src/sys/a.cc", '#include "store/a.h"\n', "may not include store"),
    ("src/sys/a.cc", "#include <sqlite3.h>\n", "does not own sqlite3"),
    ("src/sys/a.cc", "#include <fmt/core.h>\n", "does not own fmt"),
    ("src/sys/a.cc", "#include <boost/asio.hpp>\n", "no library that"),
    ("src/sys/a.cc", '#include "a.h"\n', "in no module"),
    ("src/sys/a.cc", "#include <gtest/gtest.h>\n", "outside a unit test"),
    ("src/cli/a.cc", '#include "base/fd.h"\n', "only the public headers"),
    ("src/new/a.cc", "\n", "not in the layer table"),
    ("include/caisson/a.h", "#include <unistd.h>\n", "neither standard C++"),
    ("include/caisson/a.h", '#include "base/fd.h"\n', "neither standard C++"),
])
def test_refused(tree, path, text, said):
    faults = tree(path, text)
    assert len(faults) == 1
    assert said in faults[0] and faults[0].startswith(path)


@pytest.mark.parametrize("row, said", [
    ("| 0 | `low` | store | – |", "higher layer"),
    ("| 1 | `odd` | nothing | – |", "unknown module"),
    ("| 2 | `one` | two | – |\n| 2 | `two` | one | – |", "include each other"),
])
def test_table_itself(row, said):
    assert any(said in f for f in check_layers.table_faults(check_layers.read_table(TABLE + row)))


def test_missing_table():
    with pytest.raises(ValueError):
        check_layers.read_table("# nothing here\n")
