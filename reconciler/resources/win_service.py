"""A service of a host: whether it runs, how it starts, and as whom. The service itself comes with its software."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from reconciler.core.errors import NeedsPerson, NotYet, UnexpectedAnswer
from reconciler.core.query import Argument, Command, Query, Row, Rows
from reconciler.core.secret import CredentialPart
from reconciler.core.steps import Step
from reconciler.core.targets import Name
from reconciler.core.task_xml import CommandLine
from reconciler.resources.dead_man import SYSTEM32, Guarded
from reconciler.resources.rows import at_most_one, text
from reconciler.resources.windows_values import ServiceName

Status = Literal["running", "stopped"]
StartMode = Literal["automatic", "manual", "disabled"]

_STATUS: dict[str, Status] = {"running": "running", "stopped": "stopped"}
_START_MODES: dict[str, StartMode] = {"auto": "automatic", "manual": "manual", "disabled": "disabled"}
_BUILT_IN = {
    "localsystem": "LocalSystem",
    "local system": "LocalSystem",
    r".\localsystem": "LocalSystem",
    "system": "LocalSystem",
    r"nt authority\system": "LocalSystem",
    r"nt authority\localservice": r"NT AUTHORITY\LocalService",
    r"nt authority\local service": r"NT AUTHORITY\LocalService",
    r"nt authority\networkservice": r"NT AUTHORITY\NetworkService",
    r"nt authority\network service": r"NT AUTHORITY\NetworkService",
}
_SC = rf"{SYSTEM32}\sc.exe"
_SC_MODES: dict[StartMode, str] = {"automatic": "auto", "manual": "demand", "disabled": "disabled"}


class Service(Guarded):
    """A service that comes with other software. One that is not there counts as stopped: it cannot do anything.

    So a service that was absent before our first change goes back to stopped, and its software takes it away.
    """

    identity: ClassVar[tuple[str, ...]] = ("host", "name")
    unknowable: ClassVar[tuple[str, ...]] = ("start_mode", "account")
    inputs: ClassVar[tuple[str, ...]] = ("credential", "dead_mans_switch")
    typical_s: ClassVar[float] = 10.0

    kind: Literal["win.service"] = "win.service"
    host: Name = Field(description="Host that runs the service.")
    name: ServiceName = Field(description="Its short name.", examples=["PesSvc"])
    status: Status | None = Field(None, description="Whether it runs.")
    start_mode: StartMode | None = Field(None, description="How it starts.")
    account: str | None = Field(
        None,
        description="`LocalSystem`, or `DOMAIN\\name` as the host shows it. "
        "It needs the right to log on as a service; that right is not granted from here.",
    )
    credential: Name | None = Field(
        None, description="Credential whose password goes with `account`; a built-in or managed account needs none."
    )

    @field_validator("account")
    @classmethod
    def _one_spelling(cls, account: str | None) -> str | None:
        return account and _BUILT_IN.get(account.strip().casefold(), account.strip())

    @model_validator(mode="after")
    def _not_deleted(self) -> Self:
        if self.ensure == "absent":
            raise ValueError("a service is not deleted from here: uninstall its software, or declare `status: stopped`")
        return self

    @property
    def on(self) -> str:
        """Name of the host."""
        return self.host

    def title(self) -> str:
        """Name the service and its host."""
        return f"service {self.name} on {self.host}"

    def queries(self) -> tuple[Query, ...]:
        """Ask for the service, and for its switch."""
        where = (("ClassName", "Win32_Service"), ("Filter", f"Name='{self.name}'"))
        return (Command(self.host, "Get-CimInstance", where), *self.switch_queries())

    def parse(self, *answers: Rows) -> Self:
        """Read the service; one that is between two states is not known."""
        services, *more = answers
        row = at_most_one(services, self.title(), self.host)
        if row is None:
            # Gone with its software, it starts in no mode and as nobody: nothing is left to put back.
            gone = self.status == "stopped"
            mode, account = (self.start_mode, self.account) if gone else (None, None)
            found = self.observed(status="stopped", start_mode=mode, account=account)
            return self.judged(found.with_facts(exists=False), more)
        shown = text(row, "StartName")
        user = _BUILT_IN.get(shown.casefold(), shown)
        if self.account and self.account.casefold() == user.casefold():
            user = self.account
        status = self._one_of(_STATUS, row, "State", "wait until it has settled")
        start = self._one_of(_START_MODES, row, "StartMode", "this is a driver; leave it alone")
        found = self.observed(status=status, start_mode=start, account=user)
        return self.judged(found.with_facts(exists=True), more)

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Configure before starting, stop before configuring, and arm a switch before anything."""
        if not observed.facts["exists"] and differs != {"switch"}:
            raise NotYet(f"{self.title()} comes with its software")
        return self.around(observed, differs, self._changes(observed, differs))

    def restoring(self) -> tuple[CommandLine, ...]:
        """Return the calls of sc.exe: stopped first, then started as before. The account is left: it needs a password."""
        mode = () if self.start_mode is None else ((_SC, "config", self.name, "start=", _SC_MODES[self.start_mode]),)
        if self.status == "running":
            return (*mode, (_SC, "start", self.name))
        return ((_SC, "stop", self.name), *mode)

    def _changes(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        changes: list[Step] = []
        if "account" in differs:
            changes.append(self._change_account())
        if "start_mode" in differs:
            changes.append(self._command("Set-Service", ("StartupType", str(self.start_mode).capitalize())))
        stop, start = self._command("Stop-Service"), self._command("Start-Service")
        if self.status == "stopped":
            return (stop, *changes) if "status" in differs else tuple(changes)
        if "status" in differs:
            return (*changes, start)
        # The account counts from the next start on.
        return (stop, *changes, start) if "account" in differs and observed.status == "running" else tuple(changes)

    def undone(self, baseline: Self) -> Self:
        """Return the state to go back to; what was not known of an absent service is not put back."""
        known = {name: getattr(baseline, name) for name in self.managed() if getattr(baseline, name) is not None}
        kept = ("during", "after", "approved", "on_conflict", "weakens", *self.identity)
        # The credential belongs to the declared account only.
        credential = self.credential if known.get("account") == self.account else None
        about = {name: getattr(self, name) for name in kept}
        if self.switch is not None:
            about |= {"dead_mans_switch": self.dead_mans_switch}
            known["switch"] = "none"
        return type(self).model_validate({**about, "credential": credential, **known})

    def learns(self, step: Step, rows: Rows) -> Mapping[str, Mapping[str, Any]]:
        """Keep what the host said to a change of the account: it refuses by a number, not by an error."""
        if not isinstance(step.effect, Command) or step.effect.name != "Invoke-CimMethod":
            return {}
        code = rows[0].get("ReturnValue") if rows else None
        text = "" if code in (0, None) else f"Win32_Service.Change returned {code}"
        return {f"error/{self.key}": {"text": text}}

    def _change_account(self) -> Step:
        arguments: dict[str, Argument] = {"StartName": str(self.account)}
        if self.credential is not None:
            arguments["StartPassword"] = CredentialPart(self.credential, "password")
        elif self.account not in _BUILT_IN.values() and not str(self.account).endswith("$"):
            raise NeedsPerson(
                f"{self.title()} shall run as {self.account}, whose password is not known here",
                where=self.host,
                do=f"set the account of {self.name} by hand (services.msc)",
            )
        query = f"SELECT * FROM Win32_Service WHERE Name='{self.name}'"  # noqa: S608 the name holds no quote
        change = (("Query", query), ("MethodName", "Change"), ("Arguments", arguments))
        return Step(Command(self.host, "Invoke-CimMethod", change), f"run {self.title()} as {self.account}")

    def _command(self, name: str, *parameters: tuple[str, Argument]) -> Step:
        return Step(Command(self.host, name, (("Name", self.name), *parameters), timeout_s=120.0))

    def _one_of(self, table: dict[str, Status] | dict[str, StartMode], row: Row, column: str, do: str) -> str:
        found = table.get(text(row, column).casefold())
        if found is None:
            raise UnexpectedAnswer(f"{column} of {self.title()} is {text(row, column)!r}", target=self.host, do=do)
        return found
