"""Rights of one account on one directory object, as single ACEs that come and go without touching any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from reconciler.core.edit import Edit
from reconciler.core.errors import NeedsPerson, UnexpectedAnswer
from reconciler.core.query import Query, Rows, Search
from reconciler.core.resource import Resource
from reconciler.core.steps import AttributeChange, ModifyEntry, Step
from reconciler.core.targets import Name
from reconciler.core.values import Dn, Guid, Sid, escape_filter
from reconciler.resources import rows
from reconciler.resources.ad_grant import Grant, ace_of, names_of_right
from reconciler.resources.directory_rows import Principal, check_principal, row_dn
from reconciler.resources.replication import PLAIN, read_trail, trail_of
from reconciler.resources.security_descriptor import Ace, Descriptor, NotEditable

_DACL_ONLY = 4


class Access(Resource):
    """What an account may do to an object.

    ``grants`` says what is meant; ``missing`` is compared. So rights that the account has besides are left alone, and
    going back removes exactly the ACEs that were missing before, even where it already had some of them.
    A right counts as present where an explicit ACE of the same scope gives it; wider or inherited ones do not count, because
    they may go away for reasons of their own.

    A security descriptor is written as a whole: LDAP has no compare-and-set for it. Only the DACL is sent.
    """

    identity = ("domain", "object", "trustee")
    inputs = ("trustee_domain", "grants")

    kind: Literal["ad.access"] = "ad.access"
    domain: Name = Field(description="Name of the domain that the object is in.")
    object: str = Field("", description="DN of the object; empty for the domain itself.")
    trustee: Annotated[str, AfterValidator(check_principal)] = Field(
        description="SID or `NETBIOS\\name` of who gets the rights."
    )
    trustee_domain: Name | None = Field(
        None, description="Name of the domain that the trustee belongs to, where it is another one."
    )
    grants: tuple[Grant, ...] = Field(description="The rights. Each becomes one allowing ACE.", min_length=1)
    missing: tuple[Grant, ...] = Field((), description="Those of `grants` that shall not be there; leave it out.")

    @model_validator(mode="before")
    @classmethod
    def _manage_missing(cls, data: Any) -> Any:
        return {"missing": (), **data} if isinstance(data, Mapping) else data

    @field_validator("grants", "missing")
    @classmethod
    def _in_order(cls, grants: tuple[Grant, ...]) -> tuple[Grant, ...]:
        return tuple(sorted(set(grants), key=str))

    @field_validator("object")
    @classmethod
    def _is_dn(cls, dn: str) -> str:
        return str(Dn(dn)) if dn else ""

    def title(self) -> str:
        """Return one line for people."""
        return f"rights of {self.trustee} on {self.object or f'the domain {self.domain}'}: {', '.join(map(str, self.grants))}"

    def queries(self) -> tuple[Query, ...]:
        """Ask for the DACL, the trustee, and the GUIDs behind the names of the grants."""
        acl = Search(self.domain, self.object, attributes=("nTSecurityDescriptor",), sd_flags=_DACL_ONLY)
        return (acl, *self._principal().queries(), *self._name_queries())

    def parse(self, *answers: Rows) -> Self:
        """Read which of the grants are missing. An object that does not exist is an error."""
        acl, found, head, crossrefs, schema, rights = answers
        row = rows.at_most_one(acl, f"the object {self.object}", self.domain)
        if row is None:
            raise UnexpectedAnswer(
                "the object does not exist", target=self.domain, where=self.object, do="create it, or correct `object`"
            )
        if not rows.has(row, "nTSecurityDescriptor"):
            raise UnexpectedAnswer(
                "its security descriptor cannot be read",
                target=self.domain,
                where=str(row_dn(row)),
                do="give this credential the right to read permissions",
            )
        content = rows.raw(row, "nTSecurityDescriptor")
        sid = self._principal().read(found, head, crossrefs).sid
        aces = self._aces(sid, schema, rights)
        try:
            present = set(Descriptor.from_bytes(content).allows())
        except NotEditable as error:
            raise UnexpectedAnswer(
                f"its security descriptor cannot be read: {error}", target=self.domain, where=str(row_dn(row))
            ) from error
        missing = tuple(grant for grant, ace in aces.items() if not any(_covers(other, ace) for other in present))
        state = (
            self.absent()
            if self.ensure == "absent" and len(missing) == len(self.grants)
            else self.observed(missing=missing)
        )
        return state.with_facts(dn=str(row_dn(row)), descriptor=content, aces=aces)

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Write the DACL once, with the missing ACEs added and those to be taken back removed."""
        dn, aces = str(observed.facts["dn"]), observed.facts["aces"]
        wanted, found = set(self.missing), set(observed.missing)
        if self.ensure == "absent":  # declared so: none of them shall be there
            wanted = set(self.grants)
        new = [aces[grant] for grant in self.grants if grant in found - wanted]
        old = [aces[grant] for grant in self.grants if grant in wanted - found]
        try:
            changed = Descriptor.from_bytes(observed.facts["descriptor"]).removing(*old).adding(*new).to_bytes()
        except NotEditable as error:
            shown = "\n".join([*(f"add    {ace}" for ace in new), *(f"remove {ace}" for ace in old)])
            raise NeedsPerson(
                f"the permissions of {dn} cannot be changed safely: {error}",
                where=dn,
                do=f"change them by hand:\n{shown}",
            ) from error
        says = ", ".join([*(f"add {ace}" for ace in new), *(f"remove {ace}" for ace in old)])
        change = AttributeChange("nTSecurityDescriptor", "replace", (changed,))
        return (
            Step(
                ModifyEntry(self.domain, dn, (change,), sd_flags=_DACL_ONLY),
                f"permissions of {dn} for {self.trustee}: {says}",
            ),
        )

    def trail(self, observed: Self) -> tuple[Query, ...]:
        """Ask who changed the descriptor. It is one attribute: another right that was changed later hides the one before."""
        return trail_of(Search(self.domain, str(observed.facts["dn"]), attributes=PLAIN))

    def edits(self, ours: Self, observed: Self, *answers: Rows) -> tuple[Edit, ...]:
        """Read when the descriptor was last changed."""
        found = read_trail(*answers)
        return (*found.of("missing", "nTSecurityDescriptor"), *found.of("ensure", "nTSecurityDescriptor"))

    def _principal(self) -> Principal:
        return Principal(self.trustee, self.trustee_domain or self.domain)

    def _name_queries(self) -> tuple[Search, Search]:
        """Ask for schema classes and attributes, and for extended rights and property sets, by their names."""
        names = sorted({name for grant in self.grants for name in (grant.of, grant.class_) if name})
        schema = "".join(f"(lDAPDisplayName={escape_filter(name)})" for name in names)
        called = sorted({other for name in names for other in names_of_right(name)})
        rights = "".join(f"(cn={escape_filter(name)})(displayName={escape_filter(name)})" for name in called)
        return (
            Search(
                self.domain,
                "config:CN=Schema,",
                f"(|{schema or '(!(objectClass=*))'})",
                ("lDAPDisplayName", "schemaIDGUID", "objectClass"),
                "one",
                absent_ok=False,
            ),
            Search(
                self.domain,
                "config:CN=Extended-Rights,",
                f"(|{rights or '(!(objectClass=*))'})",
                ("cn", "displayName", "rightsGuid"),
                "one",
                absent_ok=False,
            ),
        )

    def _aces(self, sid: Sid, schema: Rows, rights: Rows) -> dict[Grant, Ace]:
        classes: dict[str, Guid] = {}
        attributes: dict[str, Guid] = {}
        for row in schema:
            kind = classes if "classschema" in {name.lower() for name in rows.texts(row, "objectClass")} else attributes
            kind[rows.text(row, "lDAPDisplayName").casefold()] = rows.guid(row, "schemaIDGUID")
        controls = {
            name.casefold(): rows.guid(row, "rightsGuid")
            for row in rights
            for name in (*rows.texts(row, "cn"), *rows.texts(row, "displayName"))
        }
        try:
            return {grant: ace_of(grant, sid, classes, attributes, controls) for grant in self.grants}
        except LookupError as error:
            raise UnexpectedAnswer(
                f"the directory knows no {error.args[0]}", target=self.domain, do="correct its name in `grants`"
            ) from error


def _covers(present: Ace, wanted: Ace) -> bool:
    """Return whether one ACE gives what another one would; its scope has to be the same."""
    same = (present.sid, present.flags, present.object_type, present.inherited_type) == (
        wanted.sid,
        wanted.flags,
        wanted.object_type,
        wanted.inherited_type,
    )
    return same and present.mask & wanted.mask == wanted.mask
