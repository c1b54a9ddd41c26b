"""Who lives in the two directories of a fresh lab, as plain data; provision_side.py carries it out."""

from __future__ import annotations

import secrets
import string
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import chain, count, cycle, islice
from typing import Any

STAFF = "OU=Staff"
GROUPS = "OU=Groups"
WORKSTATIONS = "OU=Workstations"
MIGRATED = "OU=Migrated"
GROUPS_PER_LEVEL = 5  # of the nested groups, so many are in each one above them
PRE_WINDOWS_2000 = "S-1-5-32-554"
EVERYONE = "S-1-1-0"

GLOBAL, DOMAIN_LOCAL, UNIVERSAL = 0x80000002, 0x80000004, 0x80000008
SCOPES = (GLOBAL, UNIVERSAL, DOMAIN_LOCAL)  # of nested groups, from the bottom
DEPARTMENTS = ("Sales", "Engineering", "Finance", "Operations", "Research, Süd", "Support", "Legal", "Personnel")
SYSTEMS = (
    ("Windows 10 Pro", "10.0 (19045)"),
    ("Windows 11 Enterprise", "10.0 (22631)"),
    ("Windows Server 2019 Standard", "10.0 (17763)"),
)

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
    department: str = ""
    old_keys: bool = False  # nothing but the NT hash, like a password that was set before the domain knew AES


@dataclass(frozen=True, slots=True)
class Computer:
    """A workstation's account to create; ``name`` is without the dollar sign."""

    name: str
    operating_system: str
    version: str
    parent: str = WORKSTATIONS


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
    computers: tuple[Computer, ...] = ()
    foreign_members: tuple[tuple[str, str], ...] = ()

    def document(self) -> dict[str, Any]:
        """Return the population as JSON-ready data."""
        return asdict(self)


def source_population(users: int, groups: int = 0, computers: int = 0, units: int = 0) -> Population:
    """Return the source's staff, its groups and its workstations; what is not a password is the same each time.

    The awkward names come first, so that a small lab has them too; they count.

    Args:
        units: Departments below OU=Staff, among which the numbered staff is spread.
    """
    departments = tuple(islice(_departments(), units))
    accounts = tuple(islice(chain(_awkward_accounts(), _plain_accounts(), _numbered_accounts(departments)), users))
    return Population(
        units=(STAFF, GROUPS, *map(_unit, departments), *((WORKSTATIONS,) if computers else ())),
        accounts=accounts,
        groups=(*_groups(accounts), *_nested_groups(accounts, groups)),
        computers=tuple(islice(_computers(), computers)),
    )


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


def _numbered_accounts(departments: tuple[str, ...]) -> Iterator[Account]:
    for number in count(1):
        department = departments[number % len(departments)] if departments else ""
        parent = _unit(department) if department else STAFF
        yield Account(f"Staff {number:06d}", f"staff{number:06d}", "Staff", f"{number:06d}", new_password(), parent,
                      department, old_keys=True)  # fmt: skip


def _departments() -> Iterator[str]:
    yield from DEPARTMENTS
    for number in count(len(DEPARTMENTS) + 1):
        yield f"Department {number:03d}"


def _unit(department: str) -> str:
    return "OU=" + department.replace(",", "\\,") + f",{STAFF}"


def _computers() -> Iterator[Computer]:
    systems = cycle(SYSTEMS)
    for number in count(1):
        yield Computer(f"WS{number:05d}", *next(systems))


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


def _nested_groups(accounts: tuple[Account, ...], number: int) -> tuple[Group, ...]:
    """Return teams of staff, five of them in each group above, and so on up to one; every group has staff of its own too.

    Global groups at the bottom, universal ones above them, domain local ones above those: the nesting that AD allows.
    """
    names = tuple(account.sam_account_name for account in accounts)
    leaves = number - number // GROUPS_PER_LEVEL
    found: list[Group] = []
    levels: list[int] = []
    free: list[int] = []  # in no group yet
    for place in range(number):
        inner = free[:GROUPS_PER_LEVEL] if place >= leaves else []
        free = [*free[len(inner) :], place]
        levels.append(1 + max((levels[one] for one in inner), default=-1))
        name = f"Team {place + 1:04d}"
        scope = SCOPES[min(levels[place], len(SCOPES) - 1)]
        teams = (found[one].sam_account_name for one in inner)
        found.append(Group(name, name, scope, (*names[place::number], *teams)))
    return tuple(found)
