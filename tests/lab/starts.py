"""Starts the real program often and cheaply: a process that has imported everything forks once per start.

`python -m tests.lab.starts` takes one JSON list of arguments per line, answers with the process id of the program, and, once
that ended, with its exit code (the negative number of the signal that killed it). What is forked has run nothing yet: it opens
its own sockets, its own journal, its own lock. Nothing of the program is replaced.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import reconciler
from reconciler.core.steps import Effect
from tests.e2e.lab import PROGRAM

ROOT = Path(__file__).parents[2]
LONGEST_S = 120.0
LOOK_EVERY_S = 0.005


@dataclass(frozen=True)
class Started:
    """How one start ended, and how long it lived."""

    code: int
    seconds: float

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


@dataclass(frozen=True)
class Moment:
    """When a program is to die.

    Attributes:
        after_s: So long after its start, or after ``grows`` grew.
        grows: A file that it writes to.
    """

    after_s: float = LONGEST_S
    grows: Path | None = None

    def comes(self, ended: Callable[[float], bool]) -> bool:
        """Wait for the moment; return whether it came before the program ended.

        Args:
            ended: Waits so many seconds for the end of the program.
        """
        size = self._size()
        while self.grows is not None and self._size() == size:
            if ended(LOOK_EVERY_S):
                return False
        return not ended(self.after_s)

    def _size(self) -> int:
        return self.grows.stat().st_size if self.grows is not None and self.grows.exists() else 0


LIVES = Moment()


class Starts:
    """The fork server, seen from outside.

    Args:
        log: Where the programs write what they say.
    """

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._ask: IO[bytes] = process.stdin
        self._answers: IO[bytes] = process.stdout
        self.log = log

    def run(self, *arguments: str | Path, dies: Moment = LIVES, effects: int = 0) -> Started:
        """Start the program; kill it by SIGKILL at that moment, or right after so many effects.

        With ``effects`` each effect is written to ``done`` beside the log.
        """
        order = {"log": str(self.log), "arguments": list(map(str, arguments)), "effects": effects}
        self._ask.write(json.dumps(order).encode() + b"\n")
        begin = time.monotonic()
        program = os.pidfd_open(int(self._answers.readline()))  # never another process that got the same number
        self._ask.write(b"held\n")
        try:
            if dies.comes(lambda seconds: bool(select.select([self._answers], [], [], seconds)[0])):
                signal.pidfd_send_signal(program, signal.SIGKILL)
            code = int(self._answers.readline())
        finally:
            os.close(program)
        return Started(code, time.monotonic() - begin)

    def execute(self, *arguments: str | Path, dies: Moment = LIVES) -> Started:
        """Do the same with the installed program, executed anew."""
        begin = time.monotonic()
        with (
            self.log.open("ab") as log,
            subprocess.Popen([PROGRAM, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log) as process,
        ):

            def ended(seconds: float) -> bool:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(seconds)
                return process.returncode is not None

            if dies.comes(ended):
                process.kill()
        return Started(process.returncode, time.monotonic() - begin)


@contextmanager
def starts(log: Path) -> Iterator[Starts]:
    """Run a fork server."""
    command = [sys.executable, "-m", "tests.lab.starts"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        yield Starts(process, log)
        assert process.stdin is not None
        process.stdin.close()


def main() -> None:
    """Serve until the input ends."""
    for module in pkgutil.walk_packages(reconciler.__path__, "reconciler."):
        if not module.name.startswith("reconciler.lab") and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for line in iter(sys.stdin.readline, ""):
        order = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(order["log"], order["arguments"], order["effects"])
        _say(pid)
        sys.stdin.readline()  # not taken off the list of processes before it is held by something better than its number
        _, status = os.waitpid(pid, 0)
        _say(os.waitstatus_to_exitcode(status))


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _become(log: str, arguments: list[str], effects: int) -> None:
    from reconciler.cli.main import main as program

    nothing = os.open(os.devnull, os.O_RDONLY)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, place in ((nothing, 0), (file, 1), (file, 2)):
        os.dup2(number, place)
    os.closerange(3, 256)
    if effects:
        _mortal(Path(log).with_name("done"), effects)
    code = 70
    try:
        code = program(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _mortal(done: Path, effects: int) -> None:
    from tests.lab.killed import die_after, is_dangerous

    def note(effect: Effect) -> None:
        with done.open("a", encoding="utf-8") as file:
            place = getattr(effect, "host", None) or getattr(effect, "domain", "")
            file.write(f"{'!' if is_dangerous(effect) else '-'} {place}: {effect}\n")

    die_after(effects, note)


if __name__ == "__main__":
    main()
