"""Read the command lines of Windows programs: ``/name:value`` switches and plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Switches:
    """A command line: plain words in order, switches by lower-case name without the slash ('' where no value)."""

    words: tuple[str, ...]
    values: dict[str, str] = field(default_factory=dict, repr=False)

    def get(self, *names: str) -> str | None:
        """Return the value of the first of several spellings that is there, or None."""
        return next((self.values[name] for name in names if name in self.values), None)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def unknown(self, known: Sequence[str]) -> str | None:
        """Return a switch that is none of the known ones, or None."""
        return next((name for name in self.values if name not in known), None)


def read_switches(arguments: Sequence[str]) -> Switches:
    """Split ``/name:value`` and ``/name`` from plain words; quotes around a value fall away."""
    words, values = [], {}
    for argument in arguments:
        if argument[:1] not in ("/", "-") or len(argument) < 2:
            words.append(argument)
            continue
        name, _, value = argument[1:].partition(":")
        values[name.lower()] = value.strip('"')
    return Switches(tuple(words), values)
