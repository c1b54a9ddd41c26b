"""The lab's control socket: one JSON line asks, one answers with ``done`` or ``error``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from reconciler.lab.settings import LabError

LONGEST_LINE = 4 * 1024 * 1024

Operation = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Takes the request's arguments, returns JSON-ready facts; raises LabError with a sentence for a person."""

log = logging.getLogger(__name__)


class ControlSocket:
    """Serves a dictionary of operations; others may add theirs at any time."""

    def __init__(self, path: Path, operations: dict[str, Operation]) -> None:
        self._path = path
        self._operations = operations
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; the directory above is private, so only its owner can connect."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=LONGEST_LINE)
        self._path.chmod(0o600)

    async def close(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            line = await reader.readline()
            if line:
                writer.write((json.dumps(await self._answer(line)) + "\n").encode())
                await writer.drain()
        writer.close()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            name, arguments = request["operation"], request.get("arguments", {})
        except (ValueError, KeyError, TypeError):
            return {"error": "the request is not a JSON object with an `operation`"}
        operation = self._operations.get(name)
        if operation is None:
            return {"error": f"no such operation: {name}; there are {', '.join(sorted(self._operations))}"}
        try:
            return {"done": await operation(arguments)}
        except LabError as error:
            return {"error": str(error)}
        except Exception as error:
            log.exception("operation failed", extra={"operation": name})
            return {"error": f"{name}: {type(error).__name__}: {error}"}


def ask(path: Path, operation: str, arguments: dict[str, Any] | None = None, *, timeout_s: float = 60.0) -> Any:
    """Have a running lab do something, and wait for it.

    Raises:
        LabError: It said no, or it is not there.
    """
    request = json.dumps({"operation": operation, "arguments": arguments or {}}) + "\n"
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            connection.connect(str(path))
            connection.sendall(request.encode())
            with connection.makefile("rb") as answers:
                line = answers.readline()
    except OSError as error:
        raise LabError(f"the lab's control socket {path} does not answer: {error}") from None
    if not line:
        raise LabError(f"the lab ended while it was asked to {operation}")
    answer = json.loads(line)
    if "error" in answer:
        raise LabError(answer["error"])
    return answer["done"]
