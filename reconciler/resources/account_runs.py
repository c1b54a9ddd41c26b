"""What the journal knows about accounts that ADMT was run for, and what the log of a run adds to that."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from reconciler.core.facts import Facts
from reconciler.core.query import Rows
from reconciler.core.resource import Key
from reconciler.core.steps import Note
from reconciler.resources import admt_log
from reconciler.resources.account_matching import Pair
from reconciler.resources.account_names import sanitised
from reconciler.resources.account_records import Account, value_of
from reconciler.resources.facts import ACCOUNTS

Standing = Literal["copied", "random", "attempted", "generated", "unknown"]
"""How a password stands: copied from the source; made by ADMT because the copy failed; a run was started and nobody knows;
made by ADMT because that was wanted; or ADMT was never run for it by us."""

_STANDINGS: tuple[Standing, ...] = ("copied", "random", "attempted", "generated")


_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Known(NamedTuple):
    """What the journal says about one account of the source.

    Attributes:
        password: How its password stands.
        target_sid: SID of the account it was proven for; empty while nothing was proven.
        source_set: pwdLastSet of the source when its password was copied; 0 where that is not known.
        batch: How many accounts were in the run that did not come to it; 0 where it was come to.
        failed: What ADMT said against it in the last run.
        written: The fact itself.
    """

    password: Standing = "unknown"
    target_sid: str = ""
    source_set: int = 0
    batch: int = 0
    failed: str = ""
    written: Mapping[str, Any] = _NOTHING

    @property
    def ours(self) -> bool:
        """Whether ADMT was run for it by us, so that an unfinished account in the target is no stranger's."""
        return self.password != "unknown"

    @property
    def made(self) -> bool:
        """Whether a run of ours was to make the account, and nothing proves yet that all of it is there."""
        return self.written.get("creates") is True and not self.target_sid and self.password != "random"

    @property
    def added_history(self) -> bool:
        """Whether a run of ours was to give it the old SID."""
        return self.written.get("history") is True


UNKNOWN = Known()


def prefix(domain: str) -> str:
    """Return what the keys of all facts about accounts of a domain begin with."""
    return f"{ACCOUNTS}{domain}/"


def fact_key(domain: str, account: Account) -> str:
    """Return the key of the fact about an account of a domain."""
    return prefix(domain) + account.sid_text()


def known_about(pair: Pair, domain: str, facts: Facts) -> Known:
    """Return what is known about a pair; what was proven for an account that is gone proves nothing for its successor."""
    value = facts.get(fact_key(domain, pair.source)) if facts else None
    if value is None or value.get("password") not in _STANDINGS:
        return UNKNOWN  # a fact that says nothing we understand is as good as none
    proven_for = str(value.get("target_sid") or "")
    if proven_for and pair.target is not None and proven_for != pair.target.sid_text():
        return UNKNOWN
    return Known(
        value["password"],
        proven_for,
        int(value.get("source_set") or 0),
        int(value.get("batch") or 0),
        str(value.get("failed") or ""),
        value,
    )


def note_before(pair: Pair, known: Known, domain: str, *, copies: bool, batch: int, adds_history: bool) -> Note:
    """Return the fact that is committed before a run, so that a crash leaves a trace of it.

    Args:
        batch: How many accounts the run has.
        adds_history: The old SID is there by this run, or by an earlier one of ours.
    """
    value: dict[str, Any] = {
        "password": "attempted" if copies else "generated",
        "sam": pair.source.sam,
        "names": names_of(pair),
    }
    value |= {"batch": batch} | ({"source_set": pair.source.pwd_last_set} if copies else {})
    value |= {"history": True} if adds_history else {}
    value |= {"creates": True} if pair.target is None or known.made else {}
    return Note(fact_key(domain, pair.source), value)


def note_history(pair: Pair, known: Known, domain: str) -> Note:
    """Return the fact that is committed before a run that only adds the old SID: what is known of the password stays known."""
    # Of an account of ours the target is kept once everything about it was proven, and not before.
    target = {} if known.ours or pair.target is None else {"target_sid": pair.target.sid_text()}
    return Note(fact_key(domain, pair.source), {**target, **known.written, "history": True})


def files_prefix(domain: str) -> str:
    """Return what the keys of all facts about files begin with."""
    return f"{prefix(domain)}file "


def file_key(domain: str, path: str) -> str:
    """Return the key of the fact that a run may have left a file."""
    return files_prefix(domain) + path


def note_files(key: Key, domain: str, host: str, paths: Iterable[str]) -> tuple[Note, ...]:
    """Return the facts that are committed before a run writes its files, so that a crash does not leave them for good."""
    return tuple(Note(file_key(domain, path), {"left_by": key, "host": host, "path": path}) for path in paths)


class LeftFile(NamedTuple):
    """A file that a run may have left."""

    host: str
    path: str

    def __str__(self) -> str:
        return f"{self.path} on {self.host}"


def files_of(key: Key, hosts: Collection[str], facts: Rows) -> tuple[LeftFile, ...]:
    """Return the files that runs for a population may have left on these hosts."""
    return tuple(
        LeftFile(str(one["host"]), str(one["path"]))
        for one in _values(facts)
        if one.get("left_by") == key and one["host"] in hosts
    )


def files_on(host: str, facts: Rows) -> tuple[str, ...]:
    """Return the files that runs for any population may have left on a host."""
    return tuple(str(one["path"]) for one in _values(facts) if one.get("host") == host)


def _values(facts: Rows) -> list[Mapping[str, Any]]:
    return [value for row in facts if isinstance(value := row.get("value"), Mapping)]


def names_of(pair: Pair) -> list[str]:
    """Return every name that a log may give an account."""
    source, target, called = pair.source, pair.target, pair.names
    rdn = source.rdn
    names = {source.sam, sanitised(source.sam), rdn, value_of(rdn), called.sam}
    if not called.keep_rdn_of(source):
        names.add(called.rdn)
    return sorted(names | ({target.sam, target.rdn, target.name} if target else set()))


def learned(notes: tuple[Note, ...], log: tuple[admt_log.Entry, ...]) -> dict[str, Mapping[str, Any]]:
    """Turn the log of a run into facts about the accounts that were in it.

    An account that no line speaks of was not reached: it keeps the size of its batch, so that the next one is smaller. Where no
    account was reached and the log says why, no account is to blame, and nothing is split.
    """
    about = {note.key: note for note in notes if "names" in note.value}
    told = admt_log.told(log, {key: note.value["names"] for key, note in about.items()})
    finished = next((entry.time for entry in reversed(log) if entry.time), "")
    to_blame = any(one.spoken or one.begun for one in told.values()) or not admt_log.problems(log)
    return {key: _fact(about[key].value, one, finished, to_blame) for key, one in told.items()}


def _fact(before: Mapping[str, Any], told: admt_log.Told, finished: str, to_blame: bool) -> Mapping[str, Any]:
    password = told.password if before["password"] == "attempted" else before["password"]
    fact: dict[str, Any] = {"password": password, "sam": before["sam"], "at": finished}
    fact |= {name: before[name] for name in ("source_set", "history", "creates") if name in before}
    if not told.spoken and to_blame:
        fact["batch"] = before.get("batch", 0)
    if told.against:
        fact["failed"] = told.against
    return fact


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
