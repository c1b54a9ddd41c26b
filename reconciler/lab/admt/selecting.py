"""Which source objects a run is about: names of a command line or an include file, or everything in a container."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from reconciler.lab.admt.errors import UsageRefused
from reconciler.lab.admt.include_file import Included, decode
from reconciler.lab.admt.include_file import parse as parse_include_file
from reconciler.lab.admt.names import GROUP_ATTRIBUTES, NEEDED, USER_ATTRIBUTES, first_rdn, unescape_rdn
from reconciler.lab.admt.options import Options
from reconciler.lab.admt.run import AT_ONCE, COMPUTERS, GROUPS, USERS, Run
from reconciler.lab.windows.accounts import escape
from reconciler.lab.windows.contract import Entry
from reconciler.lab.windows.files import DriveNotFound, NoSuchPath, normal

if TYPE_CHECKING:
    from reconciler.lab.windows.machine import Machine

WANTED = tuple(dict.fromkeys((*NEEDED, *USER_ATTRIBUTES, *GROUP_ATTRIBUTES)))
_CLASSES = {"group": GROUPS, "computer": COMPUTERS}

Chosen = list[tuple[Included, Entry]]


def included(options: Options, read: Callable[[str], str]) -> list[Included] | None:
    """Return the names to migrate, or None for everything in the source OU."""
    if "EXCLUDEFILE" in options.given:
        parse_include_file(read(options.text("EXCLUDEFILE")))
    if options.names:
        return [Included(name) for name in options.names]
    if "INCLUDEFILE" in options.given:
        return parse_include_file(read(options.text("INCLUDEFILE")))
    return None


def reader(machine: Machine, directory: str) -> Callable[[str], str]:
    """Return the function that reads text files of a host, relative to a directory."""

    def read(path: str) -> str:
        try:
            return decode(machine.files.read(normal(path, directory)))
        except (NoSuchPath, DriveNotFound, IsADirectoryError):
            raise UsageRefused(f"The file '{path}' could not be opened.") from None

    return read


async def selected(run: Run, items: Sequence[Included] | None) -> Chosen:
    """Return what to migrate; names that mean nothing, or too much, become errors in the log."""
    where = _CLASSES.get(run.options.verb, USERS)
    if items is None:
        scope: Literal["one", "sub"] = "sub" if "RECURSE" in run.options.words("INCLUDEDOMAIN", "") else "one"
        everything = await run.source.remote.search(run.source_base, scope, where, WANTED)
        chosen = [(Included(row.text("sAMAccountName") or ""), row) for row in everything]
    else:
        chosen = []
        for start in range(0, len(items), AT_ONCE):
            chosen += await _named(run, items[start : start + AT_ONCE], where)
    excluded = _excluded(run)
    return [(item, row) for item, row in chosen if not _names_of(row) & excluded]


async def _named(run: Run, items: Sequence[Included], where: str) -> Chosen:
    """Look up names: by SAM account name, else by RDN."""
    tests = "".join(f"(sAMAccountName={escape(item.source)})(cn={escape(_rdn(item))})" for item in items)
    rows = await run.source.remote.search(run.source_base, "sub", f"(&{where}(|{tests}))", WANTED)
    by_sam: dict[str, list[Entry]] = {}
    by_rdn: dict[str, list[Entry]] = {}
    for row in rows:
        by_sam.setdefault((row.text("sAMAccountName") or "").lower(), []).append(row)
        by_rdn.setdefault(unescape_rdn(first_rdn(row.dn)[3:]).lower(), []).append(row)
    chosen: Chosen = []
    for item in items:
        found = by_sam.get(item.source.lower()) or by_rdn.get(_rdn(item).lower()) or []
        if len(found) == 1:
            chosen.append((item, found[0]))
        else:
            problem = "is not unique" if found else "could not be found"
            run.log.error(9814, f"The object '{item.source}' {problem} in the source domain.")
    return chosen


def _rdn(item: Included) -> str:
    name = item.source
    return unescape_rdn(name[3:]) if name.lower().startswith("cn=") else name


def _excluded(run: Run) -> set[str]:
    names = [name.lower() for name in run.options.excluded]
    if run.options.text("EXCLUDEFILE"):
        text = reader(run.machine, "C:\\")(run.options.text("EXCLUDEFILE"))
        names += [item.source.lower() for item in parse_include_file(text)]
    return set(names)


def _names_of(entry: Entry) -> set[str]:
    rdn = first_rdn(entry.dn).lower()
    return {(entry.text("sAMAccountName") or "").lower(), rdn, rdn[3:]}
