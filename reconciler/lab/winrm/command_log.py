"""Keep one JSON line per command that a host was sent, without the secrets in it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reconciler.lab.winrm.records import Credential, Record, Secret

MASK = "***"
_LONGEST = 4096
_SECRET_NAME = re.compile(r"pass(word|phrase|wd)?$|password|secret|^pwd$|^runaspassword$", re.IGNORECASE)
# /keypassword:x, /passwordD:x, /pd:x, /userD:x, KEYPASSWORD=x; the value may be quoted, also inside XML.
_SECRET_OPTION = re.compile(
    r"((?:[/-](?:\w*password\w*|p[dot]|userd|usero|rp|pwd)[:=])|(?:\b\w*(?:password|pwd|passphrase)=))"
    r"(\"[^\"]*\"|&quot;.*?&quot;|[^\s<\"&]+)",
    re.IGNORECASE,
)
_SECRET_FLAG = re.compile(r"[/-](\w*password\w*|p[dot]|rp|pwd)", re.IGNORECASE)


class CommandLog:
    """The command log of one host; appended to, never rewritten."""

    def __init__(self, path: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.path = path
        self._clock = clock

    def write(self, command: str, parameters: object, user: str, outcome: str) -> None:
        """Append one line.

        Args:
            command: Name of the cmdlet or program as it was found (or asked for).
            parameters: What `shown_parameters` or `shown_arguments` returned.
            user: Account of the session.
            outcome: 'ok', or the error id of the first error.
        """
        line = {
            "time": self._clock().astimezone(UTC).isoformat(timespec="milliseconds"),
            "command": command,
            "parameters": parameters,
            "user": user,
            "outcome": outcome,
        }
        data = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, data)
        finally:
            os.close(handle)


def shown_parameters(given: Mapping[str, Any], secret: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Return a cmdlet's parameters as they may be written down.

    Args:
        given: Parameter names and values.
        secret: Names whose values must not be shown, whatever they hold.
    """
    return {
        name: MASK if name in secret or _SECRET_NAME.search(name) else _shown(value) for name, value in given.items()
    }


def shown_arguments(program: str, arguments: Sequence[str]) -> list[str]:
    """Return a native program's arguments as they may be written down."""
    shown = []
    masked_next = False
    for argument in arguments:
        shown.append(MASK if masked_next else _masked_text(argument))
        masked_next = _SECRET_FLAG.fullmatch(argument) is not None
    if program.lower().removesuffix(".exe") in ("net", "net1") and [a.lower() for a in arguments[:1]] == ["user"]:
        shown[2:3] = [MASK if not argument.startswith("/") else argument for argument in shown[2:3]]
    return shown


def _shown(value: Any) -> Any:
    if isinstance(value, Secret):
        return MASK
    if isinstance(value, Credential):
        return {"UserName": value.username, "Password": MASK}
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [_shown(one) for one in value]
    if isinstance(value, (dict, Record)):
        return shown_parameters({str(name): one for name, one in value.items()})
    return _masked_text(str(value))


def _masked_text(text: str) -> str:
    masked = _SECRET_OPTION.sub(lambda found: found[1] + MASK, text)
    return masked if len(masked) <= _LONGEST else f"{masked[:_LONGEST]}... ({len(masked)} characters)"
