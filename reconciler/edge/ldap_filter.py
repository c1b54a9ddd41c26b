"""Filters written down as BER without ldap3, which takes longer for one with fifty names than a controller for the answer. Pure.

Only plain ones: and, or, not, presence, equality, greater or equal, less or equal. Every other kind is left to ldap3, and so is
whatever looks odd. Source: RFC 4515, and RFC 4511, section 4.5.1.7.
"""

from __future__ import annotations

import re

from reconciler.edge import ldap_ber as ber

_SETS = {"&": 0xA0, "|": 0xA1, "!": 0xA2}
_EQUAL, _PRESENT = 0xA3, 0x87
_COMPARISONS = {"=": _EQUAL, ">=": 0xA5, "<=": 0xA6}
_TOKEN = re.compile(
    r"\)|\((?:(?P<set>[&|!])|(?P<name>[A-Za-z][A-Za-z0-9-]*)(?P<how>=|>=|<=)(?P<value>\*|(?:[^()\\*\0]|\\[0-9A-Fa-f]{2})*)\))"
)
_ESCAPED = re.compile(rb"\\([0-9A-Fa-f]{2})")


def written(where: str) -> bytes | None:
    """Return a filter as it is sent; None where ldap3 has to read it."""
    outer: list[tuple[int, list[bytes]]] = [(0, [])]
    at = 0
    while at < len(where):
        token = _TOKEN.match(where, at)
        if token is None:
            return None
        at = token.end()
        if token["set"] is not None:
            outer.append((_SETS[token["set"]], []))
            continue
        if token["name"] is not None:
            found = _item(token["name"], token["how"], token["value"])
        elif len(outer) > 1:
            found = _set(*outer.pop())
        else:
            return None
        if found is None:
            return None
        outer[-1][1].append(found)
    ((_, parts), *open_ones) = outer
    return parts[0] if len(parts) == 1 and not open_ones else None


def _set(tag: int, parts: list[bytes]) -> bytes | None:
    wrong = len(parts) != 1 if tag == _SETS["!"] else not parts
    return None if wrong else ber.packed(tag, b"".join(parts))


def _item(name: str, how: str, value: str) -> bytes | None:
    if value == "*":
        return ber.packed(_PRESENT, name.encode()) if how == "=" else None
    if not value or value != value.strip():
        return None
    raw = _ESCAPED.sub(lambda found: bytes((int(found[1], 16),)), value.encode())
    return ber.packed(
        _COMPARISONS[how], ber.packed(ber.OCTET_STRING, name.encode()) + ber.packed(ber.OCTET_STRING, raw)
    )
