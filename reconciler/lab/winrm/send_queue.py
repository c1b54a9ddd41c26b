"""Hold what one Receive target (a pool or a pipeline) still has to send, and hand it out as long polls."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from dataclasses import dataclass

FRAGMENT = 32768


class QueueClosed(Exception):
    """Nothing will ever come again; a client that is not told so polls for ever."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one Receive returns: base64 chunks, and whether they were the last."""

    chunks: tuple[str, ...]
    done: bool


class SendQueue:
    """PSRP fragments on their way out."""

    def __init__(self) -> None:
        self._items: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._complete = False
        self._closed = False
        self._delivered_last = False
        self.answered: tuple[str, str] | None = None  # MessageID and answer of the last Receive, for its repetition

    def put(self, data: bytes) -> None:
        """Append a fragment; small ones share a chunk."""
        if self._items and len(self._items[-1]) + len(data) <= FRAGMENT:
            self._items[-1] += data
        else:
            self._items.append(data)
        self._changed.set()

    def complete(self) -> None:
        """Say that nothing follows what is in the queue."""
        self._complete = True
        self._changed.set()

    def close(self) -> None:
        """End every Receive, now and later."""
        self._closed = True
        self._changed.set()

    def clear(self) -> None:
        """Forget what was not fetched."""
        self._items.clear()

    async def get(self, timeout_s: float, largest: int) -> Delivery | None:
        """Wait for something to send.

        Args:
            timeout_s: How long.
            largest: Bytes before base64 that fit one answer; one chunk is sent in any case.

        Returns:
            The delivery; None where nothing came in time.

        Raises:
            QueueClosed: The target is gone, or its last delivery was fetched already.
        """
        if not (self._items or self._complete or self._closed):
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), timeout_s)
            except TimeoutError:
                return None
        if self._closed or self._delivered_last:
            raise QueueClosed
        chunks: list[str] = []
        size = 0
        while self._items and (not chunks or size + len(self._items[0]) <= largest):
            data = self._items.popleft()
            size += len(data)
            chunks.append(base64.b64encode(data).decode("ascii"))
        self._delivered_last = self._complete and not self._items
        return Delivery(tuple(chunks), self._delivered_last)
