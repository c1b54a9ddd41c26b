"""Reading the log of an ADMT run: by message numbers where there are any, because the text is localised.

What a success looks like is documented nowhere, so success is concluded: a line of the run speaks of the account (that
ADMT writes one is background knowledge, not documented), and no warning or error does. Whoever uses that also looks the account up in the directory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from msgspec import Struct

from reconciler.resources import admt_failures

PASSWORD_NOT_COPIED = 7557
COMPLETED = "operation completed"
"""What the log of a run that came to its end says (folded); another language says it otherwise, which costs one more run."""

Password = Literal["copied", "random", "attempted"]

_LINE = re.compile(r"^(?:(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) )?(?:(ERR|WRN|E|W)(\d):(\d{4,5}) )?(.*)$", re.DOTALL)


class Entry(Struct, frozen=True):
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
    return admt_failures.advice(entry.text)


def key_mismatch(log: Iterable[Entry]) -> Entry | None:
    """Return the line that says that ADMT and PES do not share a key; it has no number of its own, so its text decides."""
    return next((entry for entry in log if any(fragment in entry.text for fragment in admt_failures.NO_SAME_KEY)), None)


class Told(Struct, frozen=True):
    """What a log says of one account.

    Attributes:
        spoken: Some line speaks of it, and the run went on behind it.
        begun: Some line speaks of it.
        password: "copied", "random" where ADMT generated one instead, or "attempted" where nothing is known.
        against: The first warning or error about it, with what to look at; empty for none.
    """

    spoken: bool
    password: Password
    against: str = ""
    begun: bool = False


def told(log: Iterable[Entry], names: Mapping[str, Iterable[str]]) -> dict[str, Told]:
    """Say for each account what a log tells of it.

    Doubt counts against the copy: an account that no line speaks of was not reached, a 7557 that names nobody we know of is held against every account, an error that
    names nobody against every account that no other line speaks of (the run never came to it). In a log that does not say that the run came to its
    end, the last account was perhaps only begun, unless it was alone in the run: then there is nothing smaller to try.

    Args:
        log: The whole log of one run.
        names: Key of an account -> every name that the log may give it.
    """
    entries = tuple(log)
    by_name: dict[str, list[str]] = {}
    for key, called in names.items():
        for name in called:
            if name:
                by_name.setdefault(name.casefold(), []).append(key)
    longest = max(map(len, by_name), default=0)
    about = [(entry, _about(entry.text, by_name, longest)) for entry in entries]
    spoken = {key for entry, keys in about if entry.severity == "info" for key in keys}
    begun = set(spoken)
    if len(names) > 1 and not any(COMPLETED in entry.text.casefold() for entry in entries):
        spoken -= next((keys for _, keys in reversed(about) if keys), set())
    verdict: dict[str, Password] = {key: "copied" if key in spoken else "attempted" for key in names}
    against: dict[str, str] = {}
    for entry, keys in about:
        if entry.severity == "info":
            continue
        random = entry.severity == "warning"
        for key in keys:
            against.setdefault(key, said(entry))
        if random and entry.number != PASSWORD_NOT_COPIED:
            continue
        for key in keys or (list(names) if random else [key for key in names if key not in spoken]):
            verdict[key] = "random" if random else "attempted"
    return {
        key: Told(key in spoken or key in against, verdict[key], against.get(key, ""), key in begun) for key in names
    }


def said(entry: Entry) -> str:
    """Return a line with what to look at behind it."""
    hint = advice(entry)
    return f"ADMT says: {entry}" + (f" ({hint})" if hint else "")


def _about(text: str, by_name: Mapping[str, list[str]], longest: int) -> set[str]:
    """Return the keys of all accounts whose names stand in a line as whole words."""
    folded = text.casefold()
    edges = [place for place in range(len(folded) + 1) if not (0 < place < len(folded) and _within(folded, place))]
    found: set[str] = set()
    for at, begin in enumerate(edges):
        for end in edges[at + 1 :]:
            if end - begin > longest:
                break
            found.update(by_name.get(folded[begin:end], ()))
    return found


def _within(text: str, place: int) -> bool:
    """Whether a place lies inside a word."""
    before, after = text[place - 1], text[place]
    return (before.isalnum() or before == "_") and (after.isalnum() or after == "_")
