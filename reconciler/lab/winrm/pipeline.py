"""Run one PSRP pipeline of a shell: from psrpcore's commands to the engine, and its results back into messages."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import psrpcore
from psrpcore import types as ps

from reconciler.lab.winrm.engine import Command, run
from reconciler.lab.winrm.errors import AUTOMATION, Failure
from reconciler.lab.winrm.send_queue import SendQueue
from reconciler.lab.winrm.session import Session
from reconciler.lab.winrm.wire import IterationInfo, Origin, error_record, from_wire, invocation_info, to_wire

log = logging.getLogger(__name__)

_ERROR_INFO, _WARNING_INFO, _VERBOSE_INFO = 1, 2, 8  # RemoteStreamOptions


class RunningPipeline:
    """One pipeline: its queue towards the client, its input and its task."""

    def __init__(self, pool: psrpcore.ServerRunspacePool, command_id: str, flush: Callable[[], None]) -> None:
        self.queue = SendQueue()
        self.protocol = psrpcore.ServerPipeline(pool, uuid.UUID(command_id))
        self.input: list[Any] = []
        self.input_complete = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self._flush = flush

    async def run(self, session: Session, asked: Any, slots: asyncio.Semaphore) -> None:
        """Run to the end, and announce how it ended.

        Args:
            session: The shell's session.
            asked: psrpcore's PowerShell or GetMetadata.
            slots: One per runspace of the pool.
        """
        try:
            async with slots:
                # Windows announces no Running state, psrpcore's start() would.
                self._change_state(ps.PSInvocationState.Running, announce=False)
                failure = await self._execute_safely(session, asked)
                if failure is None:
                    self.protocol.complete()
                else:
                    record = error_record(failure, None, with_origin=False)
                    self._change_state(ps.PSInvocationState.Failed, error=record)
        except asyncio.CancelledError:
            self._change_state(ps.PSInvocationState.Running, announce=False)
            self.protocol.stop()
        finally:
            self._flush()
            self.queue.complete()

    async def stop(self) -> None:
        """Cancel the pipeline and wait until it has said so."""
        if self.task is not None and not self.task.done():
            self.task.cancel()
            await asyncio.wait([self.task])

    def abandon(self) -> None:
        """Cancel the pipeline of a shell that is gone."""
        if self.task is not None:
            self.task.cancel()
        self.queue.close()

    async def _execute_safely(self, session: Session, asked: Any) -> Failure | None:
        try:
            return await self._execute(session, asked)
        except Exception as fault:  # a client must hear of the end, or it polls for ever
            log.exception("pipeline failed")
            message = f"simulator fault: {type(fault).__name__}: {fault}"
            return Failure(AUTOMATION + "RuntimeException", message, "SimulatorFault", "NotSpecified")

    async def _execute(self, session: Session, asked: Any) -> Failure | None:
        streams = PipelineStreams(self.protocol, int(getattr(asked, "remote_stream_options", 0)), self._flush)
        if isinstance(asked, psrpcore.GetMetadata):
            _describe_commands(session, asked, streams)
            return None
        piped = None
        if not asked.no_input:
            await self.input_complete.wait()
            piped = self.input
        return await run(session, statements_of(asked), piped, streams)

    def _change_state(
        self, state: ps.PSInvocationState, *, error: ps.ErrorRecord | None = None, announce: bool = True
    ) -> None:
        # psrpcore has neither a public fail() nor a quiet start().
        self.protocol._change_state(state, error=error, emit=announce)


class PipelineStreams:
    """The engine's streams, as messages of one pipeline."""

    def __init__(self, protocol: psrpcore.ServerPipeline, options: int, flush: Callable[[], None]) -> None:
        self._protocol = protocol
        self._options = options
        self._flush = flush

    def output(self, value: Any) -> None:
        self._protocol.write_output(to_wire(value))
        self._flush()

    def error(self, failure: Failure, origin: Origin | None) -> None:
        record = error_record(failure, origin, with_origin=bool(self._options & _ERROR_INFO))
        self._protocol.prepare_message(record, message_type=ps.PSRPMessageType.ErrorRecord)
        self._flush()

    def warning(self, text: str, origin: Origin) -> None:
        info = invocation_info(origin) if self._options & _WARNING_INFO else None
        self._protocol.write_warning(text, info, IterationInfo([0, 0]))
        self._flush()

    def verbose(self, text: str, origin: Origin) -> None:
        info = invocation_info(origin) if self._options & _VERBOSE_INFO else None
        self._protocol.write_verbose(text, info, IterationInfo([0, 0]))
        self._flush()


def statements_of(asked: psrpcore.PowerShell) -> list[list[Command]]:
    """Return psrpcore's flat command list as statements."""
    statements: list[list[Command]] = [[]]
    for command in asked.commands:
        statements[-1].append(_command(command))
        if command.end_of_statement:
            statements.append([])
    return [statement for statement in statements if statement]


def _command(command: psrpcore.Command) -> Command:
    to_output = ps.PipelineResultTypes.Output
    merges = command.merge_error == to_output or (
        command.merge_my == ps.PipelineResultTypes.Error and command.merge_to == to_output
    )
    return Command(
        name=str.__str__(command.command_text),
        parameters=[(None if name is None else str.__str__(name), from_wire(v)) for name, v in command.parameters],
        is_script=bool(command.is_script),
        merge_errors=merges,
        drop_errors=command.merge_error == ps.PipelineResultTypes.Null,
    )


def _describe_commands(session: Session, asked: psrpcore.GetMetadata, streams: PipelineStreams) -> None:
    names = [str.__str__(name).lower() for name in asked.name]
    found = [
        cmdlet for cmdlet in session.visible_cmdlets() if any(fnmatchcase(cmdlet.name.lower(), name) for name in names)
    ]
    streams.output(ps.CommandMetadataCount(Count=len(found)))
    for cmdlet in found:
        described = ps.PSCustomObject(
            Name=cmdlet.name,
            Namespace="",
            HelpUri="",
            CommandType=ps.CommandTypes.Cmdlet,
            ResolvedCommandName=None,
            OutputType=ps.PSList(),
            Parameters=ps.PSDict(),
        )
        streams.output(described)
