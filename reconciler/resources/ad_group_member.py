"""One member of one group of a domain, by SID wherever the directory can: names are localised, and members may be foreign."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field

from reconciler.core.edit import Edit
from reconciler.core.errors import UnexpectedAnswer
from reconciler.core.query import Query, Rows, Search
from reconciler.core.resource import Resource
from reconciler.core.steps import AttributeChange, ModifyEntry, Step
from reconciler.core.targets import Name
from reconciler.core.values import Dn, Sid, escape_filter
from reconciler.resources import rows
from reconciler.resources.directory_rows import Principal, check_principal, head_query, is_member, row_dn
from reconciler.resources.replication import LINKED, read_trail, trail_of

WELL_KNOWN = {
    "S-1-1-0": "Everyone",
    "S-1-5-7": "Anonymous Logon",
    "S-1-5-11": "Authenticated Users",
    "S-1-5-32-544": "Administrators",
    "S-1-5-32-554": "Pre-Windows 2000 Compatible Access",
}


class GroupMember(Resource):
    """A membership; present or absent, nothing in between. Membership through primaryGroupID is not counted."""

    identity = ("domain", "group", "member")
    inputs = ("member_domain",)

    kind: Literal["ad.group_member"] = "ad.group_member"
    domain: Name = Field(description="Name of the domain that the group belongs to.")
    group: str = Field(description="SID or sAMAccountName of the group.", min_length=1, examples=["S-1-5-32-544"])
    member: Annotated[str, AfterValidator(check_principal)] = Field(
        description="SID or `NETBIOS\\name` of the member.", examples=["TARGET\\migrator", "S-1-1-0"]
    )
    member_domain: Name | None = Field(
        None, description="Name of the domain that the member belongs to, where it is another one."
    )

    def title(self) -> str:
        """Return one line for people."""
        return (
            f"{WELL_KNOWN.get(self.member, self.member)} in {WELL_KNOWN.get(self.group, self.group)} of {self.domain}"
        )

    def queries(self) -> tuple[Query, ...]:
        """Ask for the group with its members, the domain's DN, and who the member is."""
        return (self._group_query(), head_query(self.domain), *self._principal().queries())

    def parse(self, *answers: Rows) -> Self:
        """Read whether the member is in the group; a group that does not exist is an error."""
        groups, head, *about_member = answers
        row = rows.at_most_one(groups, f"the group {self.group}", self.domain)
        if row is None:
            if self.ensure == "absent":
                return self.absent()
            raise UnexpectedAnswer(
                f"{self.domain} has no group {self.group!r}", target=self.domain, do="create it, or correct `group`"
            )
        base = row_dn(rows.one(head, "the head of the domain", self.domain))
        found = self._principal().read(*about_member)
        entry = next(
            (member for member in map(Dn, rows.texts(row, "member")) if is_member(member, found, foreign_in=base)), None
        )
        state = self.absent() if entry is None else self.observed()
        return state.with_facts(
            group_dn=str(row_dn(row)), member_sid=str(found.sid), member_dn=str(entry or ""), found=found, base=base
        )

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Add it by SID, or remove it by the DN it was found under."""
        group_dn = str(observed.facts["group_dn"])
        if self.ensure == "absent":
            change = AttributeChange("member", "delete", (str(observed.facts["member_dn"]),))
            return (
                Step(
                    ModifyEntry(self.domain, group_dn, (change,)), f"remove {self.title().replace(' in ', ' from ', 1)}"
                ),
            )
        # The directory turns a SID of another domain into a foreign security principal by itself.
        change = AttributeChange("member", "add", (f"<SID={observed.facts['member_sid']}>",))
        return (Step(ModifyEntry(self.domain, group_dn, (change,)), f"add {self.title().replace(' in ', ' to ', 1)}"),)

    def trail(self, observed: Self) -> tuple[Query, ...]:
        """Ask who changed the members of the group; nothing where there is no group."""
        return (
            trail_of(Search(self.domain, observed.facts["group_dn"], attributes=LINKED))
            if "group_dn" in observed.facts
            else ()
        )

    def edits(self, ours: Self, observed: Self, *answers: Rows) -> tuple[Edit, ...]:
        """Read when this member came, or went."""
        found, base = observed.facts["found"], observed.facts["base"]
        present = observed.ensure == "present"
        return read_trail(*answers).of_values(
            "ensure", "member", lambda dn, there: there == present and is_member(dn, found, foreign_in=base)
        )

    def _principal(self) -> Principal:
        return Principal(self.member, self.member_domain or self.domain)

    def _group_query(self) -> Search:
        named = self.group.upper().startswith("S-1-")
        where = (
            f"(objectSid={escape_filter(Sid(self.group).to_bytes())})"
            if named
            else f"(sAMAccountName={escape_filter(self.group)})"
        )
        return Search(self.domain, "", f"(&(objectClass=group){where})", ("member",), "subtree")
