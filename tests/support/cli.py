"""Driving the `caisson` program."""

import json
import os
import re
import subprocess

from support import isolation

ULID = re.compile(r"\b[0-7][0-9a-hjkmnp-tv-z]{25}\b")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


# What a run prints where boxes have no cgroup: an ordinary user's without a delegated one.
UNLIMITED = re.compile(r"^caisson: warning: the number of processes is limited for each user of the box only: .*\n", re.MULTILINE)


class Completed(subprocess.CompletedProcess):
    """A finished command; stdout and stderr are str (bytes when asked for). The one warning that
    depends on the machine is taken out of stderr."""

    def json(self):
        """The object on the last line of stdout."""
        lines = self.stdout.splitlines()
        assert lines, f"no output; stderr: {self.stderr}"
        value = json.loads(lines[-1])
        assert isinstance(value, dict), f"not an object: {lines[-1]}"
        return value

    def error_line(self):
        """The one line that a failure prints on stderr."""
        lines = self.stderr.splitlines()
        assert len(lines) == 1, f"not one line on stderr: {self.stderr!r}"
        assert lines[0].startswith("caisson: "), lines[0]
        return lines[0]


class Caisson:
    """Calls the program under one home, with an environment of almost nothing.

        done = caisson("run", "--rm", "host:", "--", "sh", "-c", "exit 7")
        assert done.returncode == 7
    """

    def __init__(self, program, home, level="container"):
        self.program = str(program)
        self.home = str(home)
        self.isolation = level  # of boxes that are made without a word on it
        self.env = {"PATH": PATH, "LANG": "C.UTF-8", "CAISSON_HOME": self.home,
                    "HOME": os.path.expanduser("~")}
        if "CAISSON_GUEST" in os.environ:
            self.env["CAISSON_GUEST"] = os.environ["CAISSON_GUEST"]
        self.ids = set()  # every box id seen in this home

    def command(self, *arguments):
        """The words of a call, for who starts it himself."""
        return [self.program, *map(str, isolation.words(self.isolation, arguments))]

    def __call__(self, *arguments, input=None, timeout=60, env=None, binary=False, check=False,
                 **options):
        """Runs to the end. `input` is str or bytes; without it stdin is /dev/null."""
        if input is None:
            options.setdefault("stdin", subprocess.DEVNULL)
        else:
            options["input"] = input if isinstance(input, bytes) else input.encode()
        done = subprocess.run(self.command(*arguments), capture_output=True,
                              env=self.env | (env or {}), timeout=timeout, check=False, **options)
        self.note_ids(done.stdout)
        out, err = done.stdout, done.stderr
        if not binary:
            out, err = (data.decode(errors="surrogateescape") for data in (out, err))
            err = UNLIMITED.sub("", err)
        result = Completed(done.args, done.returncode, out, err)
        if check:
            assert result.returncode == 0, f"{done.args}: status {done.returncode}: {err}"
        return result

    def popen(self, *arguments, env=None, **options):
        """Starts the program without waiting for it; bytes on its pipes."""
        return subprocess.Popen(self.command(*arguments), env=self.env | (env or {}), **options)

    def sh(self, script, *options, source="host:", **keywords):
        """`run --rm OPTIONS SOURCE -- sh -c SCRIPT`."""
        return self("run", "--rm", *options, source, "--", "sh", "-c", script, **keywords)

    def detached(self, *words, source="host:", options=(), **keywords):
        """Starts a box in the background and returns its id."""
        return self("run", "-d", *options, source, "--", *words, check=True, **keywords).stdout.strip()

    def inspect(self, box):
        return json.loads(self("inspect", box, check=True).stdout)

    def boxes(self):
        """Ids of all recorded boxes."""
        return self("ps", "-a", "-q", "--no-trunc", check=True).stdout.split()

    def note_ids(self, output):
        self.ids.update(ULID.findall(output.decode("ascii", errors="replace")))
        try:
            self.ids.update(name for name in os.listdir(f"{self.home}/boxes") if ULID.fullmatch(name))
        except OSError:
            pass
