"""Answers of two small directories, as rows, for the cases of the ad.* kinds."""

from __future__ import annotations

from reconciler.core.query import Row, Rows
from reconciler.core.resource import Difference, Resource, differences
from reconciler.core.steps import Step
from reconciler.core.values import Sid

SOURCE_SID, TARGET_SID = Sid("S-1-5-21-1-2-3"), Sid("S-1-5-21-4-5-6")
SOURCE_DN, TARGET_DN = "DC=source,DC=lab", "DC=target,DC=lab"

Value = str | int | bytes | Sid


def entry(dn: str, **attributes: Value | tuple[Value, ...] | list[Value]) -> Row:
    """Return a search row: names in lower case, values as a directory sends them."""
    found: dict[str, object] = {"dn": dn}
    for name, value in attributes.items():
        values = value if isinstance(value, tuple | list) else (value,)
        found[name.lower()] = tuple(_sent(item) for item in values)
    return found


def _sent(value: Value) -> bytes:
    if isinstance(value, Sid):
        return value.to_bytes()
    return value if isinstance(value, bytes) else str(value).encode()


def head(domain: str, **more: Value) -> Rows:
    """Return the head of a domain."""
    dn, sid = (SOURCE_DN, SOURCE_SID) if domain == "source" else (TARGET_DN, TARGET_SID)
    return (entry(dn, objectSid=sid, **more),)


def crossrefs(domain: str) -> Rows:
    """Return the domains of a forest."""
    dn = SOURCE_DN if domain == "source" else TARGET_DN
    name = domain.upper()
    return (
        entry(f"CN={name},CN=Partitions,CN=Configuration,{dn}", nCName=dn, nETBIOSName=name, dnsRoot=f"{domain}.lab"),
    )


def rid(domain: str, number: int) -> Sid:
    """Return a SID of a domain."""
    return Sid(f"{SOURCE_SID if domain == 'source' else TARGET_SID}-{number}")


def settle(wanted: Resource, *answers: Rows) -> tuple[tuple[Difference, ...], tuple[Step, ...]]:
    """Return the differences, and the steps where there are any."""
    assert len(answers) == len(wanted.queries())
    observed = wanted.parse(*answers)
    found = differences(wanted, observed)
    return found, wanted.steps(observed, frozenset(item.field for item in found)) if found else ()


def fields(found: tuple[Difference, ...]) -> dict[str, tuple[object, object]]:
    """Return differences as field -> (observed, wanted)."""
    return {item.field: (item.observed, item.wanted) for item in found}
