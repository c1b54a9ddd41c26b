"""Keep one WSMan shell: a PSRP runspace pool, its pipelines, and who may still fetch what they produce."""

from __future__ import annotations

import asyncio
import base64
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import psrpcore
from psrpcore import types as ps

from reconciler.lab.winrm.builtin import VERSION
from reconciler.lab.winrm.pipeline import RunningPipeline
from reconciler.lab.winrm.send_queue import FRAGMENT, Delivery, SendQueue
from reconciler.lab.winrm.session import Session
from reconciler.lab.winrm.wire import from_wire


@dataclass(frozen=True, slots=True)
class ShellFacts:
    """What a shell is created with; ``session_id`` is the client's WSMan session."""

    id: str
    uri: str
    owner: str
    client_address: str
    session_id: str
    idle_timeout_s: float


class Shell:
    """One runspace pool of one user.

    Args:
        facts: How it was created.
        session: What its pipelines share.
        on_expiry: Called when nobody used it for the idle timeout.
    """

    def __init__(self, facts: ShellFacts, session: Session, on_expiry: Callable[[Shell], None]) -> None:
        self.id = facts.id
        self.facts = facts
        self.session = session
        self.session_id = facts.session_id
        self.idle_timeout_s = facts.idle_timeout_s
        self.state: Literal["Connected", "Disconnected"] = "Connected"
        self.pipelines: dict[str, RunningPipeline] = {}
        self.born = time.monotonic()
        self.last_used = self.born
        self._pool = _Pool(application_private_data=_private_data())
        self._queue = SendQueue()
        self._slots = asyncio.Semaphore(1)
        self._receiving = 0
        self._on_expiry = on_expiry
        self._expiry: asyncio.TimerHandle | None = None
        self.touch()

    # -- idle timeout

    def touch(self) -> None:
        """Note that the client used the shell."""
        self.last_used = time.monotonic()
        if self._expiry is not None:
            self._expiry.cancel()
        self._expiry = asyncio.get_running_loop().call_later(self.idle_timeout_s, self._expire)

    def _expire(self) -> None:
        if self._receiving:
            self.touch()
        else:
            self._on_expiry(self)

    # -- data from the client

    def new_pipeline(self, command_id: str) -> None:
        """Prepare for the fragments of a pipeline."""
        self.pipelines[command_id] = RunningPipeline(self._pool, command_id, self._flush)

    def feed(self, fragments: str, command_id: str | None = None) -> None:
        """Take base64 PSRP fragments for the pool or one pipeline.

        Raises:
            Exception: Whatever psrpcore says of malformed fragments.
        """
        target = uuid.UUID(command_id) if command_id else None
        payload = psrpcore.PSRPPayload(base64.b64decode(fragments), psrpcore.StreamType.default, target)
        self._pool.receive_data(payload)
        while (event := self._pool.next_event()) is not None:
            self._take(event)
        self._flush()

    def _take(self, event: Any) -> None:
        if isinstance(event, psrpcore.InitRunspacePoolEvent):
            self._slots = asyncio.Semaphore(max(1, self._pool.max_runspaces))
        elif isinstance(event, (psrpcore.CreatePipelineEvent, psrpcore.GetCommandMetadataEvent)):
            self._start(self.pipelines[_text(event.pipeline_id)], event.pipeline)
        elif isinstance(event, psrpcore.PipelineInputEvent):
            self.pipelines[_text(event.pipeline_id)].input.append(from_wire(event.data))
        elif isinstance(event, psrpcore.EndOfPipelineInputEvent):
            self.pipelines[_text(event.pipeline_id)].input_complete.set()
        else:
            self._answer_about_runspaces(event)

    def _start(self, pipeline: RunningPipeline, asked: Any) -> None:
        running = pipeline.run(self.session, asked, self._slots)
        pipeline.task = asyncio.get_running_loop().create_task(running)

    def _answer_about_runspaces(self, event: Any) -> None:
        if isinstance(event, (psrpcore.SetMaxRunspacesEvent, psrpcore.SetMinRunspacesEvent)):
            if isinstance(event, psrpcore.SetMaxRunspacesEvent):
                self._slots = asyncio.Semaphore(max(1, event.count))
            self._pool.runspace_availability_response(event.ci, True)
        elif isinstance(event, psrpcore.ResetRunspaceStateEvent):
            self.session.variables.clear()
            self._pool.runspace_availability_response(event.ci, True)
        elif isinstance(event, psrpcore.GetAvailableRunspacesEvent):
            busy = sum(one.task is not None and not one.task.done() for one in self.pipelines.values())
            self._pool.runspace_availability_response(event.ci, max(0, self._pool.max_runspaces - busy))

    # -- data to the client

    def queue(self, command_id: str | None) -> SendQueue | None:
        """Return the queue of the pool (None) or of a pipeline; None where there is no such pipeline."""
        if command_id is None:
            return self._queue
        pipeline = self.pipelines.get(command_id)
        return None if pipeline is None else pipeline.queue

    async def receive(self, queue: SendQueue, timeout_s: float, largest: int) -> Delivery | None:
        """Wait on a queue; a shell with a pending Receive is not idle."""
        self._receiving += 1
        try:
            return await queue.get(timeout_s, largest)
        finally:
            self._receiving -= 1
            self.touch()

    def _flush(self) -> None:
        while (payload := self._pool.data_to_send(FRAGMENT)) is not None:
            if payload.pipeline_id is None:
                self._queue.put(payload.data)
            elif (pipeline := self.pipelines.get(_text(payload.pipeline_id))) is not None:
                pipeline.queue.put(payload.data)

    # -- ends

    async def stop_pipeline(self, command_id: str) -> None:
        """Stop what a pipeline does; it stays until it is closed."""
        pipeline = self.pipelines.get(command_id)
        if pipeline is not None:
            await pipeline.stop()

    async def close_pipeline(self, command_id: str) -> None:
        """Stop and forget a pipeline."""
        pipeline = self.pipelines.pop(command_id, None)
        if pipeline is not None:
            await pipeline.stop()
            pipeline.queue.close()
            pipeline.protocol.close()

    def kill(self) -> None:
        """End the shell and all that runs in it."""
        if self._expiry is not None:
            self._expiry.cancel()
        for pipeline in self.pipelines.values():
            pipeline.abandon()
        self._queue.close()

    # -- disconnect, reconnect (same client), connect (another client)

    def disconnect(self, idle_timeout_s: float) -> None:
        self.idle_timeout_s = idle_timeout_s
        self.state = "Disconnected"
        self._pool.disconnect()
        self.touch()

    def reconnect(self) -> None:
        self.state = "Connected"
        self._pool._change_state(ps.RunspacePoolState.Opened, emit=False)

    def connect(self, fragments: str, session_id: str) -> str:
        """Hand the shell to another client; returns the PSRP answer as base64. What nobody fetched is lost."""
        self.session_id = session_id
        self._queue.clear()
        self._pool.connect()
        # psrpcore leaves this out here; pypsrp takes the protocol version from it.
        self._pool.prepare_message(self._pool.our_capability)
        self._pool.receive_data(psrpcore.PSRPPayload(base64.b64decode(fragments), psrpcore.StreamType.default, None))
        while self._pool.next_event() is not None:
            pass
        answer = b""
        while (payload := self._pool.data_to_send()) is not None:
            answer += payload.data
        self.state = "Connected"
        # The Opened state itself is the first thing that the pool's Receive gets.
        self._pool.prepare_message(ps.RunspacePoolStateMsg(RunspaceState=ps.RunspacePoolState.Opened.value))
        self._flush()
        return base64.b64encode(answer).decode("ascii")


def _text(pipeline_id: uuid.UUID | None) -> str:
    return str(pipeline_id).upper()


class _Pool(psrpcore.ServerRunspacePool):
    """psrpcore's pool for clients that spell the call id of a runspace limit CI, as pypsrp does; psrpcore wants ci."""

    def _process_SetMaxRunspaces(self, event: psrpcore.SetMaxRunspacesEvent) -> None:
        _spell_call_id(event)
        super()._process_SetMaxRunspaces(event)

    def _process_SetMinRunspaces(self, event: psrpcore.SetMinRunspacesEvent) -> None:
        _spell_call_id(event)
        super()._process_SetMinRunspaces(event)


def _spell_call_id(event: Any) -> None:
    message = event._ps_object
    if not hasattr(message, "ci"):
        ps.add_note_property(message, "ci", message.CI)


def _private_data() -> dict[str, Any]:
    table = {
        "PSVersion": ps.PSVersion(VERSION),
        "PSEdition": "Desktop",
        "CLRVersion": ps.PSVersion("4.0.30319.42000"),
        "BuildVersion": ps.PSVersion("10.0.17763.5830"),
        "WSManStackVersion": ps.PSVersion("3.0"),
        "PSRemotingProtocolVersion": ps.PSVersion("2.3"),
        "SerializationVersion": ps.PSVersion("1.1.0.1"),
    }
    return {"PSVersionTable": ps.PSPrimitiveDictionary(table)}
