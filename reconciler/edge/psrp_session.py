"""One PowerShell session with one host, which survives its restarts: on any trouble it is thrown away whole."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Self

from msgspec import Struct
from pypsrp.complex_objects import Command as PipelineCommand
from pypsrp.complex_objects import PSInvocationState
from pypsrp.exceptions import WSManFaultError
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan

from reconciler.core.errors import Refused, Unreachable
from reconciler.edge.psrp_errors import TOO_MANY_SHELLS, transport_error
from reconciler.edge.psrp_statement import Answer, Statement, TimedOut

# Windows drops idle connections after about two minutes; with message encryption pypsrp never recovers from that.
FRESH_S = 60.0
# The session of a program that died counts against the host's quota of 30 per user until it idled for so long: Windows accepts
# no less than a minute, and by default takes two hours.
IDLE_S = 60
QUOTA_PATIENCE_S, QUOTA_PAUSE_S = 90.0, 1.0
_RUNNING = PSInvocationState.RUNNING


class _Open(Struct):
    wsman: WSMan
    pool: RunspacePool
    used: float


class Session:
    """Runs commands one after the other; safe to call from several threads, which then wait for each other.

    Args:
        host: Name of the host in the state file.
        connect: Makes a new connection.
        configuration: Session configuration.
        encrypted: Whether messages are encrypted one by one (http), so that an idle connection must not be used again.
    """

    def __init__(self, host: str, connect: Callable[[], WSMan], configuration: str, *, encrypted: bool) -> None:
        self._host = host
        self._connect = connect
        self._configuration = configuration
        self._encrypted = encrypted
        self._lock = threading.Lock()
        self._open: _Open | None = None
        self._ending: threading.Thread | None = None

    def run(self, statements: Sequence[Statement], *, timeout_s: float, repeatable: bool) -> Answer:
        """Run statements in one pipeline.

        What certainly was not sent is sent again once on a new session, and so is what is ``repeatable``.

        Raises:
            Unreachable: With ``sent`` where it may have run.
            AuthenticationFailed: The credential is not accepted.
            Refused: The host allows no session.
            UnexpectedAnswer: The answer cannot be read.
        """
        with self._turn():
            reused = self._open is not None
            try:
                return self._run(statements, timeout_s)
            except TimedOut:
                raise
            except Unreachable as first:
                # Without an old session there is nothing that a new one could cure, unless the answer was lost.
                if not (repeatable if first.sent else reused):
                    raise
                return self._again(statements, timeout_s, first)

    def drop(self) -> None:
        """Forget the session, for a host that goes away."""
        with self._turn():
            self._throw_away()

    def close(self) -> None:
        """End the session on the host too, if it still answers."""
        with self._turn():
            if self._open is not None:
                with suppress(Exception):
                    self._open.pool.close()
            self._throw_away()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until nobody else uses the session."""
        with self._lock:
            if self._ending is not None:
                self._ending.join()
                self._ending = None
            yield

    def _again(self, statements: Sequence[Statement], timeout_s: float, first: Unreachable) -> Answer:
        try:
            return self._run(statements, timeout_s)
        except Unreachable as second:
            second.sent = second.sent or first.sent
            raise

    def _run(self, statements: Sequence[Statement], timeout_s: float) -> Answer:
        session = self._opened()
        shell = PowerShell(session.pool)
        for index, statement in enumerate(statements):
            if index:
                shell.add_statement()
            _add(shell, statement)
        try:
            shell.begin_invoke()
            self._wait(shell, timeout_s)
        except Unreachable:
            raise
        except Exception as error:
            self._throw_away()
            # A fault in answer to the very first message means that it was not taken.
            untouched = shell.state == PSInvocationState.NOT_STARTED and isinstance(error, WSManFaultError)
            raise transport_error(error, self._host, sent=not untouched) from error
        except BaseException:  # an interrupt: where the session stands is not known
            self._throw_away()
            raise
        answer = Answer(tuple(shell.output), tuple(shell.streams.error))
        session.used = time.monotonic()
        # A pipeline that is not closed counts against a quota of 1,000. Nobody has to wait for that, not even the end of the program.
        self._ending = threading.Thread(target=self._end, args=(shell,), name=f"end {self._host}", daemon=True)
        self._ending.start()
        return answer

    def _end(self, shell: PowerShell) -> None:
        try:
            shell.close()
        except Exception:
            self._throw_away()

    def _wait(self, shell: PowerShell, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while shell.state == _RUNNING:
            left = deadline - time.monotonic()
            if left <= 0:
                self._stop(shell)
                raise TimedOut(
                    f"'{self._host}' gave no result within {timeout_s:g} s; the command was stopped",
                    target=self._host,
                    sent=True,
                )
            shell.poll_invoke(timeout=max(1, min(20, int(left))))

    def _stop(self, shell: PowerShell) -> None:
        try:
            shell.stop()
        except Exception:
            self._throw_away()

    def _opened(self) -> _Open:
        if self._open is not None and self._encrypted and time.monotonic() - self._open.used > FRESH_S:
            self._throw_away()
        if self._open is None:
            self._open = self._new()
        return self._open

    def _new(self) -> _Open:
        """Open a session; where too many are open already, wait until the host gives idle ones up."""
        deadline = time.monotonic() + QUOTA_PATIENCE_S
        while True:
            try:
                return self._try()
            except Refused as refusal:
                if refusal.code != str(TOO_MANY_SHELLS) or time.monotonic() >= deadline:
                    raise
            time.sleep(QUOTA_PAUSE_S)

    def _try(self) -> _Open:
        wsman = self._connect()
        try:
            pool = RunspacePool(wsman, configuration_name=self._configuration, idle_timeout=IDLE_S)
            pool.open()
        except Exception as error:
            with suppress(Exception):
                wsman.close()
            raise transport_error(error, self._host, sent=False) from error
        return _Open(wsman, pool, time.monotonic())

    def _throw_away(self) -> None:
        """Drop connection and pool together: a pool does not survive its connection."""
        gone, self._open = self._open, None
        if gone is not None:
            with suppress(Exception):
                gone.wsman.close()


class _Cmdlet(PipelineCommand):
    """A command of a pipeline that may be written down twice.

    pypsrp copies each one deeply, twice per message, for what an lxml element among its values would need; ours have none, and
    the copies cost a third of what it takes to ask a host.
    """

    def __deepcopy__(self, memo: object) -> Self:
        """Return the same."""
        return self


def _add(shell: PowerShell, statement: Statement) -> None:
    shell.commands.append(_Cmdlet(statement.name, protocol_version=shell.runspace_pool.protocol_version or ""))
    for name, value in statement.parameters:
        shell.add_parameter(name, value)
    for value in statement.arguments:
        shell.add_argument(value)
    if statement.merged:
        shell.merge_error("output")
