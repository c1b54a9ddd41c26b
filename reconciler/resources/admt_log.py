"""Reading the log of an ADMT run: by message numbers where there are any, because the text is localised.

What a success looks like is documented nowhere, so success is concluded: a line of the run speaks of the account (that
ADMT writes one is background knowledge, not documented), and no warning or error does. Whoever uses that also looks the account up in the directory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

PASSWORD_NOT_COPIED = 7557

Password = Literal["copied", "random", "attempted"]

_LINE = re.compile(r"^(?:(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) )?(?:(ERR|WRN|E|W)(\d):(\d{4,5}) )?(.*)$", re.DOTALL)
_SYSTEM_CODE = re.compile(r"(?:Error code\s*=\s*|rc\s*=\s*)(\d+)", re.IGNORECASE)
_NO_SAME_KEY = ("do not have the same encryption key", "does not have an encryption key for source domain")

# What to look at, by system error code. Sources: KB322970, KB322981, KB4089459 and the Windows system error codes 8200-8999.
_BY_CODE: Mapping[int, str] = {
    5: "the operator lacks rights in one of the domains",
    6: "TcpipClientSupport is missing on the source PDC emulator, or it was not restarted since; or a name does not resolve",
    1326: "the operator's password is wrong, or the secrets of the trust do not match",
    1332: "the source trusts domains that the target does not know",
    1355: "the source domain cannot be found: DNS or the trust",
    1376: "something that is no domain local group has the name <NETBIOS>$$$, or nothing has",
    1378: "<NETBIOS>$$$ in the source has a leftover member",
    1722: "PES is stopped, LSA protection is on, or a firewall is between",
    1788: "the trust does not work",
    8534: "both domains are in the same forest",
    8536: "auditing of account management is off in the target",
    8537: "no controller of the source can be found: DNS or a firewall",
    8539: "the SID is already in the target forest: look who has it in objectSid or sIDHistory",
    8540: "the existing object is of another class or scope",
    8552: "auditing of account management is off in the source",
    8558: "ADMT has to run on a controller of the target domain to migrate SIDs",
}
_BY_TEXT: tuple[tuple[str, str], ...] = (
    *(
        (fragment, "the host that runs ADMT and PES have different keys: import the key file where ADMT runs")
        for fragment in _NO_SAME_KEY
    ),
    ("specified local group does not exist", _BY_CODE[1376]),
    ("already a member of the group", _BY_CODE[1378]),
    ("RPC server is unavailable", _BY_CODE[1722]),
    ("Password Export Service is not running", "start PES on the export server"),
    (
        "Unable to copy password. Access is denied",
        "RestrictAnonymous and the Pre-Windows 2000 group of the target keep PES out",
    ),
    ("No credentials are available", "the operator is marked as sensitive, or Credential Guard is on"),
    ("Access is denied", _BY_CODE[5]),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the log; ``number`` is 0 and ``severity`` "info" where it has none."""

    text: str
    severity: Literal["info", "warning", "error"] = "info"
    number: int = 0
    time: str = ""

    def __str__(self) -> str:
        return f"{self.severity} {self.number}: {self.text}" if self.number else self.text


def parse_line(line: str) -> Entry:
    """Read one line; whatever it is, it is one."""
    found = _LINE.match(line.strip("\ufeff\r\n"))
    assert found is not None
    time, letters, _, number, text = found.groups()
    severity: Literal["info", "warning", "error"] = "info"
    if letters:
        severity = "error" if letters.startswith("E") else "warning"
    return Entry(text, severity, int(number or 0), time or "")


def parse(lines: Iterable[str]) -> tuple[Entry, ...]:
    """Read a log; empty lines are left out."""
    return tuple(entry for entry in map(parse_line, lines) if entry.text.strip() or entry.number)


def problems(log: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return warnings and errors, each text once."""
    return tuple({(entry.number, entry.text): entry for entry in log if entry.severity != "info"}.values())


def advice(entry: Entry) -> str:
    """Say what to look at; empty where nobody knows."""
    for code in map(int, _SYSTEM_CODE.findall(entry.text)):
        if code in _BY_CODE:
            return _BY_CODE[code]
    return next((said for fragment, said in _BY_TEXT if fragment.casefold() in entry.text.casefold()), "")


def key_mismatch(log: Iterable[Entry]) -> Entry | None:
    """Return the line that says that ADMT and PES do not share a key; it has no number of its own, so its text decides."""
    return next((entry for entry in log if any(fragment in entry.text for fragment in _NO_SAME_KEY)), None)


def passwords(log: Iterable[Entry], names: Mapping[str, Iterable[str]]) -> dict[str, Password]:
    """Say for each account how its password fared.

    Doubt counts against the copy: an account that no line speaks of was not reached, a 7557 that names nobody we know of is held against every account, an error that
    names nobody against every account that no other line speaks of (the run never came to it).

    Args:
        log: The whole log of one run.
        names: Key of an account -> every name that the log may give it.

    Returns:
        "copied", "random" where ADMT generated one instead, or "attempted" where nothing is known.
    """
    entries = tuple(log)
    verdict: dict[str, Password] = {
        key: "copied" if _spoken_of(entries, called) else "attempted" for key, called in names.items()
    }
    for entry in problems(entries):
        random = entry.severity == "warning"
        if random and entry.number != PASSWORD_NOT_COPIED:
            continue
        about = [key for key, called in names.items() if _names(entry.text, called)]
        if not about:
            about = list(names) if random else [key for key, called in names.items() if not _spoken_of(entries, called)]
        for key in about:
            verdict[key] = "random" if random else "attempted"
    return verdict


def _spoken_of(entries: Iterable[Entry], called: Iterable[str]) -> bool:
    names = tuple(called)
    return any(entry.severity == "info" and _names(entry.text, names) for entry in entries)


def _names(text: str, called: Iterable[str]) -> bool:
    folded = text.casefold()
    return any(re.search(rf"(?<!\w){re.escape(name.casefold())}(?!\w)", folded) for name in called if name)
