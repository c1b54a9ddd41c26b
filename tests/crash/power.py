"""A disk that can lose power: an SQLite VFS that records what reaches the disk, and what is left of it after a cut.

The model: what was synced is there. Of what was not, each 512-byte sector of a write, each truncation and each deletion is
there or not by the toss of a coin, in order; a file that was never synced may not be there at all.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import apsw

SECTOR = 512


@dataclass(frozen=True)
class Entry:
    """One thing that happened to a file; ``acknowledged`` entries name no file but count what the caller was promised."""

    what: Literal["create", "write", "truncate", "sync", "delete", "acknowledged"]
    path: str = ""
    offset: int = 0
    content: bytes = b""


class RecordingVFS(apsw.VFS):
    """Passes everything on to the real file system, and keeps a log of it."""

    def __init__(self, name: str, log: list[Entry]) -> None:
        self.below = apsw.vfs_names()[0]
        self.log = log
        super().__init__(name, self.below)

    def xOpen(self, name: Any, flags: list[int]) -> RecordingFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        there = Path(path).exists()
        opened = RecordingFile(self, name, flags, path)
        if not there:
            self.log.append(Entry("create", path))
        return opened

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self.log.append(Entry("delete", filename))
        if syncdir:
            self.log.append(Entry("sync", filename))


class RecordingFile(apsw.VFSFile):
    """One open file."""

    def __init__(self, vfs: RecordingVFS, name: Any, flags: list[int], path: str) -> None:
        self.log, self.path = vfs.log, path
        super().__init__(vfs.below, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self.log.append(Entry("write", self.path, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self.log.append(Entry("truncate", self.path, newsize))

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self.log.append(Entry("sync", self.path))


@contextmanager
def recording(log: list[Entry]) -> Iterator[None]:
    """Let every connection that is opened meanwhile write through the recorder."""
    below = apsw.vfs_names()[0]
    vfs = RecordingVFS("recording", log)
    apsw.set_default_vfs("recording")
    try:
        yield
    finally:
        apsw.set_default_vfs(below)
        vfs.unregister()


@dataclass
class _File:
    """What one file holds for sure, and what happened to it since it was last synced; None where there is no file."""

    durable: bytearray | None = None
    now: bytearray | None = None
    pending: list[Entry] = field(default_factory=list)


class Disk:
    """Replays a log, and says what a power cut at this moment leaves."""

    def __init__(self) -> None:
        self.files: dict[str, _File] = {}
        self.acknowledged = 0

    def existing(self, path: str) -> None:
        """Tell of an empty file that is there for sure."""
        self.files[path] = _File(bytearray(), bytearray())

    def replay(self, entry: Entry) -> None:
        """Let one thing happen."""
        if entry.what == "acknowledged":
            self.acknowledged += 1
            return
        file = self.files.setdefault(entry.path, _File())
        if entry.what == "sync":
            file.durable = None if file.now is None else bytearray(file.now)
            file.pending.clear()
            return
        file.now = _after(file.now, entry)
        file.pending.append(entry)

    def cut(self, chance: random.Random) -> dict[str, bytes]:
        """Return the files as they are found after a power cut now."""
        left: dict[str, bytes] = {}
        for path, file in self.files.items():
            content = None if file.durable is None else bytearray(file.durable)
            for entry in file.pending:
                for part in _torn(entry):
                    if chance.random() < 0.5:
                        content = _after(content, part)
            if content is not None:
                left[path] = bytes(content)
        return left


def _torn(entry: Entry) -> Iterator[Entry]:
    if entry.what != "write":
        yield entry
        return
    at, end = entry.offset, entry.offset + len(entry.content)
    while at < end:
        size = min(end, (at // SECTOR + 1) * SECTOR) - at
        yield Entry("write", entry.path, at, entry.content[at - entry.offset : at - entry.offset + size])
        at += size


def _after(content: bytearray | None, entry: Entry) -> bytearray | None:
    if entry.what == "delete":
        return None
    if entry.what == "create":
        return content if content is not None else bytearray()
    content = bytearray() if content is None else content
    if entry.what == "truncate":
        del content[entry.offset :]
        return content
    if len(content) < entry.offset:
        content.extend(bytes(entry.offset - len(content)))
    content[entry.offset : entry.offset + len(entry.content)] = entry.content
    return content
