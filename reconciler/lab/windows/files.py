"""The file system of a simulated host: drive C: with directories, bytes and times; names compare without case."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fnmatch import translate
from re import IGNORECASE
from re import compile as compile_pattern
from typing import Any

ROOT = "C:\\"

_PROVIDER = ("microsoft.powershell.core\\filesystem::", "filesystem::")


class NoSuchPath(LookupError):
    """There is no such file or directory; ``parent_missing`` tells a missing directory from a missing file."""

    def __init__(self, path: str, *, parent_missing: bool = False) -> None:
        super().__init__(path)
        self.path = path
        self.parent_missing = parent_missing


class DriveNotFound(LookupError):
    """The path is on a drive that this machine does not have."""


@dataclass(slots=True)
class Item:
    """One file or directory. ``content`` is None for a directory."""

    path: str
    created: datetime
    written: datetime
    content: bytes | None

    @property
    def is_directory(self) -> bool:
        """True for a directory."""
        return self.content is None

    @property
    def name(self) -> str:
        """The last part of the path; the whole path for the root."""
        return self.path.rpartition("\\")[2] or self.path


def normal(path: str, current: str = "C:\\Windows\\System32") -> str:
    """Return an absolute path below C:, without doubled or dotted parts.

    Raises:
        DriveNotFound: Another drive, or a share.
    """
    text = path.strip().strip('"').replace("/", "\\")
    for prefix in _PROVIDER:
        if text.lower().startswith(prefix):
            text = text[len(prefix) :]
    if text.startswith("\\\\"):
        raise DriveNotFound(path)
    if len(text) > 1 and text[1] == ":":
        if text[0].upper() != "C":
            raise DriveNotFound(text[0])
        text = text[2:]
    elif not text.startswith("\\"):
        text = current[2:].rstrip("\\") + "\\" + text
    parts: list[str] = []
    for part in text.split("\\"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return ROOT + "\\".join(parts)


class Files:
    """Files and directories below C:, by absolute path."""

    def __init__(self, clock: Callable[[], datetime], changed: Callable[[], None]) -> None:
        self._clock = clock
        self._changed = changed
        self._items: dict[str, Item] = {ROOT.lower(): Item(ROOT, clock(), clock(), None)}

    def item(self, path: str) -> Item | None:
        """Return a file or directory, or None."""
        return self._items.get(normal(path).lower())

    def exists(self, path: str) -> bool:
        """Return whether a file or directory is there."""
        return self.item(path) is not None

    def is_directory(self, path: str) -> bool:
        """Return whether a directory is there."""
        item = self.item(path)
        return item is not None and item.is_directory

    def read(self, path: str) -> bytes:
        """Return a file's content.

        Raises:
            NoSuchPath: It is not there.
            IsADirectoryError: It is a directory.
        """
        item = self.item(path)
        if item is None:
            raise NoSuchPath(normal(path), parent_missing=not self.exists(parent(path)))
        if item.content is None:
            raise IsADirectoryError(item.path)
        return item.content

    def write(self, path: str, content: bytes, *, parents: bool = False) -> Item:
        """Write a whole file.

        Raises:
            NoSuchPath: The directory is not there and ``parents`` is false.
            IsADirectoryError: A directory has that name.
        """
        wanted = normal(path)
        if not self.is_directory(parent(wanted)):
            if not parents:
                raise NoSuchPath(wanted, parent_missing=True)
            self.make_directory(parent(wanted))
        item = self._items.get(wanted.lower())
        if item is None:
            item = self._items[wanted.lower()] = Item(self._spelled(wanted), self._clock(), self._clock(), content)
        elif item.is_directory:
            raise IsADirectoryError(item.path)
        item.content = content
        item.written = self._clock()
        self._changed()
        return item

    def append(self, path: str, content: bytes, *, parents: bool = False) -> Item:
        """Add to the end of a file, created where it was missing; raises as ``write`` does."""
        before = self.item(path)
        return self.write(path, (before.content or b"" if before else b"") + content, parents=parents)

    def make_directory(self, path: str) -> Item:
        """Return a directory, created with its parents where it was missing.

        Raises:
            FileExistsError: A file has the name of the directory or of one of its parents.
        """
        wanted = normal(path)
        item = self._items.get(wanted.lower())
        if item is None:
            self.make_directory(parent(wanted))
            item = self._items[wanted.lower()] = Item(self._spelled(wanted), self._clock(), self._clock(), None)
            self._changed()
        if not item.is_directory:
            raise FileExistsError(item.path)
        return item

    def delete(self, path: str) -> bool:
        """Remove a file, or a directory with everything in it; False where there was none."""
        wanted = normal(path).lower()
        if wanted not in self._items or wanted == ROOT.lower():
            return False
        for lower in [one for one in self._items if one == wanted or one.startswith(wanted + "\\")]:
            del self._items[lower]
        self._changed()
        return True

    def children(self, path: str) -> list[Item]:
        """Return what lies directly in a directory, in name order."""
        start = normal(path).lower().rstrip("\\") + "\\"
        found = [
            item
            for lower, item in self._items.items()
            if lower != start and lower.startswith(start) and "\\" not in lower[len(start) :]
        ]
        return sorted(found, key=lambda item: item.name.lower())

    def match(self, pattern: str) -> list[Item]:
        """Return what a path with wildcards names; a wildcard never crosses a backslash."""
        items = [self._items[ROOT.lower()]]
        for part in [part for part in normal(pattern)[3:].split("\\") if part]:
            items = [child for item in items for child in self._named(item, part)]
        return items

    def _named(self, item: Item, part: str) -> list[Item]:
        if not any(sign in part for sign in "*?["):
            found = self._items.get(join(item.path, part).lower())
            return [] if found is None else [found]
        matches = compile_pattern(translate(part), IGNORECASE).match
        return [child for child in self.children(item.path) if matches(child.name)]

    def _spelled(self, path: str) -> str:
        """Spell the directory part as it was first created."""
        directory = self._items.get(parent(path).lower())
        return path if directory is None else join(directory.path, path.rpartition("\\")[2])

    def to_disk(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        return {
            item.path: {
                "created": item.created.isoformat(),
                "written": item.written.isoformat(),
                "content": None if item.content is None else base64.b64encode(item.content).decode("ascii"),
            }
            for item in self._items.values()
        }

    def from_disk(self, disk: Mapping[str, Any]) -> None:
        """Take everything from what ``to_disk`` returned."""
        self._items = {ROOT.lower(): Item(ROOT, self._clock(), self._clock(), None)}
        for path, stored in disk.items():
            content = None if stored["content"] is None else base64.b64decode(stored["content"])
            created, written = (datetime.fromisoformat(stored[name]) for name in ("created", "written"))
            self._items[path.lower()] = Item(path, created, written, content)


def parent(path: str) -> str:
    """Return the directory that a path is in; the root is in itself."""
    head = normal(path).rpartition("\\")[0]
    return head if len(head) > 2 else ROOT


def join(directory: str, name: str) -> str:
    """Return the path of a name in a directory."""
    return directory.rstrip("\\") + "\\" + name
