"""Which searches a controller's count of changes tells about, and how to ask them about some objects alone. Pure.

The law: what is not known here is taken for something that changes uncounted, and is asked anew each time.

Source: MS-ADTS 3.1.1.1.9 (what counts), MS-ADA1 to MS-ADA3 (which attributes are written, linked or computed).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from reconciler.core.query import Search
from reconciler.core.values import escape_filter
from reconciler.engine.movement import GUID

# Attributes whose values change only by a write to the object itself: no back links, no names of other objects (a rename
# there changes them here), nothing that is computed when it is read.
_OWN = frozenset(
    [
        "objectclass",
        "objectsid",
        "objectguid",
        "samaccountname",
        "userprincipalname",
        "pwdlastset",
        "iscriticalsystemobject",
        "sidhistory",
        "useraccountcontrol",
        "samaccounttype",
        "grouptype",
        "accountexpires",
        "lockouttime",
        "primarygroupid",
        "admincount",
        "description",
        "displayname",
        "mail",
        "proxyaddresses",
        "serviceprincipalname",
        "givenname",
        "sn",
        "info",
        "cn",
        "name",
        "employeeid",
        "employeenumber",
        "department",
        "company",
        "title",
        "extensionattribute1",
        "extensionattribute2",
        "extensionattribute3",
        "extensionattribute4",
        "extensionattribute5",
    ]
)
# Names of other objects of the domain: they change when one of those gets another name or place, which ``moved`` tells of, and
# when one is deleted.
_LINKS = frozenset(["member"])
# What changes only together with the count of the controller, if not by a write to this object.
_COUNTED = (
    _OWN
    | _LINKS
    | frozenset(
        [
            "gplink",
            "flags",
            "trustpartner",
            "flatname",
            "securityidentifier",
            "trustdirection",
            "trusttype",
            "trustattributes",
            "ncname",
            "netbiosname",
            "dnsroot",
            "fsmoroleowner",
            "dnshostname",
            "ldapdisplayname",
            "schemaidguid",
            "rightsguid",
            "invocationid",
            "msds-hasmasterncs",
            "hasmasterncs",
            "msds-hasfullreplicancs",
            "msds-hasdomainncs",
        ]
    )
)
_TERM = re.compile(r"\(([A-Za-z][A-Za-z0-9-]*)(?::1\.2\.840\.113556\.1\.4\.80[34]:)?(?:=|>=|<=|~=)")
_OPENING = re.compile(r"\((?![&|!])")


def with_guid(search: Search) -> Search:
    """Return the search, asking for GUIDs as well."""
    return search if asks_guid(search) else replace(search, attributes=(*search.attributes, "objectGUID"))


def asks_guid(search: Search) -> bool:
    """Whether a search asks for GUIDs."""
    return GUID in (name.lower() for name in search.attributes)


def any_of(searches: Sequence[Search], guids: Iterable[bytes]) -> Search:
    """Return the search for what any of these finds among these objects."""
    where = "".join(search.where for search in searches)
    return replace(searches[0], where=f"(&(|{where}){_among(guids)})", attributes=("objectGUID",))


def about(search: Search, guids: Iterable[bytes]) -> Search:
    """Return the search about these objects alone: the directory itself says which of them it still finds."""
    return replace(with_guid(search), where=f"(&{search.where}{_among(guids)})")


def _among(guids: Iterable[bytes]) -> str:
    return f"(|{''.join(f'(objectGUID={escape_filter(guid)})' for guid in sorted(guids))})"


def counted(search: Search) -> bool:
    """Whether the answer stays the same for as long as the controller counts no change.

    Not so: what a controller says of itself, security descriptors (inherited parts arrive later, uncounted), and anything that
    is not known.
    """
    return bool(
        not search.controller
        and not search.deleted
        and not search.sd_flags
        and search.base.lower() != "rootdse"
        and _attributes(search) - {"objectcategory"} <= _COUNTED
    )


def patchable(search: Search) -> bool:
    """Whether each row depends on its own object alone, as long as nothing is renamed, moved or deleted."""
    own = _attributes(search) - {"objectcategory"} <= _OWN | _LINKS
    return own and not search.base.lower().startswith("config:") and counted(search)


def names_others(search: Search) -> bool:
    """Whether its rows name other objects, whose renaming or deletion shows in them."""
    return not _LINKS.isdisjoint(_attributes(search))


def _attributes(search: Search) -> set[str]:
    """Return every attribute that a search asks for or looks at; ``?`` among them where that cannot be told."""
    return {name.lower() for name in search.attributes} | (_named(search.where) or {"?"})


def _named(where: str) -> set[str] | None:
    """Return the attributes that a filter names, None where it cannot be told."""
    names = _TERM.findall(where)
    return {name.lower() for name in names} if len(names) == len(_OPENING.findall(where)) else None
