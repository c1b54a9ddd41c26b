"""The Windows hosts: where they are, one session with each, and commands run on them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.core.errors import ReconcileError, Refused, UnexpectedAnswer, Unreachable
from reconciler.core.query import Command, Row, Rows
from reconciler.core.targets import Targets
from reconciler.edge.accounts import Accounts
from reconciler.edge.batch import MOST, Asked, Batch
from reconciler.edge.guard import Guard
from reconciler.edge.psrp_connection import Gate, open_wsman
from reconciler.edge.psrp_errors import NATIVE_ERRORS, Failure, refused
from reconciler.edge.psrp_statement import Answer, Statement, TimedOut
from reconciler.edge.psrp_values import plain, to_host, to_rows

if TYPE_CHECKING:
    from pypsrp.wsman import WSMan

    from reconciler.edge.psrp_session import Session

# Before the first program of a session there is no such variable: where that one cannot be started, this is all that is said.
LAST_EXIT_CODE = Statement("Get-Variable", (("Name", "LASTEXITCODE"), ("ValueOnly", True), ("ErrorAction", "Ignore")))


class Hosts:
    """Every host of the state file by its name. Safe to call from several threads.

    Args:
        targets: For the hosts and their credentials.
        accounts: Opens secrets.
        gates: Returns how to enter a host; called whenever a session is opened.
    """

    def __init__(self, targets: Targets, accounts: Accounts, gates: Callable[[str], Gate]) -> None:
        self._targets = targets
        self._accounts = accounts
        self._gates = gates
        self._sessions: dict[str, Session] = {}
        self._loners: set[Command] = set()
        self._lock = threading.Lock()

    def run(self, command: Command, guard: Guard | None = None) -> Rows:
        """Run a command and return its rows.

        Args:
            guard: Goes first in the same message, so that nothing can come between the two; where it does not hold, the
                command is not run.

        Raises:
            Fenced: The guard does not hold.
            Unreachable: With ``sent`` where it may have run.
            AuthenticationFailed: The credential is not accepted.
            Refused: It wrote errors other than ``command.absent``, or ended with another code than ``command.ok_exit_codes``.
            UnexpectedAnswer: The answer cannot be read.
        """
        session = self._session(command.host)
        statements = [self._statement(one) for one in ((guard.command, command) if guard else (command,))]
        if command.native:
            statements.append(LAST_EXIT_CODE)
        answer = session.run(statements, timeout_s=command.timeout_s, repeatable=command.repeatable)
        failures = [Failure.of(record, self._accounts.scrub) for record in answer.errors]
        if guard is not None:
            answer = guard.passed(answer, failures)
        return self._native(command, answer, failures) if command.native else self._cmdlet(command, answer, failures)

    def run_all(self, commands: Sequence[Command]) -> list[Rows | ReconcileError]:
        """Run commands on one host in as few messages as can be; each answers as `run` does, its error in place of its rows."""
        found: dict[int, Rows | ReconcileError] = {}
        together = [index for index, command in enumerate(commands) if self._may_join(command)]
        for start in range(0, len(together), MOST):
            places = together[start : start + MOST]
            if len(places) > 1:
                answers = self._run_together([commands[index] for index in places])
                found |= {index: known for index, known in zip(places, answers, strict=True) if known is not None}
            else:
                found |= {index: self._attempt(commands[index]) for index in places}
        for index in together:
            if index not in found:
                found[index] = answer = self._attempt(commands[index])
                if not answer or isinstance(answer, ReconcileError):  # this one may be what the others suffered from
                    self._loners.add(commands[index])
        return [found[index] if index in found else self._attempt(command) for index, command in enumerate(commands)]

    def _run_together(self, commands: Sequence[Command]) -> list[Rows | ReconcileError | None]:
        """Return the answer of each command; None where it has to be asked alone."""
        try:
            batch = Batch([self._asked(command) for command in commands])
            session = self._session(commands[0].host)
            limit_s = sum(command.timeout_s for command in commands)
            parts = batch.parts(session.run(batch.statements, timeout_s=limit_s, repeatable=True))
        except (TimedOut, Refused, UnexpectedAnswer):
            return [None] * len(commands)
        except ReconcileError as error:  # nothing else would come of asking one by one
            return [error] * len(commands)
        return [
            None if part is None else self._read(command, part) for command, part in zip(commands, parts, strict=True)
        ]

    def _may_join(self, command: Command) -> bool:
        """Whether its answer could be told from others' as far as is known: what could not once is asked alone from then on."""
        return command.repeatable and command not in self._loners

    def _asked(self, command: Command) -> Asked:
        own = self._statement(command)
        return Asked((own, LAST_EXIT_CODE) if command.native else (own,))

    def _attempt(self, command: Command) -> Rows | ReconcileError:
        try:
            return self.run(command)
        except ReconcileError as error:
            return error

    def _read(self, command: Command, answer: Answer) -> Rows | ReconcileError:
        failures = [Failure.of(record, self._accounts.scrub) for record in answer.errors]
        try:
            return (
                self._native(command, answer, failures) if command.native else self._cmdlet(command, answer, failures)
            )
        except ReconcileError as error:
            return error

    def drop(self, host: str) -> None:
        """Forget the session with a host that goes away."""
        with self._lock:
            session = self._sessions.pop(host, None)
        if session is not None:
            session.drop()

    def close(self) -> None:
        """End every session."""
        with self._lock:
            sessions, self._sessions = list(self._sessions.values()), {}
        for session in sessions:
            with suppress(Exception):
                session.close()

    def _session(self, host: str) -> Session:
        with self._lock:
            if host not in self._sessions:
                self._sessions[host] = self._new(host)
            return self._sessions[host]

    def _new(self, host: str) -> Session:
        if host not in self._targets.hosts:
            raise Unreachable(
                f"the state file no longer says how to reach '{host}'", target=host, do="put it back under `hosts`"
            )
        from reconciler.edge.psrp_session import Session  # pypsrp is half of what a run that asks no host would load

        declared = self._targets.hosts[host]
        credential = declared.credential or self._targets.domains[declared.domain].credential

        def connect() -> WSMan:
            gate = self._gates(host)
            account = self._accounts.account(credential)
            return open_wsman(gate, account, account.principal(self._accounts.realms))

        return Session(host, connect, declared.winrm.configuration, encrypted=declared.winrm.transport == "http")

    def _statement(self, command: Command) -> Statement:
        parameters = tuple((name, to_host(self._accounts.plain(value))) for name, value in command.parameters)
        return Statement(
            command.name, parameters, tuple(to_host(self._accounts.plain(value)) for value in command.arguments)
        )

    def _cmdlet(self, command: Command, answer: Answer, failures: list[Failure]) -> Rows:
        others = [failure for failure in failures if failure.code not in command.absent]
        if others:
            raise refused(others, command.host, self._shown(command))
        return to_rows(answer.output)

    def _native(self, command: Command, answer: Answer, failures: list[Failure]) -> Rows:
        others = [failure for failure in failures if failure.code not in NATIVE_ERRORS]
        if others:
            raise refused(others, command.host, self._shown(command))
        values = [plain(item) for item in answer.output]
        code = values[-1] if values else None
        if not isinstance(code, int):
            raise UnexpectedAnswer(
                f"'{command.host}' did not tell the exit code of {command.name}", target=command.host
            )
        lines: list[Row] = [{"line": str(value)} for value in values[:-1]]
        errors: list[Row] = [{"error": failure.text} for failure in failures]
        if command.ok_exit_codes is not None and code not in command.ok_exit_codes:
            raise self._exited(
                command, code, [failure.text for failure in failures], [str(value) for value in values[:-1]]
            )
        return (*lines, *errors, {"exit_code": code})

    def _exited(self, command: Command, code: int, errors: list[str], lines: list[str]) -> Refused:
        said = [self._accounts.scrub(text.strip()) for text in (*errors, *lines) if text.strip()]
        text = f"{command.name} ended with exit code {code}" + (f": {' '.join(said[:3])}" if said else "")
        return Refused(text, target=command.host, where=f"{command.host}: {self._shown(command)}", code=f"exit {code}")

    def _shown(self, command: Command) -> str:
        text = self._accounts.scrub(str(command))
        return text if len(text) <= 200 else text[:200] + " ..."
