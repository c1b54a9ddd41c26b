"""How records of the audit log are chained, and what a check of the chain finds. Bytes in, faults out.

The law: a record goes into the hash of the next one, and a signed head names the last; there is one way to write each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from reconciler.core.canonical import canonical, digest_of

VERSION = 1
START = "0" * 64
"""What the first record names as the hash before it."""


def written(value: Mapping[str, Any]) -> bytes:
    """Return JSON values as they stand in a file: in one way only, on a line of their own."""
    return canonical(value).encode("ascii") + b"\n"


def exactly(content: bytes, what: str) -> dict[str, Any]:
    """Return the JSON object of which these very bytes are the one way to write it.

    Args:
        what: What such objects are, for the message.

    Raises:
        ValueError: They are no such bytes; says why.
    """
    try:
        found: Any = json.loads(content.decode("ascii"))
        exact = isinstance(found, dict) and written(found) == content
    except (ValueError, RecursionError):
        raise ValueError("cannot be read") from None
    if not exact:
        raise ValueError(f"was altered: it is not written as we write {what}")
    return dict(found)


class Head(Struct, frozen=True):
    """What is signed: how many records there are, the hash of the last, and its time."""

    count: int
    hash: str
    at: str

    def signed(self) -> bytes:
        """Return the bytes that a signature covers; their first line keeps it from meaning anything else."""
        named = {"count": self.count, "hash": self.hash, "at": self.at, "v": VERSION}
        return b"reconciler audit head\n" + canonical(named).encode("ascii")


class Fault(Struct, frozen=True):
    """One thing that is wrong with a log.

    Attributes:
        number: Of the record; 0 where it is about the head.
        last: Of the last record, where it is about several.
    """

    number: int
    what: str
    last: int = 0

    def __str__(self) -> str:
        if self.last > self.number:
            return f"records {self.number} to {self.last}: {self.what}"
        return f"record {self.number}: {self.what}" if self.number else f"head: {self.what}"


NO_HEAD = Fault(0, "there is none: nothing says where the log ends")


def seal(fields: Mapping[str, Any], after: Head) -> tuple[bytes, Head]:
    """Return the line of a record that follows ``after``, and the head that names it.

    Args:
        fields: The record's, as JSON values.
    """
    body = {**fields, "v": VERSION, "number": after.count + 1, "previous": after.hash}
    found = digest_of(body)
    return written({**body, "hash": found}), Head(after.count + 1, found, str(fields["at"]))


def opened(line: bytes) -> dict[str, Any]:
    """Return what a line of the log holds, its hash not yet checked.

    Raises:
        ValueError: It is not a record exactly as we write it; says why.
    """
    if not line.endswith(b"\n"):
        raise ValueError("is cut off")
    found = exactly(line, "records")
    if found.get("v") != VERSION:
        raise ValueError("was written by another version of this program, or altered")
    if not _has_place(found):
        raise ValueError("was altered: it has no place in the chain")
    return found


def _as_it_stands(line: bytes) -> dict[str, Any] | None:
    """Return what a line holds if its hash is that of these very bytes; None where it has to be looked at more closely.

    The hash of a record was made of the one way to write it. Where it is also that of the line as it stands, the line is
    written so; to write it again, only to compare, would take most of the time that following a log takes.
    """
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("v") != VERSION or not _has_place(found) or not line.endswith(b"\n"):
        return None
    named = f'"hash":"{found["hash"]}",'.encode("ascii")  # other names always follow it
    return found if hashlib.sha256(line[:-1].replace(named, b"", 1)).hexdigest() == found["hash"] else None


def _has_place(found: Mapping[str, Any]) -> bool:
    return type(found.get("number")) is int and all(_is_hash(found.get(name)) for name in ("previous", "hash"))


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


class Chain:
    """Follows a log record by record, and says at the end what is missing.

    Attributes:
        count: Number of the last record that stands in its place.
        hashes: By number, of the records that were asked for.
    """

    def __init__(self, watch: Collection[int] = ()) -> None:
        self.count = 0
        self.last: str | None = START  # None after a record that could not be read
        self.hashes: dict[int, str] = {0: START}
        self._watch = frozenset(watch)
        self._gaps: list[range] = []
        self._late: set[int] = set()

    def follow(self, line: bytes) -> Iterator[Fault]:
        """Take the next line, and say what is wrong with it."""
        due = self.count + 1
        found = _as_it_stands(line)
        if found is None:
            yield self._altered(due, line)
        elif (number := found["number"]) < due:
            yield self._behind(number)
        else:
            if number > due:
                self._gaps.append(range(due, number))
            elif self.last is not None and found["previous"] != self.last:
                yield Fault(number, "does not follow from the record before it: one of the two was replaced")
            self._stand(number, found["hash"])

    def _stand(self, number: int, found: str | None) -> None:
        self.count, self.last = number, found
        if found is not None and number in self._watch:
            self.hashes[number] = found

    def _altered(self, due: int, line: bytes) -> Fault:
        """Take a line whose hash is not that of its bytes, and say why not."""
        try:
            found = opened(line)
        except ValueError as error:
            self._stand(due, None)
            return Fault(due, str(error))
        self._stand(due, found["hash"])
        return Fault(due, "was altered: its content does not match its hash")

    def _behind(self, number: int) -> Fault:
        if any(number in gap for gap in self._gaps) and number not in self._late:
            self._late.add(number)
            return Fault(number, f"is out of order: it stands after record {self.count}")
        return Fault(number, f"stands twice: again after record {self.count}")

    def missing(self) -> Iterator[Fault]:
        """Say which records were left out between others."""
        for gap in self._gaps:
            start = gap.start
            for late in sorted(number for number in self._late if number in gap):
                yield from _absent(start, late - 1, "missing")
                start = late + 1
            yield from _absent(start, gap.stop - 1, "missing")

    def compare(self, head: Head, whose: str) -> Iterator[Fault]:
        """Say what a head names that is not there. ``head.count`` must have been watched, unless it is that of the last record."""
        if self.count < head.count:
            yield from _absent(self.count + 1, head.count, f"missing at the end: {whose} names it")
            return
        found = self.last if head.count == self.count else self.hashes.get(head.count)
        if found is not None and found != head.hash:
            yield Fault(head.count, f"is not the one that {whose} names")


def _absent(first: int, last: int, how: str) -> Iterator[Fault]:
    if first <= last:
        yield Fault(first, how, last)


def verify(lines: Iterable[bytes], head: Head | None, kept: Sequence[Head] = ()) -> list[Fault]:
    """Check a whole log. The signatures of the heads have been checked before.

    Args:
        lines: The lines of the log, each with its line end.
        head: The head beside the log; without one nothing says where the log ends, and that is a fault.
        kept: Earlier heads, kept elsewhere; they alone show that the log and its head were set back together.

    Returns:
        Every fault found, in the order in which it was met; empty for a log that is intact.
    """
    chain = Chain([found.count for found in (head, *kept) if found is not None])
    faults = [fault for line in lines for fault in chain.follow(line)]
    return faults + ([NO_HEAD] if head is None else []) + against(chain, head, kept)


def against(chain: Chain, head: Head | None, kept: Sequence[Head] = (), announced: int = 0) -> list[Fault]:
    """Compare a log that was followed to its end with the heads, and say what is missing between its records.

    Args:
        announced: Number of the last record that a signed head, which has not taken its place yet, speaks of.
    """
    faults = list(chain.missing())
    if head is not None:
        faults += chain.compare(head, "the signed head")
        faults += _absent(max(head.count, announced) + 1, chain.count, "beyond the signed head: nobody signed it")
    for found in kept:
        faults += chain.compare(found, "the head that was kept elsewhere")
    return faults
