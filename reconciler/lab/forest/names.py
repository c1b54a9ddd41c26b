"""Lets each controller's DNS resolve the other forest's zone, and nothing else: the lab asks no server outside."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

PORT = 5399
REFUSED = 5
ANSWER_SECONDS = 3.0
DNS_PORT = 53


class Dispatcher(asyncio.DatagramProtocol):
    """Passes a question on to the controller of its zone. Two controllers that forward to each other would loop."""

    def __init__(self, zones: Mapping[str, str]) -> None:
        self._zones = dict(zones)  # zone -> address
        self._transport: asyncio.DatagramTransport | None = None
        self._answering: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # by its type only since Python 3.12

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(data, addr))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, query: bytes, client: tuple[str, int]) -> None:
        name = question_name(query)
        address = next(
            (address for zone, address in self._zones.items() if name == zone or name.endswith("." + zone)), None
        )
        answer = await _relay(query, address) if address is not None else None
        if self._transport is not None and len(query) >= 12:
            self._transport.sendto(answer or refusal(query), client)


def question_name(query: bytes) -> str:
    """Return the lower-case name asked for, '' where it cannot be read."""
    labels: list[str] = []
    place = 12
    while place < len(query) and (length := query[place]):
        if length > 63:
            return ""
        labels.append(query[place + 1 : place + 1 + length].decode("ascii", "replace").lower())
        place += 1 + length
    return ".".join(labels)


def refusal(query: bytes) -> bytes:
    """Return the answer REFUSED to a query."""
    return query[:2] + bytes([query[2] | 0x80, REFUSED]) + query[4:6] + bytes(6) + query[12:]


async def _relay(query: bytes, address: str) -> bytes | None:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    class Once(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            if not answer.done():
                answer.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(Once, remote_addr=(address, DNS_PORT))
    try:
        transport.sendto(query)
        return await asyncio.wait_for(answer, ANSWER_SECONDS)
    except TimeoutError:
        return None
    finally:
        transport.close()
