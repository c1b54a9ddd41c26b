"""Accounts as they come from a directory: small records, read once, whose names are taken apart only where that is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import chain, repeat
from typing import Any, Literal, NamedTuple

from reconciler.core.errors import UnexpectedAnswer
from reconciler.core.query import Rows
from reconciler.core.table import Table
from reconciler.core.values import Dn, Sid, split_unescaped

FIRST_FREE_RID = 1000  # below it are built-in accounts; they cannot be migrated (MS-SAMR 2.2.1.14)
DISABLED, TRUST_ACCOUNT, CONTROLLER, READ_ONLY_CONTROLLER = 0x2, 0x800, 0x2000, 0x4000000  # MS-ADTS 2.2.16
NEVER = (0, 0x7FFFFFFFFFFFFFFF)  # accountExpires, MS-ADA1 2.1

Kind = Literal["user", "group", "computer", "service", "other"]

ATTRIBUTES = (
    "objectClass", "objectSid", "sAMAccountName", "userPrincipalName", "pwdLastSet", "isCriticalSystemObject",
    "sIDHistory", "userAccountControl", "accountExpires", "lockoutTime",
)  # fmt: skip

_SINGLE = (
    "objectsid", "samaccountname", "userprincipalname", "pwdlastset", "useraccountcontrol", "accountexpires", "lockouttime",
    "iscriticalsystemobject",
)  # fmt: skip
_SHORTEST_SID = 12
_SERVICES = {b"msds-groupmanagedserviceaccount", b"msds-managedserviceaccount", b"msds-delegatedmanagedserviceaccount"}


class Account(NamedTuple):
    """One account of either domain; an attribute that it does not have is empty or 0.

    Attributes:
        spelled: The DN as the directory gives it; decoded where it is needed, because a hundred thousand are kept.
        sid: As the directory gives it, binary; so are those in ``history``.
        values: Raw values of the further attributes that were asked for, in their order.
    """

    spelled: bytes
    sid: bytes
    sam: str
    upn: str = ""
    pwd_last_set: int = 0
    history: tuple[bytes, ...] = ()
    kind: Kind = "user"
    control: int = 0
    expires: int = 0
    locked: int = 0
    critical: bool = False
    values: tuple[tuple[bytes, ...], ...] = ()

    @property
    def dn(self) -> str:
        """The DN."""
        return self.spelled.decode()

    @property
    def rdn(self) -> str:
        """The first component of the DN, as escaped there."""
        return first_of(self.dn)

    @property
    def name(self) -> str:
        """The unescaped value of that."""
        return value_of(self.rdn)

    @property
    def rid(self) -> int:
        """The last part of the SID."""
        return int.from_bytes(self.sid[-4:], "little")

    @property
    def built_in(self) -> bool:
        """Whether it belongs to the system."""
        return self.critical or self.rid < FIRST_FREE_RID

    @property
    def disabled(self) -> bool:
        """Whether nobody can log on with it."""
        return bool(self.control & DISABLED)

    def sid_text(self) -> str:
        """The SID as people write it."""
        return f"{_domain_text(self.sid[:-4])}-{self.rid}"


def value_of(rdn: str) -> str:
    """Return the unescaped value of the first component of a DN."""
    return Dn(rdn).name if "\\" in rdn else rdn.partition("=")[2]


def first_of(dn: str) -> str:
    """Return the first component of a DN, as escaped there."""
    return split_unescaped(dn, ",")[0] if "\\" in dn else dn.partition(",")[0]


_ACCOUNT: Callable[[Iterable[Any]], Account] = partial(tuple.__new__, Account)
"""The fields of an account as one; a hundred thousand are made, and ``Account._make`` would count the fields of each."""


class _Numbers(dict[bytes | None, int]):
    """Numbers as they are written; most accounts have the same few, which are kept once."""

    def __missing__(self, written: bytes | None) -> int:
        """Read one that is new."""
        number = self[written] = int(written) if written else 0
        return number


class _Kinds(dict[tuple[bytes, ...], Kind]):
    """What an account is, by its classes."""

    def __missing__(self, classes: tuple[bytes, ...]) -> Kind:
        """Tell of classes that are new."""
        kind = self[classes] = _kind(classes)
        return kind


def read(found: Rows, more: Sequence[str] = ()) -> Iterator[Account]:
    """Read accounts from the rows of a search for ``ATTRIBUTES`` and ``more``.

    Raises:
        UnexpectedAnswer: A row has no SID or no name, or one that cannot be read.
    """
    reader = _Reader(tuple(name.lower() for name in more))
    return chain.from_iterable(map(reader.accounts, Table.of(found).chunks()))


class _Reader:
    """Reads the rows of one answer, by columns.

    Args:
        more: Further attributes, in lower case.
    """

    def __init__(self, more: Sequence[str]) -> None:
        self._several = ("objectclass", "sidhistory", *more)
        self._kinds = _Kinds()
        self._numbers = _Numbers()

    def accounts(self, rows: Table) -> Iterable[Account]:
        """Return the accounts of some rows, all of them read."""
        columns = rows.columns(_SINGLE, self._several)
        try:
            return self._read(*columns)
        except (TypeError, ValueError):  # one cannot be read: which, and why
            return [account for one in zip(*columns, strict=True) for account in self._alone(*one)]

    def _alone(self, dn: bytes, sid: bytes | None, sam: bytes | None, *others: Any) -> Iterable[Account]:
        if sid is None or sam is None or len(sid) < _SHORTEST_SID:
            raise _unreadable(dn, "objectSid or sAMAccountName")
        try:
            return self._read(*([value] for value in (dn, sid, sam, *others)))
        except ValueError as error:
            raise _unreadable(dn, str(error)) from None

    def _read(
        self,
        dns: Sequence[bytes],
        sids: Sequence[bytes],
        sams: Sequence[bytes],
        upns: Sequence[bytes | None],
        passwords: Sequence[bytes | None],
        controls: Sequence[bytes | None],
        expires: Sequence[bytes | None],
        locked: Sequence[bytes | None],
        critical: Sequence[bytes | None],
        classes: Sequence[tuple[bytes, ...]],
        histories: Sequence[tuple[bytes, ...]],
        *values: Sequence[tuple[bytes, ...]],
    ) -> Iterable[Account]:
        if min(map(len, sids), default=_SHORTEST_SID) < _SHORTEST_SID:
            raise ValueError("a short SID")
        number = self._numbers.__getitem__
        fields = (
            dns,
            sids,
            list(map(bytes.decode, sams)),
            [upn.decode() if upn else "" for upn in upns],
            [int(password) if password else 0 for password in passwords],
            histories,
            map(self._kinds.__getitem__, classes),
            list(map(number, controls)),
            list(map(number, expires)),
            list(map(number, locked)),
            [one is not None and one.upper() == b"TRUE" for one in critical],
            zip(*values, strict=True) if values else repeat(()),
        )
        return map(_ACCOUNT, zip(*fields))  # noqa: B905  # the last may go on for ever


def _unreadable(dn: bytes, what: str) -> UnexpectedAnswer:
    return UnexpectedAnswer(f"the account cannot be read: {what}", where=dn.decode("utf-8", "replace"))


def below(container: str) -> Callable[[str], bool]:
    """Return a test whether a DN that a directory gave lies under a container, or is it."""
    whole = Dn(container)
    end = whole.canonical().casefold()

    def test(dn: str) -> bool:
        if "\\" in dn or not dn.isascii():
            return Dn(dn).is_below(whole)
        plain = dn.casefold()
        return plain.endswith("," + end) or plain == end

    return test


@lru_cache(64)
def _domain_text(domain: bytes) -> str:
    """Return a SID without its last part as text; there are as many as domains."""
    return str(Sid.from_bytes(domain + bytes(4))).rpartition("-")[0]


def _kind(classes: tuple[bytes, ...]) -> Kind:
    names = {name.lower() for name in classes}
    if names & _SERVICES:
        return "service"
    if b"computer" in names:  # a computer is a user to the schema
        return "computer"
    if b"group" in names:
        return "group"
    return "user" if b"user" in names else "other"
