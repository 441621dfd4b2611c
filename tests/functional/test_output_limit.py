"""What is kept of a flood."""

import pytest

pytestmark = pytest.mark.without_subuid


def test_output_limit_of_what_is_not_captured(caisson):
    """The limit is for what is kept; a pipe gets everything, the log its part."""
    done = caisson("run", "--name", "chatty", "--output-limit", "1000", "host:", "--", "head", "-c",
                   "300000", "/dev/zero", binary=True)
    assert len(done.stdout) == 300000
    assert caisson.inspect("chatty")["exit"]["output_dropped_bytes"] == 299000
    assert len(caisson("logs", "chatty", binary=True).stdout) == 1000


def test_killing_output_limit_of_a_detached_box(caisson):
    box = caisson.detached("sh", "-c", "while :; do echo flood; done",
                           options=("--output-limit", "10k:kill"))
    caisson("wait", box, check=True)
    assert caisson.inspect(box)["exit"]["reason"] == "output_limit"
    assert len(caisson("logs", box).stdout) <= 10 << 10


def test_flood_without_reader_does_not_fill_memory_or_disk(caisson, home):
    box = caisson.detached("sh", "-c", "head -c 200000000 /dev/zero; echo end >&2")
    caisson("wait", box, check=True, timeout=60)
    kept = sum(path.stat().st_size for path in (home / "boxes" / box / "logs").iterdir())
    assert kept <= 11 << 20
    assert caisson.inspect(box)["exit"]["output_bytes"] == 200000004
