"""What the journal knows about accounts that ADMT was run for, and what the log of a run adds to that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from reconciler.core.query import Rows
from reconciler.core.resource import Key
from reconciler.core.steps import Note
from reconciler.resources import admt_log, rows
from reconciler.resources.account_matching import Pair, sanitised

Standing = Literal["copied", "random", "attempted", "generated", "unknown"]
"""How a password stands: copied from the source; made by ADMT because the copy failed; a run was started and nobody knows;
made by ADMT because that was wanted; or ADMT was never run for it by us."""

ACCOUNTS = "account/"
"""What the keys of all facts about accounts begin with."""
_STANDINGS: tuple[Standing, ...] = ("copied", "random", "attempted", "generated")


@dataclass(frozen=True, slots=True)
class Known:
    """What the journal says about one account of the source.

    Attributes:
        password: How its password stands.
        target_sid: SID of the account it was proven for; empty while nothing was proven.
        written: The fact itself.
    """

    password: Standing = "unknown"
    target_sid: str = ""
    written: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ours(self) -> bool:
        """Whether ADMT was run for it by us, so that an unfinished account in the target is no stranger's."""
        return self.password != "unknown"


def prefix(domain: str) -> str:
    """Return what the keys of all facts about accounts of a domain begin with."""
    return f"{ACCOUNTS}{domain}/"


def read_known(facts: Rows, domain: str) -> dict[str, Known]:
    """Read facts, by SID. A fact that says nothing we understand is as good as none."""
    known: dict[str, Known] = {}
    for row in facts:
        value = row.get("value")
        if isinstance(value, Mapping) and value.get("password") in _STANDINGS:
            sid = rows.text(row, "key").removeprefix(prefix(domain))
            known[sid] = Known(value["password"], str(value.get("target_sid") or ""), dict(value))
    return known


def known_about(pair: Pair, known: Mapping[str, Known]) -> Known:
    """Return what is known about a pair; what was proven for an account that is gone proves nothing for its successor."""
    found = known.get(str(pair.source.sid), Known())
    if found.target_sid and pair.target is not None and found.target_sid != pair.target.sid:
        return Known()
    return found


def note_before(pair: Pair, domain: str, *, copies: bool) -> Note:
    """Return the fact that is committed before a run, so that a crash leaves a trace of it."""
    value = {"password": "attempted" if copies else "generated", "sam": pair.source.sam, "names": names_of(pair)}
    return Note(prefix(domain) + str(pair.source.sid), value)


def file_key(domain: str, path: str) -> str:
    """Return the key of the fact that a run may have left a file. It stands among the accounts, where it is asked for anyway."""
    return f"{prefix(domain)}file {path}"


def note_files(key: Key, domain: str, host: str, paths: Iterable[str]) -> tuple[Note, ...]:
    """Return the facts that are committed before a run writes its files, so that a crash does not leave them for good."""
    return tuple(Note(file_key(domain, path), {"left_by": key, "host": host, "path": path}) for path in paths)


def files_of(key: Key, facts: Rows) -> tuple[str, ...]:
    """Return the files that runs for a population may have left."""
    return _files(facts, "left_by", key)


def files_on(host: str, facts: Rows) -> tuple[str, ...]:
    """Return the files that runs for any population may have left on a host."""
    return _files(facts, "host", host)


def _files(facts: Rows, name: str, wanted: str) -> tuple[str, ...]:
    values = [row.get("value") for row in facts]
    return tuple(str(one["path"]) for one in values if isinstance(one, Mapping) and one.get(name) == wanted)


def names_of(pair: Pair) -> list[str]:
    """Return every name that a log may give an account."""
    target = [pair.target.sam, pair.target.rdn, pair.target.dn.name] if pair.target else []
    return sorted({pair.source.sam, sanitised(pair.source.sam), pair.source.rdn, pair.source.dn.name, *target})


def learned(notes: tuple[Note, ...], log: tuple[admt_log.Entry, ...]) -> dict[str, Mapping[str, Any]]:
    """Turn the log of a run into facts about the accounts whose passwords it was to copy."""
    copied = {note.key: note for note in notes if note.value.get("password") == "attempted"}
    verdicts = admt_log.passwords(log, {key: note.value["names"] for key, note in copied.items()})
    finished = next((entry.time for entry in reversed(log) if entry.time), "")
    return {
        key: {"password": verdict, "sam": copied[key].value["sam"], "at": finished} for key, verdict in verdicts.items()
    }


def explain(log: tuple[admt_log.Entry, ...], most: int = 8) -> str:
    """Return what went wrong in a run, with advice; empty where nothing did."""
    found = admt_log.problems(log)
    lines = []
    for entry in found[:most]:
        advice = admt_log.advice(entry)
        lines.append(f"ADMT says: {entry}" + (f"\n  -> {advice}" if advice else ""))
    if len(found) > most:
        lines.append(f"... and {len(found) - most} more lines of that kind in its log")
    return "\n".join(lines)
