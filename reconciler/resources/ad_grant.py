"""A right on a directory object as people write it, and the ACE that grants it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reconciler.core.values import Guid, Sid
from reconciler.resources.security_descriptor import CONTAINER_INHERIT, INHERIT_ONLY, Ace

# The display name that Windows shows, where it is not the cn with blanks for hyphens. Other directories (Samba) have others.
_SHOWN_AS = {"reset password": "User-Force-Change-Password", "change password": "User-Change-Password"}

Right = Literal["create-child", "delete-child", "control", "read-property", "write-property", "generic-all"]

# MS-ADTS 5.1.3.2, access rights.
_MASKS: Mapping[Right, int] = {
    "create-child": 0x1,
    "delete-child": 0x2,
    "read-property": 0x10,
    "write-property": 0x20,
    "control": 0x100,
    "generic-all": 0xF01FF,
}
_FLAGS = {"this": 0, "descendants": CONTAINER_INHERIT | INHERIT_ONLY, "both": CONTAINER_INHERIT}


class Grant(BaseModel):
    """One right."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)

    right: Right = Field(description="`control` is an extended right, such as *Reset Password*.")
    of: str | None = Field(
        None,
        description="Class for create-child and delete-child, extended right for control, attribute or property set for the property rights; all of them where not given.",
        examples=["user", "User-Force-Change-Password", "Migrate SID History", "pwdLastSet"],
    )
    applies: Literal["this", "descendants", "both"] = Field(
        "this", description="To the object itself, to what lies below it, or both."
    )
    class_: str | None = Field(
        None, alias="class", description="Only to objects of this class among the descendants.", examples=["user"]
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.right == "generic-all" and self.of:
            raise ValueError("generic-all is everything; it takes no `of`")
        if self.class_ and self.applies == "this":
            raise ValueError("`class` restricts descendants; it needs `applies: descendants` or `both`")
        return self

    def __str__(self) -> str:
        """Show it as ``control Reset Password on descendants of class user``."""
        where = {"this": "", "descendants": " on descendants", "both": " on it and descendants"}[self.applies]
        return (
            f"{self.right}{f' {self.of}' if self.of else ''}{where}{f' of class {self.class_}' if self.class_ else ''}"
        )

    __repr__ = __str__


def names_of_right(name: str) -> tuple[str, ...]:
    """Return what an extended right may be called in the directory, as cn or display name."""
    return tuple(dict.fromkeys((name, name.replace(" ", "-"), _SHOWN_AS.get(name.casefold(), name))))


def ace_of(
    grant: Grant, sid: Sid, classes: Mapping[str, Guid], attributes: Mapping[str, Guid], rights: Mapping[str, Guid]
) -> Ace:
    """Return the ACE that grants it; the mappings hold GUIDs by case-folded name.

    Raises:
        LookupError: A name is unknown; its argument says which.
    """
    object_type = None
    if grant.of is not None:
        known = classes
        if grant.right == "control":
            known = rights
        elif grant.right in ("read-property", "write-property"):
            known = {**rights, **attributes}
        called = names_of_right(grant.of) if grant.right == "control" else (grant.of,)
        object_type = _guid(known, called, f"{grant.right} {grant.of}")
    inherited_type = _guid(classes, (grant.class_,), f"class {grant.class_}") if grant.class_ else None
    return Ace(sid, _MASKS[grant.right], _FLAGS[grant.applies], object_type, inherited_type)


def _guid(known: Mapping[str, Guid], called: tuple[str, ...], what: str) -> Guid:
    for name in called:
        if name.casefold() in known:
            return known[name.casefold()]
    raise LookupError(what)
