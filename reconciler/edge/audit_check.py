"""Looks at an audit log offline: follows its chain, compares it with its signed head, changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from reconciler.core.audit import AuditError
from reconciler.core.audit_chain import NO_HEAD, Chain, Fault, Head, against
from reconciler.edge.audit_key import check_head, fingerprint, read_public, small

SUFFIX = ".audit.jsonl"
LOOKS = 5  # at a log to which somebody keeps adding


class Files(Struct, frozen=True):
    """The files of one log."""

    log: Path
    head: Path
    coming: Path  # the head of the records that are being written
    key: Path
    public: Path

    @classmethod
    def of(cls, log: Path) -> Self:
        """Return the files beside ``log``, whose name ends in ``.audit.jsonl``."""
        if not log.name.endswith(SUFFIX):
            raise ValueError(f"the name of an audit log ends in {SUFFIX}: {log}")
        stem = log.name.removesuffix(".jsonl")
        return cls(log, *(log.with_name(stem + end) for end in (".head", ".head.next", ".key", ".pub")))


def audit_path(journal: Path) -> Path:
    """Return where the audit log of a journal is: ``<name>.audit.jsonl`` beside it."""
    return journal.with_suffix(SUFFIX)


class Found(Struct, frozen=True):
    """How a log was found.

    Attributes:
        head: What the log is signed up to; None before the first record.
        torn: Bytes at the end that a crash left of records that were not all written: no effect was sent on the strength of them.
        whole: Bytes before them.
        coming: The head that was about to take the old one's place has to: its records are complete.
    """

    faults: tuple[Fault, ...]
    head: Head | None
    count: int
    whole: int
    torn: int = 0
    coming: bool = False


def look(files: Files, key: Ed25519PublicKey, kept: Sequence[Head] = (), *, instead: Head | None = None) -> Found:
    """Follow a log from its first record to its last, and compare it with its head.

    Args:
        kept: Heads that were kept elsewhere.
        instead: What stands in for the head beside the log where there is none.
    """
    head, faults = _head(files.head, key, instead)
    seen = head.count if head else 0
    chain = Chain({seen, *(found.count for found in kept)})
    size, named, torn = 0, 0, b""  # bytes in all, and up to the record that the head names
    for line in _lines(files.log):
        if not line.endswith(b"\n"):
            torn = line
            break
        size += len(line)
        faults += chain.follow(line)
        if chain.count == seen:
            named = size
    # Looked at last: a writer at work puts it there before its records.
    coming, _ = _head(files.coming, key)
    announced = coming.count if coming is not None and not faults else 0
    if seen <= chain.count < announced:
        left = size - named + len(torn)
        return Found(tuple(against(chain, head, kept, announced)), head, seen, named, left)
    promoted = seen < chain.count == announced
    if promoted:
        head = coming
    if torn:
        faults.append(Fault(chain.count + 1, "is cut off"))
    if head is None and chain.count and not faults:
        faults.append(NO_HEAD)
    faults += against(chain, head, kept)
    return Found(tuple(faults), head, chain.count, size, len(torn), promoted)


class Verdict(Struct, frozen=True):
    """What an offline check of a log came to; ``key`` is the fingerprint of the key that it was checked with."""

    faults: tuple[Fault, ...]
    count: int
    head: Head | None
    key: str


def inspect(log: Path, public_key: Path | None = None, kept: Sequence[Path] = ()) -> Verdict:
    """Check a log without changing anything, also beside a writer at work.

    Args:
        public_key: A copy of the key kept elsewhere; the one beside the log where not given.
        kept: Copies of earlier heads. The first stands in for the head beside the log where that is gone.

    Raises:
        AuditError: There is no log, no key, or a kept head that this key did not sign.
    """
    files = Files.of(log)
    with in_words(log):
        key = read_public(public_key or files.public)
        heads = [_kept_head(path, key) for path in kept]
        for _ in range(LOOKS):
            before = content_of(files.head)
            gone = before is None and bool(heads)
            found = look(files, key, heads[1:] if gone else heads, instead=heads[0] if gone else None)
            if content_of(files.head) == before:
                break
    faults = found.faults
    if found.head is None and not any(fault.number == 0 for fault in faults):
        faults = (*faults, NO_HEAD)
    return Verdict(faults, found.count, found.head, fingerprint(key))


def read_lines(log: Path) -> Iterator[bytes]:
    """Return the lines of a log as they are, for showing."""
    with in_words(log):
        yield from _lines(log)


def _lines(log: Path) -> Iterator[bytes]:
    with log.open("rb") as stream:
        yield from stream


def content_of(path: Path) -> bytes | None:
    """Return what a small file holds; None where there is none."""
    try:
        return small(path)
    except FileNotFoundError:
        return None


def _head(path: Path, key: Ed25519PublicKey, instead: Head | None = None) -> tuple[Head | None, list[Fault]]:
    content = content_of(path)
    if content is None:
        return instead, []
    try:
        return check_head(content, key), []
    except ValueError as error:
        return None, [Fault(0, str(error))]


def _kept_head(path: Path, key: Ed25519PublicKey) -> Head:
    try:
        return check_head(small(path), key)
    except ValueError as error:
        raise AuditError(f"the head kept elsewhere {error}", where=str(path), do="give another copy of it") from None


@contextmanager
def in_words(path: Path) -> Iterator[None]:
    """Turn errors of the system into ones that say what to do."""
    try:
        yield
    except FileNotFoundError as error:
        raise AuditError(
            "a file of the audit log is not there",
            where=str(error.filename or path),
            do="the first effect begins a log; to check copies, give the log, and its key and head if they lie elsewhere",
        ) from error
    except OSError as error:
        raise AuditError(
            f"the audit log cannot be used: {error.strerror or error}",
            where=str(error.filename or path),
            do="check the path, its permissions and the room on the disk",
        ) from error
