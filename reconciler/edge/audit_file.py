"""The audit log on disk: records that are only ever added to, and a signed head that names the last one.

The law: the head of the next record is signed and synced before the record is written, and takes the place of the old
one after it. So a crash leaves nothing that nobody signed, and nothing that could be taken for tampering.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from reconciler.core.audit import AuditError, Record
from reconciler.core.audit_chain import NO_HEAD, START, Chain, Fault, Head, against, seal
from reconciler.edge.audit_key import (
    check_head,
    fingerprint,
    private_pem,
    public_pem,
    read_private,
    read_public,
    signed,
    small,
)
from reconciler.edge.journal_storage import prepare_directory

SUFFIX = ".audit.jsonl"
LOOKS = 5
SECRET_FIELDS = ("step", "before", "wanted", "after")
"""Fields with text from the state file or the world, where a secret that was looked up could stand."""

Scrub = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one log."""

    log: Path
    head: Path
    coming: Path  # the head of the record that is being written
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


class AuditFile:
    """The audit log of one state file. The caller holds the journal's lock: there is one writer only."""

    def __init__(self, files: Files, key: Ed25519PrivateKey, descriptor: int, head: Head, scrub: Scrub) -> None:
        """Use ``open``."""
        self._files = files
        self._key = key
        self._descriptor = descriptor
        self._head = head
        self._scrub = scrub
        self._size = os.fstat(descriptor).st_size
        self._sound = True
        self._turn = threading.Lock()

    @classmethod
    def open(cls, path: Path, *, scrub: Scrub = str) -> Self:
        """Open a log to add to it; create it and its key on first use; finish what a crash left half done.

        Args:
            path: ``<name>.audit.jsonl``; its directory is made 0700.
            scrub: Strikes secrets that were looked up out of a text (``Secrets.scrub``): the last line of defence.

        Raises:
            AuditError: It is not what was signed, its key is gone, others could tamper with it, or the disk refuses.
        """
        files = Files.of(path)
        prepare_directory(path.parent)
        with _in_words(path):
            key = _own_key(files)
            descriptor = _open_log(path)
            try:
                found = look(files, key.public_key())
                if found.faults:
                    raise _tampered(files, found.faults)
                _finish(files, found, descriptor)
            except BaseException:
                os.close(descriptor)
                raise
        return cls(files, key, descriptor, found.head or Head(0, START, ""), scrub)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def head(self) -> Head:
        """What the signed head names."""
        return self._head

    def append(self, record: Record) -> None:
        """Add a record; it and its head are on the disk when this returns.

        Raises:
            AuditError: It is not there for certain. Nothing more can be added before the log is opened anew.
        """
        with self._turn, _in_words(self._files.log):
            self._check()
            line, head = seal(self._clean(record.fields()), self._head)
            self._sound = False
            _put(self._files.coming, signed(head, self._key), 0o600)
            _write(self._descriptor, line)
            os.fsync(self._descriptor)
            self._files.coming.replace(self._files.head)
            _sync_directory(self._files.head.parent)
            self._head, self._size, self._sound = head, self._size + len(line), True

    def close(self) -> None:
        """Close the file. Harmless the second time."""
        with self._turn:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _check(self) -> None:
        """Refuse to go on after a failure, or where the file is no longer the one that we wrote."""
        if self._descriptor < 0 or not self._sound:
            raise AuditError(
                "the audit log cannot be added to after a failure",
                where=str(self._files.log),
                do="start again: what was half done is finished then",
            )
        ours, there = os.fstat(self._descriptor), self._files.log.lstat()
        if (ours.st_dev, ours.st_ino) != (there.st_dev, there.st_ino) or ours.st_size != self._size:
            raise AuditError(
                "something else wrote to the audit log while it was open",
                where=str(self._files.log),
                do="find out what it was; `reconcile audit verify` says what is wrong with the log",
            )

    def _clean(self, written: dict[str, Any]) -> dict[str, Any]:
        cleaned = {name: _struck(written[name], self._scrub) for name in SECRET_FIELDS}
        return {**written, **cleaned}


def _struck(value: Any, scrub: Scrub) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {name: _struck(item, scrub) for name, item in value.items()}
    return [_struck(item, scrub) for item in value] if isinstance(value, list) else value


@dataclass(frozen=True, slots=True)
class Found:
    """How a log was found.

    Attributes:
        head: What the log is signed up to; None before the first record.
        torn: Bytes at the end that a crash left of a record whose effect was never sent.
        whole: Bytes before them.
        coming: The head that was about to take the old one's place has to: its record is complete.
    """

    faults: tuple[Fault, ...]
    head: Head | None
    count: int
    whole: int
    torn: int = 0
    coming: bool = False


def look(
    files: Files, key: Ed25519PublicKey, kept: Sequence[Head] = (), *, instead: Head | None = None
) -> Found:
    """Follow a log from its first record to its last, and compare it with its head.

    Args:
        kept: Heads that were kept elsewhere.
        instead: What stands in for the head beside the log where there is none.
    """
    head, faults = _head(files.head, key, instead)
    seen = head.count if head else 0
    chain = Chain({seen, seen + 1, *(found.count for found in kept)})
    whole, torn = 0, b""
    for line in _lines(files.log):
        if not line.endswith(b"\n"):
            torn = line
            break
        whole += len(line)
        faults += chain.follow(line)
    # Looked at last: a writer at work puts it there before its record.
    coming, _ = _head(files.coming, key)
    crashed = coming is not None and coming.count == seen + 1 and not faults
    promoted = crashed and chain.count == seen + 1
    if promoted:
        head = coming
    if torn and not (crashed and chain.count == seen):
        faults.append(Fault(chain.count + 1, "is cut off"))
    if head is None and chain.count and not faults:
        faults.append(NO_HEAD)
    faults += against(chain, head, kept)
    return Found(tuple(faults), head, chain.count, whole, len(torn), promoted)


@dataclass(frozen=True, slots=True)
class Verdict:
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
    with _in_words(log):
        key = read_public(public_key or files.public)
        heads = [_kept_head(path, key) for path in kept]
        for _ in range(LOOKS):
            before = _content(files.head)
            gone = before is None and bool(heads)
            found = look(files, key, heads[1:] if gone else heads, instead=heads[0] if gone else None)
            if _content(files.head) == before:
                break
    faults = found.faults
    if found.head is None and not any(fault.number == 0 for fault in faults):
        faults = (*faults, NO_HEAD)
    return Verdict(faults, found.count, found.head, fingerprint(key))


def read_lines(log: Path) -> Iterator[bytes]:
    """Return the lines of a log as they are, for showing."""
    with _in_words(log):
        yield from _lines(log)


def _lines(log: Path) -> Iterator[bytes]:
    with log.open("rb") as stream:
        yield from stream


def _content(path: Path) -> bytes | None:
    try:
        return small(path)
    except FileNotFoundError:
        return None


def _head(path: Path, key: Ed25519PublicKey, instead: Head | None = None) -> tuple[Head | None, list[Fault]]:
    content = _content(path)
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


def _own_key(files: Files) -> Ed25519PrivateKey:
    """Read the signing key, or make one where there is no log yet; see that the exported half is there."""
    if files.key.is_symlink() or files.key.exists():
        key = read_private(files.key)
    elif files.head.exists() or (files.log.exists() and files.log.stat().st_size):
        raise AuditError(
            "the key of this audit log is gone, and nothing can be added without it",
            where=str(files.key),
            do=f"restore it; or move {files.log.name.removesuffix('.jsonl')}.* away and keep them: a new log begins",
        )
    else:
        key = Ed25519PrivateKey.generate()
        _place(files.key, private_pem(key), 0o600)
    public = public_pem(key.public_key())
    there = _content(files.public)
    if there is None:
        _place(files.public, public, 0o644)
    elif there != public:
        raise AuditError(
            "the exported public key is not that of the signing key",
            where=str(files.public),
            do="find out who changed one of them; compare with the copy that you keep elsewhere",
        )
    return key


def _open_log(path: Path) -> int:
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o600)
    status = os.fstat(descriptor)
    mode = stat.S_IMODE(status.st_mode)
    wrong = "is not a regular file" if not stat.S_ISREG(status.st_mode) else ""
    if mode & 0o022:
        wrong = f"can be written to by others (mode {mode:04o})"
    if wrong:
        os.close(descriptor)
        raise AuditError(f"the audit log {wrong}", where=str(path), do=f"find out why, then chmod 600 {path}")
    os.fchmod(descriptor, 0o600)
    return descriptor


def _finish(files: Files, found: Found, descriptor: int) -> None:
    """Finish what a crash left half done: drop the torn record, or let the head of the whole one take its place."""
    if found.torn:
        os.ftruncate(descriptor, found.whole)
    os.fsync(descriptor)
    if found.coming:
        files.coming.replace(files.head)
    else:
        files.coming.unlink(missing_ok=True)
    _sync_directory(files.log.parent)


def _tampered(files: Files, faults: Sequence[Fault]) -> AuditError:
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    stem = files.log.name.removesuffix(".jsonl")
    return AuditError(
        f"the audit log is not what was signed: {faults[0]}{more}",
        where=str(files.log),
        do=f"`reconcile audit verify {files.log}` names every fault
"
        f"move {stem}.* away and keep them, they are evidence; a new log begins then",
    )


def _place(path: Path, content: bytes, mode: int) -> None:
    """Put a file there whole, or not at all."""
    beside = path.with_name(path.name + ".next")
    _put(beside, content, mode)
    beside.replace(path)
    _sync_directory(path.parent)


def _put(path: Path, content: bytes, mode: int) -> None:
    """Write a new file, synced, its name too."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    try:
        _write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    _sync_directory(path.parent)


def _write(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
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
