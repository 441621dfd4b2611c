"""A person at a terminal, as far as a program can tell."""

import fcntl
import os
import pty
import select
import struct
import termios
import time

LIMIT_SECONDS = 30


class Terminal:
    """Runs `caisson ARGUMENTS` on a pseudo-terminal.

        with Terminal(caisson, "exec", "-it", box, "sh") as terminal:
            terminal.type("stty size\\n")
            terminal.expect("24 80")
    """

    def __init__(self, caisson, *arguments, rows=24, columns=80):
        self.controller, self.terminal = pty.openpty()
        self.resize(rows, columns)
        self.output = ""
        self.process = caisson.popen(*arguments, stdin=self.terminal, stdout=self.terminal,
                                     stderr=self.terminal, start_new_session=True,
                                     preexec_fn=self._make_controlling)
        os.close(self.terminal)

    @staticmethod
    def _make_controlling():
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=LIMIT_SECONDS)
        os.close(self.controller)

    def resize(self, rows, columns):
        fcntl.ioctl(self.controller, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.controller, text.encode())

    def expect(self, text):
        """Reads until `text` has appeared; what stood before it is forgotten."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while text not in self.output:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([self.controller], [], [], max(left, 0))
            assert ready, f"no {text!r} in {self.output!r}"
            try:
                self.output += os.read(self.controller, 65536).decode(errors="replace")
            except OSError:
                raise AssertionError(f"the program ended without {text!r}: {self.output!r}") from None
        self.output = self.output.partition(text)[2]

    def wait(self):
        """Reads the rest and returns the exit status."""
        deadline = time.monotonic() + LIMIT_SECONDS
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"no end; output: {self.output!r}"
            ready, _, _ = select.select([self.controller], [], [], 0.05)
            try:
                self.output += os.read(self.controller, 65536).decode(errors="replace") if ready else ""
            except OSError:
                time.sleep(0.01)
        return self.process.returncode
