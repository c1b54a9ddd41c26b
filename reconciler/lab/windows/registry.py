"""The registry of a simulated host: keys below HKEY_LOCAL_MACHINE and values that have kinds."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import translate
from re import IGNORECASE
from re import compile as compile_pattern
from typing import Any, Literal

Kind = Literal["String", "ExpandString", "Binary", "DWord", "MultiString", "QWord", "None"]
Data = str | int | bytes | tuple[str, ...]

HIVE = "HKEY_LOCAL_MACHINE"
LSA = r"HKLM\SYSTEM\CurrentControlSet\Control\Lsa"
UNINSTALL = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall"

_PROVIDER = "microsoft.powershell.core\\registry::"
_HIVES = ("hkey_local_machine", "hklm:", "hklm")


class NotARegistryPath(ValueError):
    """The path names no key below HKEY_LOCAL_MACHINE."""


@dataclass(frozen=True, slots=True)
class RegistryValue:
    """One named value; the name of a key's default value is ''."""

    name: str
    kind: Kind
    data: Data

    def dword(self) -> int | None:
        """Return the number of a DWord, None for every other kind: the system ignores a REG_SZ "1"."""
        return self.data if self.kind == "DWord" and isinstance(self.data, int) else None


@dataclass(slots=True)
class Key:
    """One key: its full path as first spelled, its values by lower-case name, and when it was last written."""

    path: str
    written: datetime
    values: dict[str, RegistryValue] = field(default_factory=dict)


class ByName(Mapping[str, RegistryValue]):
    """Values of one key at one moment; names compare as the registry compares them, without case."""

    def __init__(self, values: Mapping[str, RegistryValue]) -> None:
        self._values = {name.lower(): value for name, value in values.items()}

    def __getitem__(self, name: str) -> RegistryValue:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def full_path(path: str) -> str:
    """Return a key's path as ``HKEY_LOCAL_MACHINE\\...`` from any spelling that PowerShell or reg.exe accept.

    Raises:
        NotARegistryPath: The path is of another provider or hive.
    """
    text = path.replace("/", "\\")
    for prefix in (_PROVIDER, "registry::"):
        if text.lower().startswith(prefix):
            text = text[len(prefix) :]
    head, _, rest = text.partition("\\")
    if head.lower() not in _HIVES:
        raise NotARegistryPath(path)
    parts = [part for part in rest.split("\\") if part]
    return "\\".join([HIVE, *parts])


class Registry:
    """Keys and values. Every path may be spelled ``HKLM:\\...``, ``HKLM\\...`` or ``HKEY_LOCAL_MACHINE\\...``."""

    def __init__(self, clock: Callable[[], datetime], changed: Callable[[], None]) -> None:
        self._clock = clock
        self._changed = changed
        self._keys: dict[str, Key] = {HIVE.lower(): Key(HIVE, clock())}

    def key(self, path: str) -> Key | None:
        """Return a key, or None where there is none."""
        return self._keys.get(full_path(path).lower())

    def get(self, path: str, name: str) -> RegistryValue | None:
        """Return a value, or None where the key or the value is absent."""
        key = self.key(path)
        return None if key is None else key.values.get(name.lower())

    def dword(self, path: str, name: str) -> int | None:
        """Return the number of a DWord value, None if it is absent or of another kind."""
        value = self.get(path, name)
        return None if value is None else value.dword()

    def create(self, path: str) -> Key:
        """Return a key, created with its parents where it was missing."""
        spelled = ""
        key: Key | None = None
        for part in full_path(path).split("\\"):
            spelled = f"{spelled}\\{part}" if spelled else part
            key = self._keys.get(spelled.lower())
            if key is None:
                key = self._keys[spelled.lower()] = Key(spelled, self._clock())
                self._changed()
            spelled = key.path
        assert key is not None
        return key

    def set(self, path: str, name: str, kind: Kind, data: Data) -> None:
        """Write a value; the key is created where it was missing, and an existing name keeps its spelling."""
        key = self.create(path)
        before = key.values.get(name.lower())
        key.values[name.lower()] = RegistryValue(before.name if before else name, kind, data)
        key.written = self._clock()
        self._changed()

    def delete(self, path: str, name: str) -> bool:
        """Remove a value; False where there was none."""
        key = self.key(path)
        if key is None or key.values.pop(name.lower(), None) is None:
            return False
        key.written = self._clock()
        self._changed()
        return True

    def remove(self, path: str) -> bool:
        """Remove a key with everything below it; False where there was none."""
        wanted = full_path(path).lower()
        if wanted not in self._keys:
            return False
        for lower in [one for one in self._keys if one == wanted or one.startswith(wanted + "\\")]:
            del self._keys[lower]
        self._changed()
        return True

    def children(self, path: str) -> list[Key]:
        """Return the keys directly below one, in name order."""
        start = full_path(path).lower() + "\\"
        below = [lower for lower in self._keys if lower.startswith(start) and "\\" not in lower[len(start) :]]
        return [self._keys[lower] for lower in sorted(below)]

    def match(self, pattern: str) -> list[Key]:
        """Return the keys that a path with wildcards names; a wildcard never crosses a backslash."""
        parts = full_path(pattern).split("\\")
        keys = [self._keys[HIVE.lower()]]
        for part in parts[1:]:
            keys = [child for key in keys for child in self._named(key, part)]
        return keys

    def _named(self, key: Key, part: str) -> list[Key]:
        if not any(sign in part for sign in "*?["):
            found = self._keys.get(f"{key.path}\\{part}".lower())
            return [] if found is None else [found]
        matches = compile_pattern(translate(part), IGNORECASE).match
        return [child for child in self.children(key.path) if matches(child.path.rpartition("\\")[2])]

    def to_disk(self) -> dict[str, Any]:
        """Return every key as JSON can hold it."""
        return {
            key.path: {
                "written": key.written.isoformat(),
                "values": [[value.name, value.kind, _to_json(value.data)] for value in key.values.values()],
            }
            for key in self._keys.values()
        }

    def from_disk(self, disk: Mapping[str, Any]) -> None:
        """Take every key from what ``to_disk`` returned."""
        self._keys = {HIVE.lower(): Key(HIVE, self._clock())}
        for path, stored in disk.items():
            values = {
                name.lower(): RegistryValue(name, kind, _from_json(kind, data)) for name, kind, data in stored["values"]
            }
            self._keys[path.lower()] = Key(path, datetime.fromisoformat(stored["written"]), values)


def _to_json(data: Data) -> Any:
    if isinstance(data, bytes):
        return base64.b64encode(data).decode("ascii")
    return list(data) if isinstance(data, tuple) else data


def _from_json(kind: Kind, data: Any) -> Data:
    if kind in ("Binary", "None"):
        return base64.b64decode(data)
    if kind == "MultiString":
        return tuple(data)
    return int(data) if kind in ("DWord", "QWord") else str(data)
