"""The migration log of a simulated ADMT host: UTF-16LE with a mark, one file per run, older ones numbered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from reconciler.lab.windows.machine import Machine

LOGS = r"C:\Windows\ADMT\Logs"
CURRENT = LOGS + r"\Migration.log"
AGENTS = LOGS + r"\Agents"
PASSWORDS = LOGS + r"\Passwords.txt"

_KEPT = 20
_OLDER = re.compile(r"Migration (\d{4,})\.log", re.IGNORECASE)
_BOM = b"\xff\xfe"


class MigrationLog:
    """The log of one run; every line is on the disk when the call returns."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.errors = 0
        self.warnings = 0
        machine.files.make_directory(LOGS)
        _rotate(machine)
        machine.files.write(CURRENT, _BOM)

    def line(self, text: str) -> None:
        """Write a plain line."""
        stamp = self._machine.clock().strftime("%Y-%m-%d %H:%M:%S")
        self._machine.files.append(CURRENT, f"{stamp} {text}\r\n".encode("utf-16-le"))

    def warning(self, number: int, text: str, severity: Literal[1, 2, 3] = 1) -> None:
        """Write a warning: something was done, though not all of it."""
        self.warnings += 1
        self.line(f"WRN{severity}:{number} {text}")

    def error(self, number: int, text: str, severity: Literal[1, 2, 3] = 2) -> None:
        """Write an error: something was not done."""
        self.errors += 1
        self.line(f"ERR{severity}:{number} {text}")


def append_passwords(machine: Machine, path: str, account: str, password: str) -> None:
    """Write a generated password where ADMT leaves it: in clear, in a file that nobody deletes."""
    before = machine.files.item(path)
    start = b"" if before is not None else _BOM
    machine.files.append(path, start + f"{account},{password}\r\n".encode("utf-16-le"), parents=True)


def read_log(content: bytes) -> str:
    """Return the text of a log file."""
    return content.decode("utf-16")


def _rotate(machine: Machine) -> None:
    current = machine.files.item(CURRENT)
    if current is None or current.content is None:
        return
    older = sorted(int(found[1]) for item in machine.files.children(LOGS) if (found := _OLDER.fullmatch(item.name)))
    number = older[-1] + 1 if older else 1
    machine.files.write(f"{LOGS}\\Migration {number:04d}.log", current.content)
    for old in older[: max(0, len(older) + 1 - _KEPT)]:
        machine.files.delete(f"{LOGS}\\Migration {old:04d}.log")
