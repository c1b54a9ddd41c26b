"""The directories of the simulated world: entries in a dictionary, searched with real filters, changed by the real effects."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from reconciler.core.errors import Refused
from reconciler.core.query import Row, Rows, Search
from reconciler.core.secret import Generated
from reconciler.core.steps import AddEntry, AttributeChange, DeleteEntry, ModifyEntry
from reconciler.core.values import Dn, Sid

HEADS = {"source": "DC=source,DC=lab", "target": "DC=target,DC=lab"}
FOREIGN = "CN=ForeignSecurityPrincipals"

Values = tuple[bytes, ...]
Predicate = Callable[[Mapping[str, Values]], bool]
Entries = dict[tuple[str, str], "Entry"]
"""By domain and canonical DN."""


@dataclass(frozen=True)
class Entry:
    """One object; never changed in place, so that copies of the world share it."""

    dn: str
    pairs: tuple[tuple[str, Values], ...]

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.dn, self.pairs))

    @cached_property
    def attributes(self) -> dict[str, Values]:
        """By name in lower case."""
        return dict(self.pairs)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return an attribute as text."""
        return tuple(value.decode() for value in self.attributes.get(name, ()))

    def having(self, name: str, values: Values) -> Entry:
        """Return it with another value of one attribute; none takes it away."""
        kept = {**self.attributes, name: values}
        return Entry(self.dn, tuple(sorted((key, found) for key, found in kept.items() if found)))


def entry(dn: str, **attributes: str | bytes | Sid | tuple[str | bytes | Sid, ...]) -> Entry:
    """Return an entry from values as people write them."""
    made = Entry(dn, ())
    for name, value in attributes.items():
        made = made.having(name.lower(), tuple(map(_sent, value if isinstance(value, tuple) else (value,))))
    return made


def _sent(value: str | bytes | Sid | Generated) -> bytes:
    if isinstance(value, Sid):
        return value.to_bytes()
    if isinstance(value, Generated):
        return generated(value)
    return value if isinstance(value, bytes) else value.encode()


def generated(password: Generated) -> bytes:
    """Return what was made up for a reference."""
    return f"made up for {password.name}".encode()


@lru_cache(None)
def canonical(dn: str) -> str:
    """Return the spelling by which DNs are compared."""
    return Dn(dn).canonical()


def add(entries: Entries, domain: str, made: Entry) -> None:
    """Put an entry in."""
    entries[domain, canonical(made.dn)] = made


def search(entries: Entries, query: Search) -> Rows:
    """Answer as a controller would."""
    base = canonical(_base(query))
    if (query.domain, base) not in entries:
        if query.absent_ok:
            return ()
        raise Refused("no such object", target=query.domain, where=query.base, code="noSuchObject")
    accepts, wanted = compiled(query.where), [name.lower() for name in query.attributes]
    return tuple(
        _row(found, wanted)
        for (domain, dn), found in entries.items()
        if domain == query.domain and _within(dn, base, query.scope) and accepts(found.attributes)
    )


def _row(found: Entry, wanted: Iterable[str]) -> Row:
    return {"dn": found.dn, **{name: found.attributes[name] for name in wanted if name in found.attributes}}


def _base(query: Search) -> str:
    head = HEADS[query.domain]
    if query.base.startswith("config:"):
        return f"{query.base.removeprefix('config:')}CN=Configuration,{head}"
    return query.base or head


def _within(dn: str, base: str, scope: str) -> bool:
    if dn == base:
        return scope != "one"
    if scope == "base" or not dn.endswith("," + base):
        return False
    return scope == "subtree" or "," not in dn[: -len(base) - 1]


@lru_cache(None)
def compiled(text: str) -> Predicate:
    """Turn a filter into a predicate; and, or, not, presence, equality and beginnings are enough here."""
    found, rest = _parsed(text)
    assert rest == "", text
    return found


def _parsed(text: str) -> tuple[Predicate, str]:
    assert text[0] == "(", text
    if text[1] not in "&|!":
        inner, _, rest = text[1:].partition(")")
        name, _, value = inner.partition("=")
        return _equality(name.lower(), value), rest
    parts, rest = [], text[2:]
    while not rest.startswith(")"):
        part, rest = _parsed(rest)
        parts.append(part)
    return _joined(text[1], parts), rest[1:]


def _joined(sign: str, parts: list[Predicate]) -> Predicate:
    if sign == "!":
        return lambda attributes: not parts[0](attributes)
    every = all if sign == "&" else any
    return lambda attributes: every(part(attributes) for part in parts)


def _equality(name: str, value: str) -> Predicate:
    if value == "*":
        return lambda attributes: name in attributes
    if value.endswith("*"):
        beginning = value[:-1].encode().lower()
        return lambda attributes: any(found.lower().startswith(beginning) for found in attributes.get(name, ()))
    wanted = re.sub(rb"\\([0-9a-fA-F]{2})", lambda hit: bytes.fromhex(hit[1].decode()), value.encode()).lower()
    return lambda attributes: any(found.lower() == wanted for found in attributes.get(name, ()))


def add_entry(entries: Entries, effect: AddEntry, new_sid: Callable[[], Sid]) -> None:
    """Create an object."""
    if (effect.domain, canonical(effect.dn)) in entries:
        raise Refused("it exists", target=effect.domain, where=effect.dn, code="entryAlreadyExists")
    given = {name: tuple(_sent(value) for value in values) for name, values in effect.attributes}
    made = entry(effect.dn, objectSid=new_sid())
    for name, values in given.items():
        made = made.having("secret" if name == "unicodePwd" else name.lower(), values)
    if "user" in made.texts("objectclass"):  # a directory adds these itself
        made = made.having("objectcategory", (b"person",)).having("pwdlastset", (b"7",))
    add(entries, effect.domain, made)


def delete_entry(entries: Entries, effect: DeleteEntry) -> None:
    """Delete an object; it disappears from the groups that it was in."""
    gone = _existing(entries, effect.domain, effect.dn)
    del entries[effect.domain, canonical(gone.dn)]


def modify_entry(entries: Entries, effect: ModifyEntry) -> None:
    """Change attributes, all or none."""
    found = _existing(entries, effect.domain, effect.dn)
    for change in effect.changes:
        found = _changed(entries, effect, found, change)
    add(entries, effect.domain, found)


def _changed(entries: Entries, effect: ModifyEntry, found: Entry, change: AttributeChange) -> Entry:
    name = change.attribute.lower()
    values = tuple(_value(entries, effect.domain, name, value) for value in change.values)
    before = found.attributes.get(name, ())
    if name == "pwdlastset":
        values = tuple(b"7" if value == b"-1" else value for value in values)  # -1 means now
    if change.operation == "replace":
        return found.having(name, values)
    if change.operation == "add":
        if set(map(bytes.lower, values)) & set(map(bytes.lower, before)):
            raise Refused("it has that value", target=effect.domain, where=effect.dn, code="attributeOrValueExists")
        return found.having(name, before + values)
    gone = {value.lower() for value in values}
    if not gone <= set(map(bytes.lower, before)):
        raise Refused("it lacks that value", target=effect.domain, where=effect.dn, code="noSuchAttribute")
    return found.having(name, tuple(value for value in before if value.lower() not in gone))


def _value(entries: Entries, domain: str, attribute: str, value: str | bytes | Generated) -> bytes:
    """Turn ``<SID=...>`` into the DN that stands for it, made anew for a principal of elsewhere."""
    if not isinstance(value, str) or attribute != "member" or not value.startswith("<SID="):
        return _sent(value)
    sid = Sid(value[5:-1])
    for (where, _), found in entries.items():
        # What lies in the configuration cannot be a member of a domain's group; its foreign twin can.
        if (
            where == domain
            and sid.to_bytes() in found.attributes.get("objectsid", ())
            and "CN=Configuration" not in found.dn
        ):
            return found.dn.encode()
    made = entry(f"CN={sid},{FOREIGN},{HEADS[domain]}", objectSid=sid, objectClass="foreignSecurityPrincipal")
    add(entries, domain, made)
    return made.dn.encode()


def _existing(entries: Entries, domain: str, dn: str) -> Entry:
    found = entries.get((domain, canonical(dn)))
    if found is None:
        raise Refused("no such object", target=domain, where=dn, code="noSuchObject")
    return found
