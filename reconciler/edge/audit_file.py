"""The audit log on disk: records that are only ever added to, and a signed head that names the last one.

The law: the head of the next records is signed and synced before they are written, and takes the place of the old one
after it. So a crash leaves nothing that nobody signed, and nothing that could be taken for tampering.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from reconciler.core.audit import AuditError, Record
from reconciler.core.audit_chain import START, Fault, Head, seal
from reconciler.edge.audit_check import Files, Found, content_of, in_words, look
from reconciler.edge.audit_key import fingerprint, private_pem, public_pem, read_private, signed
from reconciler.edge.certificate_file import signed_certificate
from reconciler.edge.journal_storage import prepare_directory

SECRET_FIELDS = ("step", "before", "wanted", "after")
"""Fields with text from the state file or the world, where a secret that was looked up could stand."""

Scrub = Callable[[str], str]


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
        with in_words(path):
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

    def append(self, *records: Record) -> None:
        """Add records; they and the head that names the last are on the disk when this returns.

        Raises:
            AuditError: They are not there for certain. Nothing more can be added before the log is opened anew.
        """
        with self._turn, in_words(self._files.log):
            self._check()
            head, lines = self._head, b""
            for written in _cleaned([record.fields() for record in records], self._scrub):
                line, head = seal(written, head)
                lines += line
            self._sound = False
            _put(self._files.coming, signed(head, self._key), 0o600)
            _write(self._descriptor, lines)
            os.fsync(self._descriptor)
            self._files.coming.replace(self._files.head)
            _sync_directory(self._files.head.parent)
            self._head, self._size, self._sound = head, self._size + len(lines), True

    def certify(self, making: Callable[[Head, str], dict[str, Any]]) -> bytes:
        """Return a certificate, signed with the key of this log.

        Args:
            making: Returns what is to be signed, from the head of this log and the fingerprint of its public key.
        """
        with self._turn:
            body = making(self._head, fingerprint(self._key.public_key()))
            settings = _struck(body["settings"], self._scrub)
            return signed_certificate({**body, "settings": settings}, self._key)

    def abandon(self) -> None:
        """Let nobody in again once the record in flight is written: for a process that ends right after this."""
        self._turn.acquire()

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


def _cleaned(records: Sequence[dict[str, Any]], scrub: Scrub) -> Iterator[dict[str, Any]]:
    """Yield records without secrets that were looked up; what several of them share is gone through once."""
    known: dict[int, Any] = {}
    for written in records:
        for name in SECRET_FIELDS:
            value = written[name]
            if id(value) not in known:
                known[id(value)] = _struck(value, scrub)
        yield {**written, **{name: known[id(written[name])] for name in SECRET_FIELDS}}


def _struck(value: Any, scrub: Scrub) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {name: _struck(item, scrub) for name, item in value.items()}
    return [_struck(item, scrub) for item in value] if isinstance(value, list) else value


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
    there = content_of(files.public)
    if there is None:
        _place(files.public, public, 0o600)
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
    """Finish what a crash left half done: drop what is not all there, or let the head of what is take its place."""
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
        do=f"`reconcile audit verify {files.log}` names every fault\n"
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
