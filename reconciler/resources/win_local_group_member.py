"""One member of a local group of a host that is no domain controller, compared by SID."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from reconciler.core.errors import NotYet, UnexpectedAnswer
from reconciler.core.query import Argument, Command, Query, Row, Rows, Search
from reconciler.core.resource import Resource
from reconciler.core.steps import Step
from reconciler.core.targets import Name
from reconciler.core.values import Sid, escape_filter
from reconciler.resources.rows import at_most_one, sid


class LocalGroupMember(Resource):
    """A member of a local group. On a domain controller use ``ad.group_member``: its local groups are the domain's."""

    identity: ClassVar[tuple[str, ...]] = ("host", "group", "member")
    inputs: ClassVar[tuple[str, ...]] = ("member_domain",)

    kind: Literal["win.local_group_member"] = "win.local_group_member"
    host: Name = Field(description="Host that has the group.")
    group: str = Field(
        "S-1-5-32-544", description="SID or name of the group; the administrators where not given.", min_length=1
    )
    member: str = Field(description="`DOMAIN\\name` or SID of the member.", examples=[r"TARGET\migrator"], min_length=1)
    member_domain: Name | None = Field(None, description="Domain in which a member given by name is looked up.")

    @model_validator(mode="after")
    def _can_be_found(self) -> Self:
        if _as_sid(self.member) is None and ("\\" not in self.member or self.member_domain is None):
            raise ValueError("`member` is a SID, or DOMAIN\\name together with `member_domain`")
        return self

    def title(self) -> str:
        """Name the member, the group and the host."""
        group = "the local administrators" if self.group == "S-1-5-32-544" else f"local group {self.group}"
        return f"{self.member} in {group} of {self.host}"

    def queries(self) -> tuple[Query, ...]:
        """Ask for the members, and for the SID of a member that is given by name."""
        members = Command(self.host, "Get-LocalGroupMember", (self._group(),))
        if self.member_domain is None or _as_sid(self.member) is not None:
            return (members,)
        name = escape_filter(self.member.rpartition("\\")[2])
        where = f"(&(objectSid=*)(sAMAccountName={name}))"
        return (members, Search(self.member_domain, "", where, ("objectSid",), scope="subtree"))

    def parse(self, *answers: Rows) -> Self:
        """Look for the member's SID among the members."""
        rows, *found = answers
        wanted = _as_sid(self.member)
        if found:
            entry = at_most_one(found[0], f"the account {self.member}", str(self.member_domain))
            wanted = None if entry is None else sid(entry, "objectSid")
        members = {self._sid(row) for row in rows}
        return (self.observed() if wanted in members else self.absent()).with_facts(sid=wanted)

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Add or remove the member by SID."""
        member = observed.facts["sid"]
        if member is None:
            raise NotYet(f"there is no account {self.member}")
        verb, says = ("Remove", "remove") if self.ensure == "absent" else ("Add", "add")
        change = Command(self.host, f"{verb}-LocalGroupMember", (self._group(), ("Member", str(member))))
        return (Step(change, f"{says} {self.title()}"),)

    def _group(self) -> tuple[str, Argument]:
        return ("Name", self.group) if _as_sid(self.group) is None else ("SID", self.group)

    def _sid(self, row: Row) -> Sid:
        value: Any = row.get("SID")
        if isinstance(value, Mapping):
            value = value.get("Value")
        found = _as_sid(value) if isinstance(value, str) else None
        if found is None:
            raise UnexpectedAnswer(f"a member of the group of {self.title()} has no readable SID", target=self.host)
        return found


def _as_sid(text: str) -> Sid | None:
    try:
        return Sid(text)
    except ValueError:
        return None
