"""A group of a domain, such as the empty domain local group ``SOURCE$$$`` without which no SID is migrated."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from reconciler.core.edit import Edit
from reconciler.core.errors import NeedsPerson, UnexpectedAnswer
from reconciler.core.query import Query, Rows, Search
from reconciler.core.resource import Resource
from reconciler.core.steps import AddEntry, AttributeChange, DeleteEntry, ModifyEntry, Step
from reconciler.core.targets import Name
from reconciler.core.values import ALL, Dn, escape_filter, escape_rdn
from reconciler.resources import rows
from reconciler.resources.directory_rows import FOREIGN, head_query, row_dn
from reconciler.resources.replication import LINKED, read_trail, trail_of

Scope = Literal["domain-local", "global", "universal"]

_SCOPES: dict[Scope, int] = {"global": 0x2, "domain-local": 0x4, "universal": 0x8}
_SECURITY = 0x80000000


class Group(Resource):
    """A group: its scope, whether it is a security group, and, if wanted, exactly who is in it."""

    identity = ("domain", "name")
    inputs = ("container",)

    kind: Literal["ad.group"] = "ad.group"
    domain: Name = Field(description="Name of the domain in this file.")
    name: str = Field(
        description="sAMAccountName; found wherever it is in the domain.",
        min_length=1,
        max_length=256,
        examples=["SOURCE$$$"],
    )
    container: str = Field("CN=Users", description="Where it is created: a DN below the domain's own.")
    scope: Scope = Field("global", description="Never changed: another scope under that name is an error.")
    security: bool = Field(True, description="A security group. Never changed.")
    members: tuple[str, ...] = Field(
        (), description="DNs of exactly the members it shall have; `[]` keeps it empty. Left out: not managed."
    )

    @field_validator("members")
    @classmethod
    def _in_order(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted({Dn(member) for member in members}, key=Dn.canonical))

    @field_validator("container")
    @classmethod
    def _is_dn(cls, container: str) -> str:
        return str(Dn(container))

    @model_validator(mode="after")
    def _never_deleted_for_a_while(self) -> Self:
        if self.ensure == "absent" and self.during != ALL:
            raise ValueError(
                "a group cannot be absent for some phases only: made anew it would have another SID, and lose every right it was given"
            )
        return self

    def absent(self) -> Self:
        """Return this group as observed absent; that it was not there is true of no phase in particular."""
        return self.model_copy(update={"ensure": "absent", "during": ALL})

    def title(self) -> str:
        """Return one line for people."""
        empty = ", empty" if "members" in self.model_fields_set and not self.members else ""
        return f"{self.scope} group {self.name} in {self.domain}{empty}"

    def queries(self) -> tuple[Query, ...]:
        """Ask for whatever has the name, of whatever class, and for the domain's DN."""
        attributes = ("objectClass", "groupType", "member", "objectSid")
        return Search(
            self.domain, "", f"(sAMAccountName={escape_filter(self.name)})", attributes, "subtree"
        ), head_query(self.domain)

    def parse(self, *answers: Rows) -> Self:
        """Read the group; a user or computer of that name is an error, not an absent group."""
        found, head = answers
        base = row_dn(rows.one(head, "the head of the domain", self.domain))
        row = rows.at_most_one(found, f"the group {self.name}", self.domain)
        if row is None:
            return self.absent().with_facts(dn=f"CN={escape_rdn(self.name)},{self.container},{base}", base=str(base))
        dn = row_dn(row)
        classes = {name.lower() for name in rows.texts(row, "objectClass")}
        if "group" not in classes:
            raise UnexpectedAnswer(
                f"{self.name} in {self.domain} is no group, but a {rows.texts(row, 'objectClass')[-1]}",
                target=self.domain,
                where=str(dn),
                do="rename or delete it by hand; ADMT refuses to migrate SIDs while it has this name",
            )
        kind = rows.number(row, "groupType") & 0xFFFFFFFF
        scope = next((name for name, bit in _SCOPES.items() if kind & bit), None)
        if scope is None:
            raise UnexpectedAnswer(
                f"{self.name} has a groupType without a scope: {kind:#x}", target=self.domain, where=str(dn)
            )
        observed = self.observed(scope=scope, security=bool(kind & _SECURITY), members=rows.texts(row, "member"))
        return observed.with_facts(dn=str(dn), base=str(base))

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Create it, correct its members, or delete it once it is empty."""
        dn = str(observed.facts["dn"])
        if self.ensure == "absent":
            return (self._deletion(observed, dn),)
        members = self._membership(dn, observed) if "members" in differs or "ensure" in differs else ()
        if observed.ensure == "absent":
            return (self._creation(dn), *members)
        wrong = [
            f"{name} is {getattr(observed, name)}, wanted is {getattr(self, name)}"
            for name in ("scope", "security")
            if name in differs
        ]
        if wrong:
            raise NeedsPerson(
                f"the group {self.name} in {self.domain} is of another kind: {'; '.join(wrong)}",
                where=dn,
                do="find out who uses it; rename or delete it by hand, and it will be created as wanted. It is never converted silently.",
            )
        return members

    def trail(self, observed: Self) -> tuple[Query, ...]:
        """Ask who changed its members; about a group that is gone nothing is asked."""
        return (
            trail_of(Search(self.domain, str(observed.facts["dn"]), attributes=LINKED))
            if observed.ensure == "present"
            else ()
        )

    def edits(self, ours: Self, observed: Self, *answers: Rows) -> tuple[Edit, ...]:
        """Read when a member that came or went after us did so last."""
        before, now = set(map(Dn, ours.members)), set(map(Dn, observed.members))
        return read_trail(*answers).of_values(
            "members", "member", lambda dn, there: dn in before ^ now and (dn in now) == there
        )

    def _creation(self, dn: str) -> Step:
        kind = _SCOPES[self.scope] | (_SECURITY if self.security else 0)
        signed = kind - (1 << 32) if kind & _SECURITY else kind
        attributes = (("objectClass", ("group",)), ("sAMAccountName", (self.name,)), ("groupType", (str(signed),)))
        return Step(AddEntry(self.domain, dn, attributes), f"create the {self.scope} group {self.name}")

    def _deletion(self, observed: Self, dn: str) -> Step:
        if observed.members:
            raise NeedsPerson(
                f"the group {self.name} was not there before, but is not empty: {', '.join(observed.members)}",
                where=dn,
                do="remove the members if they are leftovers; the empty group is then deleted",
            )
        return Step(DeleteEntry(self.domain, dn), f"delete the empty group {self.name}")

    def _membership(self, dn: str, observed: Self) -> tuple[Step, ...]:
        wanted = {Dn(member) for member in self.members}
        found = {Dn(member) for member in observed.members} if observed.ensure == "present" else set()
        base = str(observed.facts["base"])
        removals = [
            Step(self._change(dn, "delete", str(m)), f"remove {m} from {self.name}")
            for m in sorted(found - wanted, key=Dn.canonical)
        ]
        additions = [
            Step(self._change(dn, "add", _as_value(m, base)), f"add {m} to {self.name}")
            for m in sorted(wanted - found, key=Dn.canonical)
        ]
        return (*removals, *additions)

    def _change(self, dn: str, operation: Literal["add", "delete"], value: str) -> ModifyEntry:
        return ModifyEntry(self.domain, dn, (AttributeChange("member", operation, (value,)),))


def _as_value(member: Dn, base: str) -> str:
    # A foreign security principal may be gone since; by its SID the directory makes it anew.
    return f"<SID={member.name}>" if member.parent == f"{FOREIGN},{base}" else str(member)
