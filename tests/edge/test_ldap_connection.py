"""LDAP against a server made for the test: who is let near the password, and what is followed."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
from ldap3.protocol.rfc4511 import LDAPMessage
from pyasn1.codec.ber import decoder  # type: ignore[import-untyped]
from pydantic import SecretStr

from reconciler.core.errors import AuthenticationFailed, Refused, Stale, UnexpectedAnswer, Unreachable
from reconciler.core.query import Search
from reconciler.core.steps import AttributeChange, DeleteEntry, ModifyEntry
from reconciler.edge.accounts import Account
from reconciler.edge.directory import Directory
from reconciler.edge.ldap_ahead import UNDER_WAY
from reconciler.edge.ldap_connection import Door, connect
from reconciler.edge.ldap_lines import Lines

ADDRESS, NAME = "127.0.35.2", "dc1.source.lab"
ACCOUNT = Account("source-admin", "Administrator@SOURCE.LAB", SecretStr("Pa:ss wörd"))


class FakeController:
    """Speaks just enough LDAP: answers each request by what a script says, and keeps what it was sent."""

    def __init__(
        self, context: ssl.SSLContext | None, *, starttls: bool = False, port: int = 0, place: str = ADDRESS
    ) -> None:
        self.seen: list[Any] = []
        self.received = 0
        self.answers: dict[str, Callable[[Any], list[bytes] | None]] = {}
        self._context, self._starttls = context, starttls
        self._listener = socket.create_server((place, port))
        self._threads = [threading.Thread(target=self._accept)]
        self._open: list[socket.socket] = []
        self._threads[0].start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def drop_connections(self) -> None:
        for one in self._open:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(one, socket.SHUT_RDWR)  # an SSLSocket would go on in clear text

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(plain,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, plain: socket.socket) -> None:
        lines = [plain]
        with contextlib.suppress(OSError, ValueError):
            if self._context is not None and not self._starttls:
                lines.append(self._context.wrap_socket(plain, server_side=True))
            self._talk(lines)
        for line in lines:
            line.close()

    def _talk(self, lines: list[socket.socket]) -> None:
        line, waiting = lines[-1], b""
        self._open.append(line)
        while data := line.recv(65536):
            self.received += len(data)
            waiting += data
            while waiting:
                message, waiting = decoder.decode(waiting, asn1Spec=LDAPMessage())
                number, kind = int(message["messageID"]), message["protocolOp"].getName()
                self.seen.append(message["protocolOp"][kind])
                answers = self._answer(kind, self.seen[-1])
                if answers is None:
                    return
                line.sendall(b"".join(_envelope(number, answer) for answer in answers))
                if kind == "extendedReq" and self._context is not None:
                    line = self._context.wrap_socket(line, server_side=True)
                    lines.append(line)
                    self._open.append(line)

    def _answer(self, kind: str, request: Any) -> list[bytes] | None:
        if kind in self.answers:
            return self.answers[kind](request)
        if kind == "bindRequest":
            return [result(0x61, 0)]
        if kind == "extendedReq":
            return [result(0x78, 0)]
        if kind == "searchRequest" and str(request["baseObject"]) == "":
            return [entry("", ROOT), result(0x65, 0)]
        if kind == "searchRequest":
            return [result(0x65, 0)]
        return None


ROOT = {
    "defaultNamingContext": [b"DC=source,DC=lab"],
    "configurationNamingContext": [b"CN=Configuration,DC=source,DC=lab"],
}


def tlv(tag: int, content: bytes) -> bytes:
    length = bytes([len(content)]) if len(content) < 128 else b"\x82" + len(content).to_bytes(2, "big")
    return bytes([tag]) + length + content


def result(tag: int, code: int, message: str = "", referral: str = "") -> bytes:
    extra = tlv(0xA3, tlv(0x04, referral.encode())) if referral else b""
    return tlv(tag, tlv(0x0A, bytes([code])) + tlv(0x04, b"") + tlv(0x04, message.encode()) + extra)


def entry(dn: str, attributes: dict[str, list[bytes]]) -> bytes:
    pairs = b"".join(
        tlv(0x30, tlv(0x04, name.encode()) + tlv(0x31, b"".join(tlv(0x04, value) for value in values)))
        for name, values in attributes.items()
    )
    return tlv(0x64, tlv(0x04, dn.encode()) + tlv(0x30, pairs))


def _envelope(number: int, operation: bytes) -> bytes:
    return tlv(0x30, tlv(0x02, bytes([number >> 16 & 127, number >> 8 & 255, number & 255])) + operation)


Start = Callable[..., FakeController]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[FakeController] = []

    def make(*args: Any, **kwargs: Any) -> FakeController:
        started.append(FakeController(*args, **kwargs))
        return started[-1]

    yield make
    for one in started:
        one.close()


def door(
    server: FakeController, ca: Path | None, name: str = NAME, transport: Literal["ldaps", "starttls"] = "ldaps"
) -> Door:
    return Door("source", name, ADDRESS, ca, transport=transport, port=server.port)


def directory(*doors: Door | Unreachable) -> Directory:
    return Directory(Lines("source", "source.lab", lambda: iter(doors), lambda: ACCOUNT))


@pytest.mark.parametrize("transport", ["ldaps", "starttls"])
def test_certificate_for_the_name_is_accepted(pki: Any, start: Start, transport: Literal["ldaps", "starttls"]) -> None:
    server = start(pki.issue(NAME).context(), starttls=transport == "starttls")
    connection = connect(door(server, pki.ca, transport=transport), ACCOUNT)
    assert connection.bound
    assert connection.socket.version() in ("TLSv1.2", "TLSv1.3")
    assert connection.password is None
    plain = socket.socket(fileno=os.dup(connection.socket.fileno()))
    with plain:  # or the request after the handshake waits for an acknowledgement that is put off
        assert plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    connection.unbind()


def test_listed_address_needs_a_certificate_for_that_address(pki: Any, start: Start) -> None:
    server = start(pki.issue(ADDRESS).context())
    connect(door(server, pki.ca, name=ADDRESS), ACCOUNT).unbind()


@pytest.mark.parametrize("transport", ["ldaps", "starttls"])
@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"names": ("other.source.lab",)}, "mismatch"),
        ({"names": (ADDRESS,)}, "mismatch"),  # a forged DNS answer could lead to any host with a certificate
        ({"names": (NAME,), "self_signed": True}, "self-signed"),
        ({"names": (NAME,), "valid_for": timedelta(days=-1)}, "expired"),
    ],
)
def test_wrong_certificate_gets_no_password(
    pki: Any, start: Start, wrong: dict[str, Any], why: str, transport: Literal["ldaps", "starttls"]
) -> None:
    files = pki.issue(*wrong["names"], **{name: value for name, value in wrong.items() if name != "names"})
    server = start(files.context(), starttls=transport == "starttls")
    with pytest.raises(Unreachable, match=r"certificate of dc1\.source\.lab is not accepted") as raised:
        connect(door(server, pki.ca, transport=transport), ACCOUNT)
    assert why in raised.value.what.lower()
    assert not raised.value.sent
    assert not any("simple" in str(one) for one in server.seen)


def test_certificate_of_an_unknown_authority_is_refused(pki: Any, start: Start) -> None:
    server = start(pki.issue(NAME).context())
    with pytest.raises(Unreachable, match="not accepted"):
        connect(door(server, None), ACCOUNT)


def test_old_tls_is_refused(pki: Any, start: Start) -> None:
    context = pki.issue(NAME).context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises(Unreachable):
        connect(door(start(context), pki.ca), ACCOUNT)


def test_no_password_where_starttls_is_refused(pki: Any, start: Start) -> None:
    server = start(None)
    server.answers["extendedReq"] = lambda request: [result(0x78, 2, "no TLS here")]
    with pytest.raises(Unreachable):
        connect(door(server, pki.ca, transport="starttls"), ACCOUNT)
    assert len(server.seen) == 1


def test_referral_is_not_followed(pki: Any, start: Start) -> None:
    second = start(None)
    server = start(pki.issue(NAME).context())
    url = f"ldap://{ADDRESS}:{second.port}/DC=source,DC=lab"
    refer = [result(0x65, 10, referral=url)]
    server.answers["searchRequest"] = lambda request: (
        [entry("", ROOT), result(0x65, 0)] if not str(request["baseObject"]) else refer
    )
    server.answers["delRequest"] = lambda request: [result(0x6B, 10, referral=url)]
    opened = directory(door(server, pki.ca))
    with pytest.raises(Refused) as raised:
        opened.search(Search("source", "", scope="subtree"))
    assert raised.value.code == "referral"
    with pytest.raises(Refused):
        opened.write(DeleteEntry("source", "CN=x,DC=source,DC=lab"))
    opened.close()
    assert second.received == 0


def test_continuation_references_are_left_out(pki: Any, start: Start) -> None:
    server = start(pki.issue(NAME).context())
    reference = tlv(0x73, tlv(0x04, b"ldap://127.0.35.9/DC=x"))
    found = [entry("CN=a,DC=source,DC=lab", {"cn": [b"a"]}), reference, result(0x65, 0)]
    server.answers["searchRequest"] = lambda request: (
        [entry("", ROOT), result(0x65, 0)] if not str(request["baseObject"]) else found
    )
    opened = directory(door(server, pki.ca))
    rows = opened.search(Search("source", "", attributes=("cn",), scope="subtree"))
    opened.close()
    assert rows == ({"dn": "CN=a,DC=source,DC=lab", "cn": (b"a",)},)


def test_long_attribute_is_fetched_to_its_end(pki: Any, start: Start) -> None:
    server = start(pki.issue(NAME).context())
    parts = {
        "member": {"member": [], "member;range=0-1": [b"a", b"b"]},
        "member;range=2-*": {"member;range=2-3": [b"c", b"\xff"]},
        "member;range=4-*": {"member;range=4-*": [b"e"]},
    }

    def answer(request: Any) -> list[bytes]:
        if not str(request["baseObject"]):
            return [entry("", ROOT), result(0x65, 0)]
        return [entry("CN=g,DC=source,DC=lab", parts[str(request["attributes"][0])]), result(0x65, 0)]

    server.answers["searchRequest"] = answer
    opened = directory(door(server, pki.ca))
    (row,) = opened.search(Search("source", "CN=g,DC=source,DC=lab", attributes=("member",)))
    opened.close()
    assert row["member"] == (b"a", b"b", b"c", b"\xff", b"e")


@pytest.mark.parametrize(("data", "words"), [("52e", "wrong"), ("773", "must be changed"), ("775", "locked out")])
def test_refused_credential_is_named_in_words(pki: Any, start: Start, data: str, words: str) -> None:
    server = start(pki.issue(NAME).context())
    text = f"80090308: LdapErr: DSID-0C09041C, comment: AcceptSecurityContext error, data {data}, v4563\0"
    server.answers["bindRequest"] = lambda request: [result(0x61, 49, text)]
    with pytest.raises(AuthenticationFailed, match=words) as raised:
        directory(door(server, pki.ca)).search(Search("source", "rootdse"))
    assert "wörd" not in str(raised.value)
    assert len(server.seen) == 1  # not tried again: that would lock the account


def test_next_controller_is_tried_when_one_is_down(pki: Any, start: Start) -> None:
    server = start(pki.issue(NAME).context())
    down = Door("source", "dc0.source.lab", "127.0.35.3", pki.ca, port=server.port)
    opened = directory(Unreachable("no DNS"), down, door(server, pki.ca))
    assert len(opened.search(Search("source", "rootdse"))) == 1
    opened.close()


def test_all_reasons_are_given_when_no_controller_answers(pki: Any) -> None:
    doors = [Door("source", f"dc{i}.source.lab", "127.0.35.3", pki.ca, port=1) for i in (1, 2)]
    with pytest.raises(Unreachable, match=r"no controller of source\.lab") as raised:
        directory(*doors).search(Search("source", "rootdse"))
    assert "dc1.source.lab" in raised.value.do and "dc2.source.lab" in raised.value.do


def test_controller_of_another_domain_is_refused(pki: Any, start: Start) -> None:
    server = start(pki.issue(NAME).context())
    opened = Directory(Lines("source", "other.lab", lambda: iter([door(server, pki.ca)]), lambda: ACCOUNT))
    with pytest.raises(UnexpectedAnswer, match=r"is not other\.lab"):
        opened.search(Search("source", ""))


def test_read_survives_a_lost_connection(pki: Any, start: Start) -> None:
    server = start(pki.issue(NAME).context())
    opened = directory(door(server, pki.ca))
    opened.search(Search("source", "rootdse"))
    server.drop_connections()
    assert len(opened.search(Search("source", "rootdse"))) == 1
    opened.close()


def named(count: int) -> list[Search]:
    return [
        Search("source", "", f"(sAMAccountName=n{number})", ("cn",), "subtree", few=True) for number in range(count)
    ]


def test_searches_under_way_at_once_share_a_connection_and_give_it_back(pki: Any, start: Start) -> None:
    server = start(pki.issue(NAME).context())
    server.answers["searchRequest"] = lambda request: (
        [entry("CN=x,DC=source,DC=lab" if str(request["baseObject"]) else "", ROOT), result(0x65, 0)]
    )
    opened = directory(door(server, pki.ca))
    assert sorted(place for place, _ in opened.search_ahead(named(9))) == list(range(9))
    (idle,) = opened._lines._idle
    assert len(opened.search(Search("source", ""))) == 1
    assert opened._lines._idle == [idle]
    opened.close()


def test_what_is_lost_with_the_connection_is_left_out_and_the_next_search_has_another(pki: Any, start: Start) -> None:
    server = start(pki.issue(NAME).context())
    first_after = f"n{UNDER_WAY}"  # is sent when the first was answered
    server.answers["searchRequest"] = lambda request: (
        None if first_after in str(request["filter"]) else [entry("", ROOT), result(0x65, 0)]
    )
    opened = directory(door(server, pki.ca))
    found = [place for place, _ in opened.search_ahead(named(9))]
    # Who resets a connection may take back what was not yet read of it.
    assert found == list(range(len(found))) and 1 <= len(found) <= UNDER_WAY
    assert not opened._lines._idle
    assert len(opened.search(Search("source", ""))) == 1
    opened.close()


def test_who_stops_reading_what_is_under_way_leaves_no_connection_to_others(pki: Any, start: Start) -> None:
    server = start(pki.issue(NAME).context())
    opened = directory(door(server, pki.ca))
    found = opened.search_ahead(named(9))
    assert next(found)[0] == 0
    found.close()
    assert not opened._lines._idle
    opened.close()


def test_write_whose_answer_is_lost_is_not_repeated(pki: Any, start: Start) -> None:
    server = start(pki.issue(NAME).context())
    server.answers["delRequest"] = lambda request: None
    opened = directory(door(server, pki.ca))
    with pytest.raises(Unreachable) as raised:
        opened.write(DeleteEntry("source", "CN=x,DC=source,DC=lab"))
    opened.close()
    assert raised.value.sent
    assert len([one for one in server.seen if "CN=x" in str(one)]) == 1


def changes_of(*names: str) -> list[ModifyEntry]:
    change = AttributeChange("info", "add", ("x",))
    return [ModifyEntry("source", f"CN={name},DC=source,DC=lab", (change,)) for name in names]


def test_of_changes_sent_at_once_those_without_an_answer_are_of_unknown_fate_and_not_repeated(
    pki: Any, start: Start
) -> None:
    server = start(pki.issue(NAME).context())
    server.answers["modifyRequest"] = lambda request: None if "CN=b" in str(request) else [result(0x67, 0)]
    opened = directory(door(server, pki.ca))
    made, *lost = opened.modify_all(changes_of("a", "b", "c"))
    opened.close()
    assert made is None
    assert [isinstance(one, Unreachable) and one.sent for one in lost] == [True, True]
    assert len([one for one in server.seen if "CN=b" in str(one)]) == 1


def test_over_a_connection_that_was_closed_nothing_is_sent_and_it_is_said_so(pki: Any, start: Start) -> None:
    server = start(pki.issue(NAME).context())
    opened = directory(door(server, pki.ca))
    opened.search(Search("source", "rootdse"))
    opened._lines._idle[-1].connection.strategy.close()
    with pytest.raises(Unreachable) as raised:
        opened.modify_all(changes_of("a"))
    assert not raised.value.sent
    server.answers["modifyRequest"] = lambda request: [result(0x67, 0)]
    assert opened.modify_all(changes_of("a")) == [None]
    opened.close()


def test_failed_compare_and_set_is_stale(pki: Any, start: Start) -> None:
    server = start(pki.issue(NAME).context())
    server.answers["modifyRequest"] = lambda request: [result(0x67, 16, "00000057: no such value")]
    opened = directory(door(server, pki.ca))
    changes = (AttributeChange("trustAttributes", "delete", ("4",)), AttributeChange("trustAttributes", "add", ("64",)))
    with pytest.raises(Stale) as raised:
        opened.write(ModifyEntry("source", "CN=t,DC=source,DC=lab", changes))
    opened.close()
    assert raised.value.code == "noSuchAttribute"
    (sent,) = [one["changes"] for one in server.seen if "changes" in getattr(one, "keys", tuple)()]
    assert [int(change["operation"]) for change in sent] == [1, 0]


def test_missing_base_gives_no_rows_where_that_is_said_to_be_fine(pki: Any, start: Start) -> None:
    server = start(pki.issue(NAME).context())
    server.answers["searchRequest"] = lambda request: (
        [entry("", ROOT), result(0x65, 0)] if not str(request["baseObject"]) else [result(0x65, 32)]
    )
    opened = directory(door(server, pki.ca))
    assert opened.search(Search("source", "CN=none,DC=source,DC=lab")) == ()
    with pytest.raises(Refused) as raised:
        opened.search(Search("source", "CN=none,DC=source,DC=lab", absent_ok=False))
    assert raised.value.code == "noSuchObject"
    with pytest.raises(Refused) as raised:
        opened.search(Search("source", "", where="((("))
    assert raised.value.code == "malformed"
    opened.close()
