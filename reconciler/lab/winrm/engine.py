"""Run pipelines of commands with parameters as PowerShell would: statements, streams, errors. No script text."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from reconciler.lab.windows.contract import Cmdlet, Logon
from reconciler.lab.winrm.binder import Given, bind, candidates, class_name
from reconciler.lab.winrm.command_log import shown_arguments, shown_parameters
from reconciler.lab.winrm.errors import (
    Failure,
    Terminated,
    command_not_found,
    full_exception_name,
    script_refused,
    stopped_by_preference,
)
from reconciler.lab.winrm.native import arguments_of, run_native
from reconciler.lab.winrm.session import Session
from reconciler.lab.winrm.wire import Origin

log = logging.getLogger(__name__)


class Streams(Protocol):
    """Where a pipeline's objects and records go."""

    def output(self, value: Any) -> None: ...
    def error(self, failure: Failure, origin: Origin | None) -> None: ...
    def warning(self, text: str, origin: Origin) -> None: ...
    def verbose(self, text: str, origin: Origin) -> None: ...


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a pipeline, as the client sent it."""

    name: str
    parameters: Given
    is_script: bool = False
    merge_errors: bool = False  # 2>&1
    drop_errors: bool = False  # 2>$null


async def run(
    session: Session, statements: Sequence[Sequence[Command]], pipeline_input: list[Any] | None, streams: Streams
) -> Failure | None:
    """Run the statements of one pipeline.

    Args:
        session: The shell.
        statements: Each one a pipeline of commands.
        pipeline_input: Objects the client pipes into each statement's first command; None where it pipes nothing.
        streams: Where everything goes.

    Returns:
        The error that failed the pipeline, or None. In a batch of several statements a terminating error only goes
        to the error stream and the next statement runs, as in PowerShell's batch invocation.
    """
    for statement in statements:
        try:
            await _Statement(session, statement, streams).run(pipeline_input)
        except Terminated as ended:
            if len(statements) == 1 or ended.failure.stops_everything:
                return ended.failure
            streams.error(ended.failure, None)
    return None


class _Statement:
    def __init__(self, session: Session, commands: Sequence[Command], streams: Streams) -> None:
        self.session = session
        self.commands = commands
        self.streams = streams

    async def run(self, piped: list[Any] | None) -> None:
        for position, command in enumerate(self.commands, 1):
            collected: list[Any] = []
            last = position == len(self.commands)
            call = Invocation(
                session=self.session,
                command=command,
                streams=self.streams,
                emit=self.streams.output if last else collected.append,
                piped=piped,
                position=position,
                length=len(self.commands),
            )
            await call.run()
            piped = collected


@dataclass(slots=True)
class Invocation:
    """One command while it runs; what `contract.Call` promises to a cmdlet."""

    session: Session
    command: Command
    streams: Streams
    emit: Callable[[Any], None]
    piped: list[Any] | None
    position: int
    length: int
    machine: Any = field(init=False)
    logon: Logon = field(init=False)
    arguments: Mapping[str, Any] = field(default_factory=dict, init=False)
    pipeline_input: Sequence[Any] = field(init=False)
    what_if: bool = field(default=False, init=False)
    cmdlet: Cmdlet | None = field(default=None, init=False)
    common: Mapping[str, Any] = field(default_factory=dict, init=False)
    outcome: str = field(default="stopped", init=False)

    def __post_init__(self) -> None:
        self.machine = self.session.machine
        self.logon = self.session.logon
        self.pipeline_input = self.piped or []

    # -- what a cmdlet sees

    def output(self, value: Any) -> None:
        self.emit(value)

    def warning(self, text: str) -> None:
        preference = self._preference("WarningAction")
        if preference in ("continue", "inquire"):
            self.streams.warning(text, self._origin())
        if preference == "stop":
            failure = Failure("", text, self._full_id("WarningActionStop"), "OperationStopped", None, self._name())
            raise Terminated(stopped_by_preference(failure))

    def verbose(self, text: str) -> None:
        if self.common.get("Verbose", False):
            self.streams.verbose(text, self._origin())

    def error(self, exception: str, message: str, error_id: str, category: str, target: object = None) -> None:
        self.write_failure(self._failure(exception, message, error_id, category, target))

    def throw(self, exception: str, message: str, error_id: str, category: str, target: object = None) -> NoReturn:
        raise Terminated(self._failure(exception, message, error_id, category, target))

    def write_failure(self, failure: Failure) -> None:
        """Write a non-terminating error where -ErrorAction and redirection want it."""
        self._note(failure)
        preference = self._preference("ErrorAction")
        if preference in ("silentlycontinue", "ignore"):
            return
        if preference == "stop":
            raise Terminated(stopped_by_preference(failure))
        if self.command.merge_errors:
            self.emit(failure)
        elif not self.command.drop_errors:
            self.streams.error(failure, self._origin())

    # -- running

    async def run(self) -> None:
        """Find, bind and run the command; write its line to the command log whatever becomes of it."""
        try:
            await self._run()
            if self.outcome == "stopped":
                self.outcome = "ok"
        except Terminated as ended:
            self._note(ended.failure)
            raise
        finally:
            self._write_log()

    async def _run(self) -> None:
        command = self.command
        name = command.name.strip() if command.is_script else command.name
        self.cmdlet = self.session.find_cmdlet(name)
        native = self.cmdlet is None and self.session.has_program(name)
        if command.is_script:
            self._check_script(known=self.cmdlet is not None or native)
        if native:
            await run_native(self, name)
        elif self.cmdlet is None:
            raise Terminated(command_not_found(name))
        else:
            await self._run_cmdlet(self.cmdlet)

    def _check_script(self, *, known: bool) -> None:
        no_language = self.session.configuration.language == "NoLanguage"
        if no_language or not known:
            raise Terminated(script_refused(self.command.name, no_language=no_language))

    async def _run_cmdlet(self, cmdlet: Cmdlet) -> None:
        bound = bind(cmdlet, self.command.parameters, self.piped)
        self.arguments, self.common = bound.arguments, bound.common
        self.what_if = bool(bound.common.get("WhatIf", False))
        if self.common.get("Confirm", False):
            self.throw(
                "Host.HostException",
                "A command that prompts the user failed because the host program or the command type does not support "
                "user interaction.",
                "HostFunctionNotImplemented",
                "NotImplemented",
            )
        try:
            await cmdlet.run(self)
        except Terminated:
            raise
        except Exception as fault:  # a fault of the simulator must not look like one of the transport
            log.exception("cmdlet failed: %s", cmdlet.name)
            message = f"simulator fault: {type(fault).__name__}: {fault}"
            self.throw("RuntimeException", message, "SimulatorFault", "NotSpecified")

    # -- details

    def _failure(self, exception: str, message: str, error_id: str, category: str, target: object) -> Failure:
        return Failure(full_exception_name(exception), message, self._full_id(error_id), category, target, self._name())

    def _full_id(self, error_id: str) -> str:
        return f"{error_id},{class_name(self.cmdlet)}" if self.cmdlet is not None else error_id

    def _name(self) -> str:
        return self.cmdlet.name if self.cmdlet is not None else self.command.name

    def _origin(self) -> Origin:
        return Origin(self._name(), self.position, self.length, self.arguments, native=self.cmdlet is None)

    def _preference(self, parameter: str) -> str:
        return str(self.common.get(parameter, "Continue")).lower()

    def _note(self, failure: Failure) -> None:
        if self.outcome in ("stopped", "ok"):
            self.outcome = failure.error_id

    def _write_log(self) -> None:
        if self.session.log is not None:
            self.session.log.write(self._name(), self._shown(), self.session.user, self.outcome)

    def _shown(self) -> object:
        if self.cmdlet is None:
            return shown_arguments(self.command.name, arguments_of(self.command.parameters))
        parameters = self.cmdlet.parameters
        secret = frozenset(one.name for one in parameters if one.secret)
        if self.arguments or self.common:
            given = {**self.arguments, **self.common}
            return shown_parameters(given, secret)
        return shown_parameters(*_unbound(self.command.parameters, self.cmdlet))


def _unbound(given: Given, cmdlet: Cmdlet) -> tuple[dict[str, Any], frozenset[str]]:
    """Return parameters that could not be bound, by the names they were given, and which of them may be secret."""
    values: dict[str, Any] = {}
    secret = set()
    hides = any(one.secret for one in cmdlet.parameters)
    for index, (name, value) in enumerate(given):
        shown = str(index) if name is None else name.strip("-: ")
        values[shown] = value
        meant = [] if name is None else candidates(cmdlet.parameters, shown)
        if any(one.secret for one in meant) or (hides and not meant):
            secret.add(shown)
    return values, frozenset(secret)
