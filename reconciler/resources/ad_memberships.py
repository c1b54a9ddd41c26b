"""Members of migrated groups: whoever was migrated is in the target in the groups that he is in in the source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from reconciler.core.errors import NeedsPerson
from reconciler.core.query import Query, Recall, Rows, Search
from reconciler.core.resource import Resource
from reconciler.core.steps import AttributeChange, ModifyEntry, Portion, Step
from reconciler.core.targets import Name
from reconciler.core.values import Dn
from reconciler.resources import rows
from reconciler.resources.account_runs import prefix
from reconciler.resources.membership_rows import Apart, Compared, Lack, Source, Target, compare, place_of, read_groups
from reconciler.resources.population import LdapFilter

MOST = 500  # values of one write; the directory takes 1,500 in an answer, and far more in a request
NAMED = 5
EVERY_GROUP = "(objectClass=group)"


class Memberships(Resource):
    """Memberships of migrated accounts in migrated groups; one resource for all of them.

    Who stands for whom in the target is told by SID history, else by the journal; never by a name, so that nobody
    comes into a group because of what he is called. Nobody is ever removed: ADMT's merges only add as well, and who
    was added in the target alone is not known to be wrong.
    """

    identity = ("source", "name")
    inputs = ("base", "filter", "target")
    restores = False

    kind: Literal["ad.memberships"] = "ad.memberships"
    source: Name = Field(description="Name of the domain that the groups come from.")
    name: str = Field("", description="Name of the set; its container where it has none.")
    base: Dn = Field(description="Container in the source; all groups below it count that are in the target.")
    filter: LdapFilter = Field(EVERY_GROUP, description="LDAP filter of the groups.")
    target: Name = Field(description="Name of the domain that they go to.")
    missing: tuple[str, ...] = Field(
        (), description="`group: member` for each member that the group lacks in the target. Always empty."
    )

    @model_validator(mode="before")
    @classmethod
    def _named_by_container(cls, given: Any) -> Any:
        return {"name": given.get("base", ""), **given} if isinstance(given, dict) else given

    def title(self) -> str:
        """Return one line for people."""
        called = "" if self.name == self.base else f" ({self.name})"
        return f"members of the migrated groups of {self.base}{called}"

    def managed(self) -> tuple[str, ...]:
        """Return the list; it is wanted empty, written or not."""
        return ("missing",)

    def queries(self) -> tuple[Query, ...]:
        """Ask for the groups, for who has which SID in the source, for the target, and for what we know ourselves."""
        of_group = ("objectSid", "sAMAccountName", "member")
        of_target = ("objectSid", "sAMAccountName", "sIDHistory", "groupType", "primaryGroupID", "member")
        everybody = "(sAMAccountName=*)"
        return (
            Search(self.source, self.base, f"(&{EVERY_GROUP}{self.filter})", of_group, "subtree", absent_ok=False),
            Search(self.source, "", everybody, ("objectSid", "primaryGroupID"), "subtree", absent_ok=False),
            Search(self.target, "", everybody, of_target, "subtree", absent_ok=False),
            Recall(prefix(self.source)),
        )

    def parse(self, *answers: Rows) -> Self:
        """Compare the members of each group that is in the target."""
        groups, accounts, holders, facts = answers
        target = Target(holders, _known(facts, self.source))
        found = compare(read_groups(groups), Source(accounts), target)
        found.lacking.sort(key=lambda lack: (lack.group.sam.casefold(), lack.group.dn, lack.member.sam.casefold()))
        return self.observed(missing=tuple(map(_shown, found.lacking))).with_facts(found=found)

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Add to each group those who lack; a refusal for one group holds up no other."""
        found: Compared = observed.facts["found"]
        fit = [lack for lack in found.lacking if not lack.why]
        if not fit:
            raise self._unfit(found)
        return tuple(self._writes(fit))

    def remarks(self, observed: Self) -> tuple[str, ...]:
        """Say which groups are not whole because members of them are not in the target: a set that is not closed."""
        if not observed.facts:
            return ()
        found: Compared = observed.facts["found"]
        return (
            *_sets(found.not_yet, "not in the target yet"),
            *_sets(found.others, "from another domain, built in, or no account, and not migrated"),
        )

    def _writes(self, fit: list[Lack]) -> Iterator[Step]:
        done = 0
        for group, lacks in groupby(fit, key=lambda lack: lack.group):
            members = [lack.member for lack in lacks]
            for start in range(0, len(members), MOST):
                part = members[start : start + MOST]
                change = AttributeChange("member", "add", tuple(member.dn for member in part))
                yield Step(
                    ModifyEntry(self.target, group.dn, (change,)),
                    f"add {_named([member.sam for member in part])} to {group.sam}",
                    portion=Portion(done, len(part), len(fit), "memberships"),
                    apart=True,
                )
                done += len(part)

    def _unfit(self, found: Compared) -> NeedsPerson:
        shown = [f"{_shown(lack)}: {lack.why}" for lack in found.lacking[:20]]
        rest = [f"... and {len(found.lacking) - 20} more"] if len(found.lacking) > 20 else []
        return NeedsPerson(
            f"{len(found.lacking)} memberships cannot be as in {self.source}",
            where=self.key,
            do="\n".join(["change the scope of one of the two in the target", *shown, *rest]),
        )


def _shown(lack: Lack) -> str:
    return f"{lack.group.sam}: {lack.member.sam}"


def _known(facts: Rows, source: str) -> Mapping[str, str]:
    """Return which account of the target an account of the source became, by SID, where that was proven."""
    found: dict[str, str] = {}
    for row in facts:
        value = row.get("value")
        if isinstance(value, Mapping) and value.get("target_sid"):
            found[rows.text(row, "key").removeprefix(prefix(source))] = str(value["target_sid"])
    return found


def _sets(apart: list[Apart], what: str) -> Iterator[str]:
    """Return one line per group: how many of its members are elsewhere, and who in which container."""
    by_group: dict[str, dict[str, list[str]]] = {}
    for one in apart:
        name, container = place_of(one.dn)
        by_group.setdefault(one.group, {}).setdefault(container, []).append(name)
    for group, places in sorted(by_group.items(), key=lambda item: item[0].casefold()):
        count = sum(map(len, places.values()))
        where = "; ".join(f"{_named(names)} of {container}" for container, names in places.items())
        yield f"{group}: {count:,} member{'s are' if count > 1 else ' is'} {what}: {where}"


def _named(names: list[str]) -> str:
    shown = ", ".join(sorted(names, key=str.casefold)[:NAMED])
    return f"{shown} and {len(names) - NAMED:,} more" if len(names) > NAMED else shown
