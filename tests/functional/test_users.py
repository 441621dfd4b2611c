"""Users and groups inside a box."""

import pytest

from support import host


@pytest.mark.needs_subuid
def test_number(caisson):
    assert caisson.sh("id -u; id -g", "-u", "1234:567").stdout == "1234\n567\n"


@pytest.mark.needs_subuid
def test_name_from_the_root_directory(caisson, busybox_root):
    done = caisson.sh("id -u; id -g; echo ~", "-u", "app", source=f"dir:{busybox_root}")
    assert done.stdout == "1000\n1000\n/home/app\n"


@pytest.mark.needs_subuid
def test_name_with_group(caisson, busybox_root):
    done = caisson.sh("id -u; id -g", "-u", "app:video", source=f"dir:{busybox_root}")
    assert done.stdout == "1000\n44\n"


@pytest.mark.needs_subuid
def test_supplementary_groups(caisson, busybox_root):
    done = caisson.sh("id -G", "-u", "app", "--group-add", "video", "--group-add", "77",
                      source=f"dir:{busybox_root}")
    assert {"44", "77", "1000"} <= set(done.stdout.split())


@pytest.mark.needs_subuid
def test_caller_groups_do_not_leak(caisson):
    done = caisson.sh("id -G", "-u", "1234:567")
    assert done.stdout.split() == ["567"]


@pytest.mark.without_subuid
def test_groups_of_root_do_not_leak(caisson):
    assert caisson.sh("id -G").stdout.split() == ["0"]


@pytest.mark.needs_subuid
def test_root_inside_can_change_owner_and_user(caisson, busybox_root):
    script = "touch /tmp/f && chown 1000:1000 /tmp/f && ls -ln /tmp/f | awk '{print $3}'; su app -c 'id -u'"
    done = caisson.sh(script, source=f"dir:{busybox_root}")
    assert done.stdout == "1000\n1000\n"


@pytest.mark.parametrize("user", ["nobody-has-this-name", "70000", "-1", "0:no-such-group", ":", ":0"])
def test_unknown_user_is_an_error(caisson, user):
    done = caisson.sh("id", f"--user={user}")
    assert (done.returncode, done.stdout) == (125, "")
    done.error_line()


@pytest.mark.user_only
@pytest.mark.without_subuid
def test_without_subordinate_ids_there_is_one_user(caisson):
    """The one that `-u` names by its number, or root."""
    assert caisson.sh("id -u", "-u", "1234").stdout == "1234\n"
    box = caisson.detached("sleep", "1000")
    done = caisson("exec", "-u", "1234", box, "id", "-u")
    if host.missing_subuid():
        assert done.returncode == 125
        assert "subuid" in done.error_line()
    else:
        assert done.stdout == "1234\n"
    caisson("rm", "-f", box, check=True)
