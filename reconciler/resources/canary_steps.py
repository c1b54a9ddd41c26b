"""What is sent for one try: the account is made, ADMT runs for it as for real ones, and it logs on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from reconciler.core.secret import Generated
from reconciler.core.steps import AddEntry, AttributeChange, LogOn, ModifyEntry, RunTask, Step
from reconciler.core.values import Dn
from reconciler.resources import account_runs
from reconciler.resources.account_matching import Pair
from reconciler.resources.account_names import Names
from reconciler.resources.account_records import Account
from reconciler.resources.admt_command import Batch, Migration, removed_by
from reconciler.resources.canary_record import Record

if TYPE_CHECKING:
    from reconciler.core.resource import Key
    from reconciler.resources.ad_canary import Canary

_CLASSES = ("top", "person", "organizationalPerson", "user")
_ENABLED = "512"  # NORMAL_ACCOUNT, MS-ADTS 2.2.16
DESCRIPTION = "Throw-away account of a migration rehearsal. It is removed within minutes; if it is still here tomorrow, delete it."


class Course(Struct, frozen=True):
    """The way that a throw-away account goes.

    Attributes:
        fact: Key of the fact about the tries.
        source, target: Names of the domains.
        base, into: Containers in them.
    """

    fact: str
    source: str
    target: str
    base: Dn
    into: Dn
    migration: Migration


def migration(canary: Canary, password_server: str) -> Migration:
    """Return how ADMT is run for it: with the options for real accounts, so that what fails for them fails here."""
    return Migration(
        str(canary.host), str(canary.credential), str(canary.source_dns), str(canary.target_dns), canary.sid_history, canary.groups,
        password_server=password_server if canary.passwords else "", target_controller=canary.host_address, leave_out=canary.leave_out,
    )  # fmt: skip


def one_try(course: Course, begun: Record, key: Key) -> tuple[Step, ...]:
    """Return the steps of one try; each carries how far it has come, so that one that fails says so.

    Removing the account again follows from looking at both sides, and is not among them.
    """
    name, copies = begun.name, bool(course.migration.password_server)
    rdn = f"CN={name}"
    account = Account(f"{rdn},{course.base}".encode(), b"", name)
    pair = Pair(account, Names(name, "", rdn, course.into))
    run = [_about(step, name) for step in course.migration.run(Batch((pair,), "new", course.into))]
    place = next(index for index, step in enumerate(run) if isinstance(step.effect, RunTask))
    paths = [path for step in run if (path := removed_by(step)) is not None]
    files = account_runs.note_files(key, course.source, course.migration.host, paths)
    note = begun.note(course.fact)
    # Without a password nobody logs on: what is behind ADMT's run then only tidies up.
    past = note if copies else replace(begun, standing="through").note(course.fact)
    return (
        Step(_made(course, account), f"make {name} in {course.base}, with a password that nobody knows", (note,)),
        *(
            replace(step, notes=(note if index <= place else past, *(files if index == 0 else ())))
            for index, step in enumerate(run)
        ),
        *(replace(step, notes=(past,)) for step in (_logon(course, name, rdn) if copies else ())),
    )


def _about(step: Step, name: str) -> Step:
    """Tell the run of ADMT from one for an earlier account that a program which died left running."""
    return replace(step, effect=replace(step.effect, about=name)) if isinstance(step.effect, RunTask) else step


def _made(course: Course, account: Account) -> AddEntry:
    return AddEntry(
        course.source,
        account.dn,
        (
            ("objectClass", _CLASSES),
            ("sAMAccountName", (account.sam,)),
            ("userPrincipalName", (f"{account.sam}@{course.migration.source_dns.rstrip('.')}",)),
            ("description", (DESCRIPTION,)),
            ("userAccountControl", (_ENABLED,)),
            ("unicodePwd", (Generated(account.sam),)),
        ),
    )


def _logon(course: Course, name: str, rdn: str) -> tuple[Step, ...]:
    # ADMT demands a new password at the next logon; that is lifted as it is for real accounts.
    keep = ModifyEntry(course.target, f"{rdn},{course.into}", (AttributeChange("pwdLastSet", "replace", ("-1",)),))
    return (
        Step(keep, f"let {name} keep the copied password"),
        Step(LogOn(course.target, name, Generated(name)), f"log on to {course.migration.target_dns} as {name}"),
    )
