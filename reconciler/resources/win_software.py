"""Software of a host: found in its list of installed programs, installed by its own installer or by a person."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from reconciler.core.errors import NeedsPerson, UnexpectedAnswer
from reconciler.core.query import Argument, Command, Query, Row, Rows
from reconciler.core.resource import Resource
from reconciler.core.secret import SecretRef, Template
from reconciler.core.steps import Note, Step
from reconciler.core.targets import Name
from reconciler.resources import command_line
from reconciler.resources.boot import boot_query, boot_time, restart_note
from reconciler.resources.rows import text, text_or_none
from reconciler.resources.windows_values import ABSENT_PATH, FilePath

_LISTS = (
    r"HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall\*",
    r"HKLM:\SOFTWARE\WOW6432Node\Microsoft\Windows\CurrentVersion\Uninstall\*",
)
_PRODUCT_CODE = re.compile(r"\{[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}")
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_COMMAND_LINE = re.compile(r'\s*(?:"([^"]+)"|(\S.*?\.exe|\S+))\s*(.*)', re.IGNORECASE)
_DONE = (0, 1641, 3010)  # done; done and restarting; done, a restart is needed
_TIMEOUT_S = 1800.0


class Software(Resource):
    """A program in the list of installed programs. Another version is reported, never changed."""

    identity: ClassVar[tuple[str, ...]] = ("host", "name")
    inputs: ClassVar[tuple[str, ...]] = (
        "installer", "arguments", "secrets", "restart", "instructions", "uninstall_arguments",
    )  # fmt: skip
    typical_s: ClassVar[float] = 120.0

    kind: Literal["win.software"] = "win.software"
    host: Name = Field(description="Host on which it is installed.")
    name: str = Field(
        description="Name in the list of installed programs; `*` stands for any text.",
        min_length=1,
        examples=["Password Export Server*"],
    )
    version: str | None = Field(
        None, description="Wanted version or its beginning: `3.1` also takes 3.1.2, but not 3.10.", min_length=1
    )
    installer: FilePath | None = Field(None, description="Its installer, on a local disk of the host.")
    arguments: tuple[str, ...] = Field(
        (),
        description="Arguments for a silent installation, each quoted as on a command line; `{name}` stands for a "
        "secret. Without arguments a person is asked to install it.",
    )
    secrets: dict[str, SecretRef] = Field({}, description="Secrets that `arguments` mention, by name.")
    restart: bool = Field(False, description="Installing and removing it counts only after a restart.")
    instructions: str = Field("", description="What a person has to know to install it.")
    uninstall_arguments: tuple[str, ...] = Field(
        ("/qn", "/norestart"),
        description="Arguments that remove it silently, after those that the program itself names.",
    )

    @model_validator(mode="after")
    def _knows_its_secrets(self) -> Self:
        for argument in self.arguments:
            for name in _PLACEHOLDER.findall(argument):
                if name not in self.secrets:
                    raise ValueError(f"`arguments` mention {{{name}}}, which `secrets` does not name")
        if self.arguments and self.installer is None:
            raise ValueError("`arguments` need an `installer`")
        return self

    def title(self) -> str:
        """Name the software and its host."""
        return f"{self.name.strip('* ')} on {self.host}"

    def queries(self) -> tuple[Query, ...]:
        """Ask for both lists of installed programs, and whether a password on a command line would be kept."""
        lists = (Command(self.host, "Get-ItemProperty", (("Path", path),), absent=ABSENT_PATH) for path in _LISTS)
        boot = (boot_query(self.host),) if self.restart else ()
        return (*lists, command_line.logging_query(self.host), *boot)

    def parse(self, *answers: Rows) -> Self:
        """Find the one program of that name."""
        native, wow, logging, *boot = answers
        facts = {
            "logged": command_line.is_logged(logging, self.host),
            "boot_time": boot_time(boot[0], self.host) if boot else "",
        }
        found = self._named((*native, *wow))
        if found is None:
            return self.absent().with_facts(**facts)
        there = text_or_none(found, "DisplayVersion") or ""
        fits = self.version and (there == self.version or there.startswith(self.version.rstrip(".") + "."))
        return self.observed(version=self.version if fits else there or None).with_facts(program=dict(found), **facts)

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Install or remove it, once: an installer is never started again blindly."""
        if self.ensure == "absent":
            return (self._removal(observed),)
        if observed.ensure == "present":
            raise NeedsPerson(
                f"{self.title()} has version {observed.version}, wanted is {self.version}",
                where=self.host,
                do="install the wanted version by hand, or declare the one that is there",
            )
        if not self.arguments:
            raise self._gate(observed)
        return (self._installation(observed),)

    def undone(self, baseline: Self) -> Self:
        """Return the state to go back to; a newer version that a person installed stays."""
        ensure = {"ensure": baseline.ensure}
        return self.model_validate({**self.model_dump(exclude_unset=True, exclude={"version"}), **ensure})

    def learns(self, step: Step, rows: Rows) -> Mapping[str, Mapping[str, Any]]:
        """Keep how the installer ended; whether it did its work is read from the list of installed programs."""
        code = next((row["ExitCode"] for row in rows if "ExitCode" in row), None)
        return {f"error/{self.key}": {"text": "" if code in (None, *_DONE) else f"{step}: ended with exit code {code}"}}

    def _named(self, rows: Rows) -> Row | None:
        wanted = self.name.casefold()
        programs = {
            (text_or_none(row, "PSChildName") or "", text(row, "DisplayName")): row
            for row in rows
            if fnmatchcase((text_or_none(row, "DisplayName") or "").casefold(), wanted.replace("[", "[[]"))
        }
        if len(programs) > 1:
            raise UnexpectedAnswer(
                f"several programs are called {self.name!r}: " + ", ".join(sorted(name for _, name in programs)),
                target=self.host,
                do="write the whole name",
            )
        return next(iter(programs.values()), None)

    def _installation(self, observed: Self) -> Step:
        arguments = tuple(self._filled(argument) for argument in self.arguments)
        exposed = any(isinstance(argument, Template) for argument in arguments) and bool(observed.facts["logged"])
        program, first = self._program()
        says = f"install {self.title()}" + (f": {command_line.EXPLANATION}" if exposed else "")
        risk = command_line.RISK if exposed else ""
        return Step(self._start(program, (*first, *arguments)), says, self._notes(observed), risk)

    def _removal(self, observed: Self) -> Step:
        program: Row = observed.facts["program"]
        code = text_or_none(program, "PSChildName") or ""
        command = text_or_none(program, "UninstallString") or ""
        quiet = text_or_none(program, "QuietUninstallString")
        start: Command | None = None
        if _PRODUCT_CODE.fullmatch(code) and (not command or "msiexec" in command.lower()):
            start = self._start("msiexec.exe", ("/x", code, *self.uninstall_arguments))
        elif quiet and (read := _COMMAND_LINE.fullmatch(quiet)):
            start = self._start(read[1] or read[2], tuple(read[3].split()))
        elif "uninstall_arguments" in self.model_fields_set and (read := _COMMAND_LINE.fullmatch(command)):
            start = self._start(read[1] or read[2], (*read[3].split(), *self.uninstall_arguments))
        if start is None:
            raise NeedsPerson(
                f"{self.title()} names no way to remove it without a person",
                where=self.host,
                do=f"remove it by hand: {command or 'Programs and Features'}; apply goes on by itself once it is gone",
            )
        return Step(start, f"remove {self.title()}", self._notes(observed))

    def _gate(self, observed: Self) -> NeedsPerson:
        program, first = self._program()
        by_hand = " ".join((program, *first)) if self.installer else "its installer"
        lines = [f"on {self.host}, at the screen or in an elevated prompt there, run: {by_hand}"]
        lines += self.instructions.splitlines()
        lines.append("then apply again: it goes on by itself once the program is there")
        what = f"{self.title()} has to be installed by a person"
        return NeedsPerson(what, where=self.host, do="\n".join(lines), notes=self._notes(observed), on_our_behalf=True)

    def _program(self) -> tuple[str, tuple[str, ...]]:
        path = self.installer or ""
        # Start-Process joins its arguments with blanks and quotes nothing.
        return ("msiexec.exe", ("/i", f'"{path}"')) if path.lower().endswith(".msi") else (path, ())

    def _start(self, program: str, arguments: tuple[Argument, ...]) -> Command:
        given: tuple[tuple[str, Argument], ...] = (("ArgumentList", arguments),) if arguments else ()
        parameters = (("FilePath", program), *given, ("Wait", True), ("PassThru", True))
        return Command(self.host, "Start-Process", parameters, repeatable=False, timeout_s=_TIMEOUT_S)

    def _filled(self, argument: str) -> Argument:
        pieces = _PLACEHOLDER.split(argument)  # text and names, in turn
        if len(pieces) == 1:
            return argument
        parts = (self.secrets[piece] if index % 2 else piece for index, piece in enumerate(pieces))
        return Template(tuple(part for part in parts if part != ""))

    def _notes(self, observed: Self) -> tuple[Note, ...]:
        if not self.restart:
            return ()
        return (restart_note(self.host, self.key, str(observed.facts["boot_time"]), self.title()),)
