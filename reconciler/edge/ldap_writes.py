"""Many modifications sent at once over an ldap3 connection, their answers taken as they come.

A controller waits for the next request most of the time where each is sent after the answer to the one before. RFC 4511,
section 3.1, lets a client send without waiting, and the server answer in any order; so only what does not build on each other
may be sent so.

The law: each modification gets its own answer or is told apart as one whose fate is not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ldap3.core.exceptions import LDAPException, LDAPSocketReceiveError

from reconciler.core.secret import Generated
from reconciler.core.steps import AttributeChange, ModifyEntry, Values
from reconciler.edge import ldap_ber as ber
from reconciler.edge.ldap_ber import Malformed, Result
from reconciler.edge.ldap_wire import Wire, drop

if TYPE_CHECKING:
    from ldap3 import Connection

_OPERATIONS = {"add": 0, "delete": 1, "replace": 2}


def modification(effect: ModifyEntry) -> bytes:
    """Return a ModifyRequest: RFC 4511, section 4.6."""
    changes = b"".join(map(_change, effect.changes))
    return ber.packed(ber.MODIFY, ber.packed(ber.OCTET_STRING, effect.dn.encode()) + ber.packed(ber.SEQUENCE, changes))


def modify_all(connection: Connection, effects: Sequence[ModifyEntry]) -> list[Result | LDAPException]:
    """Send all and return how each ended, in their order; where the connection broke before, its error.

    The connection is closed if it broke or was not read to its end.
    """
    wire = Wire(connection)
    numbers = [wire.next_number() for _ in effects]
    found: dict[int, Result] = {}
    broken: LDAPException | None = None
    buffer = bytearray()
    try:
        wire.send(b"".join(map(_message, numbers, effects)))
        waiting = set(numbers)
        while waiting:
            number, result = _next(wire, buffer, waiting)
            found[number] = result
            waiting.remove(number)
    except Malformed as error:
        broken = LDAPSocketReceiveError(f"the controller sent what is no answer to a modification: {error}")
    except LDAPException as error:
        broken = error
    except BaseException:
        drop(connection)
        raise
    if broken is not None or buffer:  # what nobody asked for can only be the notice that the server leaves
        drop(connection)
    return [found.get(number) or _lost(broken) for number in numbers]


def _message(number: int, effect: ModifyEntry) -> bytes:
    return ber.packed(ber.SEQUENCE, ber.packed_number(number) + modification(effect))


def _change(change: AttributeChange) -> bytes:
    values = ber.packed(ber.SET, b"".join(ber.packed(ber.OCTET_STRING, value) for value in raw(change.values)))
    attribute = ber.packed(ber.OCTET_STRING, change.attribute.encode()) + values
    operation = ber.packed(ber.ENUMERATED, bytes((_OPERATIONS[change.operation],)))
    return ber.packed(ber.SEQUENCE, operation + ber.packed(ber.SEQUENCE, attribute))


def _next(wire: Wire, buffer: bytearray, waiting: set[int]) -> tuple[int, Result]:
    """Wait for the next answer, take it out of the buffer, and return whose it is."""
    number, place, end = wire.message(buffer, 0, waiting)
    result = ber.result(bytes(buffer[:end]), place, end, ber.MODIFIED)
    del buffer[:end]
    return number, result


def _lost(broken: LDAPException | None) -> LDAPException:
    assert broken is not None
    return broken


def raw(values: Values) -> list[bytes]:
    """Return values as they are sent."""
    found = []
    for value in values:
        assert not isinstance(value, Generated)  # opened before; a reference is never sent in place of a password
        found.append(value if isinstance(value, bytes) else value.encode())
    return found
