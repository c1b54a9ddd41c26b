"""Who lives in the two directories of a fresh lab, as plain data; provision_side.py carries it out."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain, count, islice
from typing import Any

STAFF = "OU=Staff"
GROUPS = "OU=Groups"
MIGRATED = "OU=Migrated"
PRE_WINDOWS_2000 = "S-1-5-32-554"
EVERYONE = "S-1-1-0"

GLOBAL, DOMAIN_LOCAL, UNIVERSAL = 0x80000002, 0x80000004, 0x80000008

GIVEN_NAMES = (
    "Alice", "Bernd", "Chiara", "David", "Elif", "Frida", "Georg", "Hanna", "Ivan", "Jana", "Karim", "Lena",
    "Mateo", "Nora", "Oskar", "Paula", "Quentin", "Rosa", "Sven", "Tara",
)  # fmt: skip
SURNAMES = (
    "Adler", "Brandt", "Costa", "Dreyer", "Ebert", "Fuchs", "Garcia", "Huber", "Ibsen", "Jung", "Keller", "Lang",
    "Moser", "Neumann", "Olsen", "Peters", "Quint", "Richter", "Sommer", "Thoma",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Account:
    """A user to create. ``parent`` is relative to the domain's base DN."""

    common_name: str
    sam_account_name: str
    given_name: str
    surname: str
    password: str = field(repr=False)
    parent: str = STAFF


@dataclass(frozen=True, slots=True)
class Group:
    """A group to create; ``members`` are sAMAccountNames created before it."""

    common_name: str
    sam_account_name: str
    group_type: int
    members: tuple[str, ...]
    parent: str = GROUPS


@dataclass(frozen=True, slots=True)
class Population:
    """Everything one directory holds beyond what provisioning creates.

    Args:
        units: Organisational units below the base DN, parents first.
        foreign_members: (SID of a group, SID to put into it) pairs.
    """

    units: tuple[str, ...]
    accounts: tuple[Account, ...]
    groups: tuple[Group, ...] = ()
    foreign_members: tuple[tuple[str, str], ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the population as JSON-ready data."""
        return asdict(self)


def source_population(users: int) -> Population:
    """Return the source's staff and its groups.

    The awkward names come first, so that a small lab has them too; they count.
    """
    accounts = tuple(islice(chain(_awkward_accounts(), _plain_accounts(), _numbered_accounts()), users))
    return Population(units=(STAFF, GROUPS), accounts=accounts, groups=_groups(accounts))


def target_population(source: Population, migrator_password: str, *, awkward: bool) -> Population:
    """Return what the target holds before a migration.

    An awkward target already lets Everyone into its Pre-Windows 2000 group, and knows somebody else by the name of one
    of the source's staff.
    """
    accounts = [Account("migrator", "migrator", "Migration", "Operator", migrator_password, parent="CN=Users")]
    if awkward and len(source.accounts) >= 20:
        namesake = source.accounts[-1]
        accounts.append(
            Account(f"{namesake.common_name} (other)", namesake.sam_account_name, "Somebody", "Else",
                    new_password(), parent="CN=Users")
        )  # fmt: skip
    members = ((PRE_WINDOWS_2000, EVERYONE),) if awkward else ()
    return Population(units=(MIGRATED,), accounts=tuple(accounts), foreign_members=members)


def new_password(length: int = 16) -> str:
    """Return a random password with all four classes of characters and nothing that CSV or a shell would mind."""
    classes = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "-_.")
    chosen = [secrets.choice(letters) for letters in classes]
    chosen += [secrets.choice(string.ascii_letters + string.digits) for _ in range(length - len(chosen))]
    # The first character stays a letter: a leading dash would look like an option to every command-line tool.
    head, tail = chosen[0], chosen[1:]
    secrets.SystemRandom().shuffle(tail)
    return head + "".join(tail)


def _awkward_accounts() -> tuple[Account, ...]:
    return (
        Account("Müller, Jürgen", "juergen.mueller", "Jürgen", "Müller", new_password()),
        Account("Åse Øvergård", "ase.overgard", "Åse", "Øvergård", new_password()),
        Account("Backup Service", "svc-backup$", "Backup", "Service", new_password()),
        Account("Maximilian Featherstonehaugh", "maximilian.featherst", "Maximilian", "Featherstonehaugh",
                new_password()),
        Account('O\'Neil + Søn; "Büro" <Süd> #1', "oneil.buero", "Siobhán", "O'Neil", new_password()),
    )  # fmt: skip


def _plain_accounts() -> Iterator[Account]:
    for turn in range(len(SURNAMES)):
        for place, given in enumerate(GIVEN_NAMES):
            surname = SURNAMES[(turn + place) % len(SURNAMES)]
            yield Account(f"{given} {surname}", f"{given}.{surname}".lower(), given, surname, new_password())


def _numbered_accounts() -> Iterator[Account]:
    for number in count(1):
        yield Account(f"Staff {number:06d}", f"staff{number:06d}", "Staff", f"{number:06d}", new_password())


def _groups(accounts: tuple[Account, ...]) -> tuple[Group, ...]:
    names = tuple(account.sam_account_name for account in accounts)
    return (
        Group("Sales", "Sales", GLOBAL, names[0::3]),
        Group("Engineering", "Engineering", GLOBAL, names[1::3]),
        Group("Vertrieb, Süd", "Vertrieb Sued", GLOBAL, names[0::6]),
        Group("All Staff", "All Staff", GLOBAL, ("Sales", "Engineering", *names[2::3])),
        Group("Projects", "Projects", UNIVERSAL, ("Engineering", "Vertrieb Sued")),
        Group("File Readers", "File Readers", DOMAIN_LOCAL, ("All Staff", "Projects")),
    )
