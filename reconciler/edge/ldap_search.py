"""Searches on an open LDAP connection: paged, whole attributes, raw bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ldap3
from ldap3.core.exceptions import LDAPAttributeError, LDAPInvalidDnError, LDAPInvalidFilterError, LDAPObjectClassError
from ldap3.protocol.microsoft import security_descriptor_control, show_deleted_control

from reconciler.core.errors import Refused
from reconciler.core.query import Row, Rows, Search
from reconciler.edge import ldap_errors

if TYPE_CHECKING:
    from ldap3 import Connection

PAGE = 1000
_PAGED_RESULTS = "1.2.840.113556.1.4.319"
_RANGE = re.compile(r"^(?P<name>[^;]+);range=(?P<first>\d+)-(?P<last>\d+|\*)$", re.IGNORECASE)
_SCOPES = {"base": ldap3.BASE, "one": ldap3.LEVEL, "subtree": ldap3.SUBTREE}

# Raised before anything is sent: the request itself is wrong.
MALFORMED = (LDAPInvalidFilterError, LDAPInvalidDnError, LDAPAttributeError, LDAPObjectClassError)


@dataclass(frozen=True, slots=True)
class NamingContexts:
    """Where a controller keeps what, from its root DSE."""

    default: str
    configuration: str

    def base_of(self, base: str) -> str:
        """Return the DN that a ``Search.base`` means."""
        if not base:
            return self.default
        if base.lower() == "rootdse":
            return ""
        if base.lower().startswith("config:"):
            below = base[len("config:") :].rstrip(",")
            return f"{below},{self.configuration}" if below else self.configuration
        return base


def search(connection: Connection, query: Search, base: str) -> Rows:
    """Run a search below the DN ``base`` and return all its rows.

    Raises:
        Refused: With the LDAP result name; not for a missing base where ``query.absent_ok``.
        LDAPException: The connection broke.
    """
    return tuple(_row(connection, query, entry) for entry in _entries(connection, query, base))


def _row(connection: Connection, query: Search, entry: Mapping[str, Any]) -> Row:
    dn = str(entry["dn"])
    values: dict[str, list[bytes]] = {}
    for name, raw in entry["raw_attributes"].items():
        # A long attribute comes twice: whole but empty, and as its first range.
        values.setdefault(_plain_name(name), []).extend(_whole(connection, query, dn, name, raw or []))
    return {"dn": dn, **{name: tuple(found) for name, found in values.items()}}


def _entries(connection: Connection, query: Search, base: str) -> Iterator[Mapping[str, Any]]:
    cookie: bytes | None = None
    while True:
        entries, cookie = _page(connection, query, base, cookie)
        yield from entries
        if not cookie:
            return


def _page(
    connection: Connection, query: Search, base: str, cookie: bytes | None
) -> tuple[list[Mapping[str, Any]], bytes | None]:
    paged = query.scope != "base"
    try:
        connection.search(
            base,
            query.where,
            search_scope=_SCOPES[query.scope],
            attributes=list(query.attributes) or ldap3.NO_ATTRIBUTES,
            controls=_controls(query),
            paged_size=PAGE if paged else None,
            paged_cookie=cookie,
        )
    except MALFORMED as error:
        raise Refused(
            f"the search is malformed: {error}", target=query.domain, where=query.where, code="malformed"
        ) from error
    result = connection.result
    if result["result"] == ldap_errors.NO_SUCH_OBJECT and query.absent_ok:
        return [], None
    if result["result"] != 0:
        raise ldap_errors.read_refused(query.domain, base, result)
    # Continuation references (searchResRef) point at other servers; they are never followed.
    entries = [entry for entry in connection.response or () if entry["type"] == "searchResEntry"]
    answered = (result.get("controls") or {}).get(_PAGED_RESULTS, {}) if paged else {}
    return entries, (answered.get("value") or {}).get("cookie") or None


def _controls(query: Search) -> list[Any] | None:
    controls = [*(sd_flags(query.sd_flags) or []), *([show_deleted_control(criticality=True)] if query.deleted else [])]
    return controls or None


def _whole(connection: Connection, query: Search, dn: str, name: str, values: list[bytes]) -> list[bytes]:
    """Fetch the rest of an attribute that came in part (`member;range=0-1499`)."""
    found = _RANGE.match(name)
    whole = list(values)
    while found is not None and found["last"] != "*":
        rest = Search(
            query.domain, dn, attributes=(f"{found['name']};range={int(found['last']) + 1}-*",), absent_ok=False
        )
        entries, _ = _page(connection, rest, dn, None)
        parts = ((key, part) for entry in entries for key, part in entry["raw_attributes"].items())
        name, part = next(((key, part) for key, part in parts if _plain_name(key) == found["name"].lower()), ("", []))
        whole += part or []
        found = _RANGE.match(name)
    return whole


def _plain_name(name: str) -> str:
    found = _RANGE.match(name)
    return (found["name"] if found else name).lower()


def sd_flags(flags: int) -> list[Any] | None:
    """Return the controls that ask for, or write, these parts of a security descriptor alone."""
    return security_descriptor_control(criticality=True, sdflags=flags) if flags else None
