"""Names are asked for where the state file says, and believed only as far as is safe."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Sequence

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from reconciler.core.errors import Unreachable
from reconciler.edge import resolve
from reconciler.edge.resolve import Names, is_address

ADDRESS = "127.0.35.4"
Records = dict[tuple[str, str], Sequence[str]]
SRV = "_ldap._tcp.dc._msdcs.source.lab."


class Nameserver:
    """Answers from a table over UDP; counts the questions."""

    def __init__(self, records: Records) -> None:
        self.questions: list[tuple[str, str]] = []
        self.silent = False
        self._records = records
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((ADDRESS, 0))
        self.port = int(self._socket.getsockname()[1])
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, sender = self._socket.recvfrom(4096)
            if not data:
                return
            query = dns.message.from_wire(data)
            question = query.question[0]
            name, kind = question.name.to_text(), question.rdtype.name
            self.questions.append((name, kind))
            if self.silent:
                continue
            answer = dns.message.make_response(query)
            answer.flags |= dns.flags.RA
            if found := self._records.get((name, kind)):
                answer.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *found))
            elif not any(known == name for known, _ in self._records):
                answer.set_rcode(dns.rcode.NXDOMAIN)
            self._socket.sendto(answer.to_wire(), sender)


@pytest.fixture
def serve() -> Iterator[Callable[[Records], Nameserver]]:
    started: list[Nameserver] = []

    def start(records: Records) -> Nameserver:
        started.append(Nameserver(records))
        return started[-1]

    yield start
    for one in started:
        one.close()


def names(server: Nameserver) -> Names:
    return Names((ADDRESS,), "source", server.port)


def test_controllers_come_by_priority_then_weight(serve: Callable[[Records], Nameserver]) -> None:
    records = ["1 0 389 dc3.source.lab.", "0 10 389 dc2.source.lab.", "0 100 389 DC1.source.lab."]
    server = serve({(SRV, "SRV"): records})
    assert names(server).controllers("source.lab") == ("dc1.source.lab", "dc2.source.lab", "dc3.source.lab")


def test_controllers_outside_the_domain_are_not_believed(serve: Callable[[Records], Nameserver]) -> None:
    server = serve({(SRV, "SRV"): ["0 0 389 evil.example.", "0 0 389 evilsource.lab.", "1 0 389 dc1.source.lab."]})
    assert names(server).controllers("source.lab") == ("dc1.source.lab",)
    only = serve({(SRV, "SRV"): ["0 0 389 evil.example."]})
    with pytest.raises(Unreachable, match=r"no controller inside source\.lab"):
        names(only).controllers("source.lab")


def test_addresses_are_asked_for_once(serve: Callable[[Records], Nameserver]) -> None:
    server = serve({("dc1.source.lab.", "A"): ["127.0.35.5", "127.0.35.6"]})
    asked = names(server)
    assert asked.addresses("DC1.source.lab.") == asked.addresses("dc1.source.lab")
    assert set(asked.addresses("dc1.source.lab")) == {"127.0.35.5", "127.0.35.6"}
    assert server.questions == [("dc1.source.lab.", "A")]
    asked.forget()
    asked.addresses("dc1.source.lab")
    assert len(server.questions) == 2


def test_ipv6_is_found_where_there_is_nothing_else(serve: Callable[[Records], Nameserver]) -> None:
    server = serve({("dc1.source.lab.", "AAAA"): ["::1"]})
    assert names(server).addresses("dc1.source.lab") == ("::1",)


def test_unknown_name_says_who_was_asked(serve: Callable[[Records], Nameserver]) -> None:
    with pytest.raises(Unreachable, match=f"{ADDRESS} cannot resolve none.source.lab") as raised:
        names(serve({})).addresses("none.source.lab")
    assert "nameservers" in raised.value.do and raised.value.target == "source"


def test_silent_nameservers_are_waited_for_once_and_not_by_every_query(
    serve: Callable[[Records], Nameserver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "LIFETIME_S", 0.3)
    server = serve({("dc1.source.lab.", "A"): ["127.0.35.5"]})
    server.silent = True
    asked = names(server)
    with pytest.raises(Unreachable):
        asked.addresses("dc1.source.lab")
    questions = len(server.questions)
    for name in ("dc1.source.lab", "dc2.source.lab"):
        with pytest.raises(Unreachable, match=f"cannot resolve {name}"):
            asked.addresses(name)
    with pytest.raises(Unreachable):
        asked.controllers("source.lab")
    assert len(server.questions) == questions


def test_nameservers_that_were_silent_are_asked_again_after_a_while(
    serve: Callable[[Records], Nameserver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "LIFETIME_S", 0.3)
    monkeypatch.setattr(resolve, "SILENT_S", 0.0)
    server = serve({("dc1.source.lab.", "A"): ["127.0.35.5"]})
    server.silent = True
    asked = names(server)
    with pytest.raises(Unreachable):
        asked.addresses("dc1.source.lab")
    server.silent = False
    assert asked.addresses("dc1.source.lab") == ("127.0.35.5",)


def test_unknown_name_does_not_silence_the_others(serve: Callable[[Records], Nameserver]) -> None:
    asked = names(serve({("dc1.source.lab.", "A"): ["127.0.35.5"]}))
    with pytest.raises(Unreachable):
        asked.addresses("none.source.lab")
    assert asked.addresses("dc1.source.lab") == ("127.0.35.5",)


def test_address_is_its_own_answer() -> None:
    assert Names(("127.0.35.7",)).addresses("127.0.35.5") == ("127.0.35.5",)
    assert is_address("::1") and not is_address("dc1.source.lab")


def test_system_is_asked_where_no_nameserver_is_given() -> None:
    assert "127.0.0.1" in Names().addresses("localhost")
