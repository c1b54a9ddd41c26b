"""One registry value of a host, with its type: absent is not 0, and REG_SZ "1" is not REG_DWORD 1."""

from __future__ import annotations

import re
from typing import ClassVar, Literal, Self, cast

from pydantic import Field, StrictInt, ValidationInfo, field_validator, model_validator

from reconciler.core.errors import UnexpectedAnswer
from reconciler.core.query import Argument, Command, Query, Row, Rows
from reconciler.core.resource import Resource, restored
from reconciler.core.steps import Note, Step
from reconciler.core.targets import Name
from reconciler.resources.boot import boot_query, boot_time, restart_note
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
_BITS = {"DWord": 32, "QWord": 64}


class Registry(Resource):
    """One value below HKLM. A key that had to be created for it stays when the value goes again."""

    identity: ClassVar[tuple[str, ...]] = ("host", "path", "name")
    inputs: ClassVar[tuple[str, ...]] = ("tolerates", "restart", "risk", "explanation")

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

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.ensure == "present" and (self.type is None or self.value is None):
            raise ValueError("a registry value needs `type` and `value`, or `ensure: absent`")
        return self

    def title(self) -> str:
        """Name the value and its host."""
        return f"{self.name} in {self.path} on {self.host}"

    def queries(self) -> tuple[Query, ...]:
        """Ask for the value, its type and unexpanded text, its key, and the boot time where that matters."""
        where: tuple[tuple[str, Argument], ...] = (("Path", self.path), ("Name", self.name))
        native = ("query", self.path.replace("HKLM:", "HKLM", 1), "/v", self.name)
        return (
            Command(self.host, "Get-ItemProperty", where, absent=ABSENT_VALUE),
            Command(self.host, "reg.exe", arguments=native, native=True, ok_exit_codes=None),
            Command(self.host, "Get-Item", (("Path", self.path),), absent=ABSENT_PATH),
            *((boot_query(self.host),) if self.restart else ()),
        )

    def parse(self, *answers: Rows) -> Self:
        """Read the value; there by one answer and unreadable by the other is neither present nor absent."""
        values, lines, keys, *boot = answers
        row = at_most_one(values, self.title(), self.host)
        found = self.absent() if row is None else self._present(row, lines)
        return found.with_facts(
            key_exists=row is not None or bool(keys), boot_time=boot_time(boot[0], self.host) if boot else ""
        )

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Write or remove the value; a missing key is created first."""
        where: tuple[tuple[str, Argument], ...] = (("Path", self.path), ("Name", self.name))
        why = f": {self.explanation}" if self.explanation else ""
        if self.ensure == "absent":
            remove = Command(self.host, "Remove-ItemProperty", (*where, ("Force", True)))
            return (Step(remove, f"remove {self.title()}", self._notes(observed), self.risk),)
        steps: list[Step] = []
        if not observed.facts.get("key_exists"):
            # Never on a key that exists: there New-Item -Force empties it.
            create = Command(self.host, "New-Item", (("Path", self.path), ("Force", True)))
            steps.append(Step(create, f"create {self.path} on {self.host}", risk=self.risk))
        wanted = (*where, ("PropertyType", str(self.type)), ("Value", self._argument()), ("Force", True))
        says = f"set {self.title()} to {self.value!r} ({self.type}){why}"
        write = Command(self.host, "New-ItemProperty", wanted)  # -Force replaces a value of another type
        return (*steps, Step(write, says, self._notes(observed), self.risk))

    def undone(self, baseline: Self) -> Self:
        """Return the state to go back to; a value that was declared absent comes back with its type and data."""
        if self.ensure == "present" or baseline.ensure == "absent":
            return restored(self, baseline)
        return self.model_copy(update={"ensure": "present", "type": baseline.type, "value": baseline.value})

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
        value = self._value(kind, row, read[2] or "")
        if self.ensure == "absent" and value in self.tolerates:
            return self.absent()
        return self.observed(type=kind, value=value)

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
