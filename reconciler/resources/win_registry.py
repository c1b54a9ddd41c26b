"""One registry value of a host, with its type: absent is not 0, and REG_SZ "1" is not REG_DWORD 1."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, cast

from msgspec.structs import replace
from pydantic import Field, StrictInt, ValidationInfo, field_validator, model_validator

from reconciler.core.errors import UnexpectedAnswer
from reconciler.core.query import Argument, Command, Query, Row, Rows
from reconciler.core.resource import restored
from reconciler.core.steps import Note, Step
from reconciler.core.targets import Name
from reconciler.core.task_xml import CommandLine
from reconciler.resources.boot import boot_query, boot_time, restart_note
from reconciler.resources.dead_man import SYSTEM32, Guarded, Inexpressible
from reconciler.resources.rows import at_most_one, number, raw, text_or_none, texts
from reconciler.resources.windows_values import ABSENT_PATH, ABSENT_VALUE, RegistryName, RegistryPath

RegistryType = Literal["String", "ExpandString", "Binary", "DWord", "MultiString", "QWord"]
Value = StrictInt | str | tuple[str, ...]

_TYPES: dict[str, RegistryType] = {
    "REG_SZ": "String",
    "REG_EXPAND_SZ": "ExpandString",
    "REG_BINARY": "Binary",
    "REG_DWORD": "DWord",
    "REG_MULTI_SZ": "MultiString",
    "REG_QWORD": "QWord",
}
_NAMES = {kind: name for name, kind in _TYPES.items()}
_BITS = {"DWord": 32, "QWord": 64}
_REG = rf"{SYSTEM32}\reg.exe"


class Registry(Guarded):
    """One value below HKLM. A key that had to be created for it stays when the value goes again.

    With a dead-man's switch, no value shows as neither type nor value.
    """

    identity: ClassVar[tuple[str, ...]] = ("host", "path", "name")
    together: ClassVar[tuple[str, ...]] = ("type", "value")  # neither means anything without the other
    inputs: ClassVar[tuple[str, ...]] = ("tolerates", "restart", "risk", "explanation", "dead_mans_switch")

    kind: Literal["win.registry"] = "win.registry"
    host: Name = Field(description="Host on which the value is.")
    path: RegistryPath = Field(
        description="Key, as PowerShell writes it.", examples=[r"HKLM:\SYSTEM\CurrentControlSet\Control\Lsa"]
    )
    name: RegistryName = Field(description="Name of the value.", examples=["AllowPasswordExport"])
    type: RegistryType | None = Field(
        None, description="Type of the value; another one is drift. Needed unless absent."
    )
    value: Value | None = Field(
        None,
        description="A number (DWord, QWord), text (String, ExpandString), hexadecimal digits (Binary), "
        "or a list of texts (MultiString). Needed unless absent.",
    )
    tolerates: tuple[Value, ...] = Field(
        (), description="Values that mean the same as none at all, where the value shall be absent.", examples=[[0]]
    )
    restart: bool = Field(False, description="The value counts only after a restart of the host.")
    risk: str = Field("", description="Name of the approval without which the value is not changed; empty for none.")
    explanation: str = Field("", description="Why it is needed, and what its risk is; shown with the change.")

    @field_validator("value")
    @classmethod
    def _fits_type(cls, value: Value | None, info: ValidationInfo) -> Value | None:
        return value if value is None else _canonical(info.data.get("type"), value)

    @model_validator(mode="before")
    @classmethod
    def _absent_in_its_fields(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("dead_mans_switch") is not None and data.get("ensure") == "absent":
            return {**data, "ensure": "present", "type": None, "value": None}
        return data

    @model_validator(mode="after")
    def _complete(self) -> Self:
        none = {"type", "value"} <= self.model_fields_set and self.type is None and self.value is None
        given = self.type is not None and self.value is not None
        if self.ensure == "present" and not given and not (none and self.switch is not None):
            raise ValueError("a registry value needs `type` and `value`, or `ensure: absent`")
        return self

    @property
    def on(self) -> str:
        """Name of the host."""
        return self.host

    def title(self) -> str:
        """Name the value and its host."""
        return f"{self.name} in {self.path} on {self.host}"

    def queries(self) -> tuple[Query, ...]:
        """Ask for the value, its type and unexpanded text, its key, the switch, and the boot time where that matters."""
        where: tuple[tuple[str, Argument], ...] = (("Path", self.path), ("Name", self.name))
        native = ("query", self.path.replace("HKLM:", "HKLM", 1), "/v", self.name)
        return (
            Command(self.host, "Get-ItemProperty", where, absent=ABSENT_VALUE),
            Command(self.host, "reg.exe", arguments=native, native=True, ok_exit_codes=None),
            Command(self.host, "Get-Item", (("Path", self.path),), absent=ABSENT_PATH),
            *(self.switch_queries() or ((boot_query(self.host),) if self.restart else ())),
        )

    def parse(self, *answers: Rows) -> Self:
        """Read the value; there by one answer and unreadable by the other is neither present nor absent."""
        values, lines, keys, *more = answers
        row = at_most_one(values, self.title(), self.host)
        found = self._none() if row is None else self._present(row, lines)
        booted = boot_time(more[0], self.host) if self.restart else ""
        return self.judged(found.with_facts(key_exists=row is not None or bool(keys), boot_time=booted), more)

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Write or remove the value; a missing key is created first, and a switch is armed before anything."""
        steps = self.around(observed, differs, self._changes(observed) if differs - {"switch"} else ())
        if differs == {"switch"} and self.switch == "none" and self.dead_mans_switch != "off":
            # The host has put it back by itself: that counts after a restart as well.
            return tuple(replace(step, notes=(*step.notes, *self._notes(observed))) for step in steps)
        return steps

    def restoring(self) -> tuple[CommandLine, ...]:
        """Return the call of reg.exe that brings this value back, or takes it away."""
        where = (self.path.replace("HKLM:", "HKLM", 1), "/v", self.name)
        if self.type is None:
            return ((_REG, "delete", *where, "/f"),)
        return ((_REG, "add", *where, "/t", _NAMES[self.type], "/d", self._as_text(), "/f"),)

    def undone(self, baseline: Self) -> Self:
        """Return the state to go back to: exactly what was there, so that nothing is tolerated in its place."""
        exact = self.model_copy(update={"tolerates": ()})
        if self.switch is not None:
            there = baseline.ensure == "present"
            value = {"type": baseline.type if there else None, "value": baseline.value if there else None}
            return exact.model_copy(update={"ensure": "present", **value, "switch": "none"})
        if self.ensure == "present" or baseline.ensure == "absent":
            return restored(exact, baseline)
        return exact.model_copy(update={"ensure": "present", "type": baseline.type, "value": baseline.value})

    def tolerated(self, observed: Self) -> frozenset[str]:
        """Let a value pass that means the same as none, where none is wanted."""
        there = observed.ensure == "present" and observed.value is not None
        same = there and self._wants_none and observed.value in self.tolerates
        return frozenset({"ensure", "type", "value"} if same else ())

    def _changes(self, observed: Self) -> tuple[Step, ...]:
        where: tuple[tuple[str, Argument], ...] = (("Path", self.path), ("Name", self.name))
        why = f": {self.explanation}" if self.explanation else ""
        if self._wants_none:
            remove = Command(self.host, "Remove-ItemProperty", (*where, ("Force", True)))
            return (Step(remove, f"remove {self.title()}{why}", self._notes(observed), self.risk),)
        steps: list[Step] = []
        if not observed.facts.get("key_exists"):
            # Never on a key that exists: there New-Item -Force empties it.
            create = Command(self.host, "New-Item", (("Path", self.path), ("Force", True)))
            steps.append(Step(create, f"create {self.path} on {self.host}", risk=self.risk))
        wanted = (*where, ("PropertyType", str(self.type)), ("Value", self._argument()), ("Force", True))
        says = f"set {self.title()} to {self.value!r} ({self.type}){why}"
        write = Command(self.host, "New-ItemProperty", wanted)  # -Force replaces a value of another type
        return (*steps, Step(write, says, self._notes(observed), self.risk))

    @property
    def _wants_none(self) -> bool:
        return self.ensure == "absent" or self.value is None

    def _none(self) -> Self:
        return self.absent() if self.switch is None else self.observed(type=None, value=None, switch="none")

    def _present(self, row: Row, lines: Rows) -> Self:
        wanted = re.compile(rf"\s*{re.escape(self.name)}\s+(REG_\w+)(?:\s{{1,4}}(.*))?", re.IGNORECASE)
        read = next((hit for line in lines if (hit := wanted.fullmatch(text_or_none(line, "line") or ""))), None)
        if read is None:
            raise UnexpectedAnswer(
                f"{self.title()} is there, but its type cannot be read",
                target=self.host,
                do="see what `reg query` says about it",
            )
        kind = _TYPES.get(read[1].upper())
        if kind is None:
            raise UnexpectedAnswer(
                f"{self.title()} has the type {read[1]}, which could not be put back",
                target=self.host,
                do="remove the value by hand, after noting it, or leave it alone",
            )
        return self.observed(type=kind, value=self._value(kind, row, read[2] or ""))

    def _value(self, kind: RegistryType, row: Row, unexpanded: str) -> Value:
        match kind:
            case "DWord" | "QWord":
                return number(row, self.name) % (1 << _BITS[kind])  # signed where the host's type is
            case "Binary":
                return raw(row, self.name).hex()
            case "MultiString":
                return texts(row, self.name)
            case "ExpandString":
                return unexpanded  # Get-ItemProperty expands
            case "String":
                return text_or_none(row, self.name) or ""

    def _as_text(self) -> str:
        """Return the data as reg.exe takes it."""
        match self.value:
            case tuple() as parts:
                if not all(parts) or not parts or any("\\0" in part or part.endswith("\\") for part in parts):
                    raise Inexpressible(
                        r"reg.exe cannot write a list that is empty, or with empty items, `\0` or `\` at the end of one"
                    )
                return r"\0".join(parts)
            case "" if self.type == "Binary":
                raise Inexpressible("reg.exe cannot write an empty binary value")
        return str(self.value)

    def _argument(self) -> Argument:
        return bytes.fromhex(str(self.value)) if self.type == "Binary" else cast("Argument", self.value)

    def _notes(self, observed: Self) -> tuple[Note, ...]:
        if not self.restart:
            return ()
        return (restart_note(self.host, self.key, str(observed.facts["boot_time"]), self.title()),)


def _canonical(kind: str | None, value: Value) -> Value:
    match kind, value:
        case (("DWord" | "QWord"), int()) if 0 <= value < 1 << _BITS[kind]:
            return value
        case (("String" | "ExpandString"), str()):
            return value
        case "Binary", str():
            return bytes.fromhex(value).hex()
        case "MultiString", tuple():
            return value
    wanted = {"DWord": "a number from 0 to 2**32 - 1", "QWord": "a number from 0 to 2**64 - 1", "MultiString": "a list"}
    raise ValueError(f"a value of type {kind} is {wanted.get(str(kind), 'text')}")
