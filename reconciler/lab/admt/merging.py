"""Creating an object in the target, and bringing one that exists up to date: its name, its place, its attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reconciler.lab.admt.errors import AccountRefused, reason
from reconciler.lab.admt.names import first_rdn, unescape_rdn
from reconciler.lab.admt.run import Run
from reconciler.lab.windows.contract import Attributes, Change, DirectoryRefused, Entry


async def create(run: Run, rdn: str, attributes: Attributes) -> Entry:
    """Create an object in the container of the run, and return it.

    Raises:
        AccountRefused: It was not created.
    """
    dn = f"{rdn},{run.target_base}"
    try:
        await run.target.remote.add(dn, attributes)
    except DirectoryRefused as refusal:
        raise AccountRefused(f"Failed to create {rdn}. {reason(refusal)}") from refusal
    run.log.line(f"{rdn} - Created")
    return await run.target_entry(dn)


async def merge(run: Run, rdn: str, before: Entry, values: Mapping[str, Sequence[bytes]]) -> Entry:
    """Give an existing object the migrated name and attributes, and return what it is then.

    The object gets the RDN of the source unless the include file gives another one. [GIST]

    Raises:
        AccountRefused: It is as it was, except that it may have its new name already.
    """
    try:
        dn = await _named(run, rdn, before)
        if values:
            await run.target.remote.modify(
                dn, [Change(name, "replace", tuple(chosen)) for name, chosen in values.items()]
            )
    except DirectoryRefused as refusal:
        raise AccountRefused(f"Failed to merge with {first_rdn(before.dn)}. {reason(refusal)}") from refusal
    run.log.line(f"{first_rdn(dn)} - Merged")
    return await run.target_entry(dn)


async def _named(run: Run, rdn: str, before: Entry) -> str:
    """Rename an object, and move it where ``MOVEMERGEDACCOUNTS`` says so; return its DN."""
    old = first_rdn(before.dn)
    here = before.dn[len(old) + 1 :]
    moves = "MOVEMERGEDACCOUNTS" in run.options.words("CONFLICTOPTIONS", "IGNORE")
    parent = run.target_base if moves else here
    if unescape_rdn(old) == unescape_rdn(rdn) and parent.lower() == here.lower():
        return before.dn
    await run.target.remote.rename(before.dn, rdn, parent)
    run.log.line(f"{old} - Renamed to {rdn},{parent}")
    return f"{rdn},{parent}"
