"""The populations of the ``migration:`` block as resources: in waves, one after the other, each leaving out what earlier ones took. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from reconciler.core.values import Dn
from reconciler.resources.account_matching import BY_NAME
from reconciler.resources.migration import AccountsBlock, MigrationBlock, NameList, WaveBlock
from reconciler.resources.misfit import Found
from reconciler.resources.population import EVERYTHING, Listed, Selection

Lists = Mapping[str, tuple[Listed, ...]]
"""Lists of accounts that were read from files, by the path as it is written."""


class Population(Struct, frozen=True):
    """One population in its place.

    Attributes:
        fields: Of the resource, beside what all of a migration share.
        earlier: Selections of the populations before it that may have taken some of its accounts.
    """

    block: AccountsBlock
    wave: WaveBlock
    origin: Found
    selection: Selection
    earlier: tuple[Selection, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)


def populations(block: MigrationBlock, source_head: str, lists: Lists) -> list[Population]:
    """Return the populations in the order in which they are migrated: by wave, then as written.

    Args:
        source_head: DN of the source domain.
    """
    waves = block.waves or (WaveBlock(name="all"),)
    places = {wave.name: index for index, wave in enumerate(waves)}
    written = [
        (places[one.wave or waves[0].name], index, one)
        for index, one in enumerate(block.accounts)
        if (one.wave or waves[0].name) in places
    ]
    read = _read_by_any(block)
    found: list[Population] = []
    for place, index, one in sorted(written, key=lambda item: item[:2]):
        selection = _selection(one, source_head, lists)
        earlier = tuple(before.selection for before in found if before.selection.of == selection.of)
        wave = waves[place]
        gates = _gates(waves, place, found)
        fields = _fields(one, wave, selection, earlier) | {"gates": gates, "also_read": read}
        found.append(Population(one, wave, ("migration", "accounts", index), selection, earlier, fields))
    return found


def problems(block: MigrationBlock) -> Iterable[tuple[Found, str, str]]:
    """Return names of waves that mean nothing, and populations that cannot be told apart."""
    known = [wave.name for wave in block.waves]
    for index, name in enumerate(known):
        if name in known[:index]:
            yield ("migration", "waves", index), f"two waves are called '{name}'", "give each a name of its own"
    for index, one in enumerate(block.accounts):
        if one.wave and one.wave not in known:
            do = f"known waves: {', '.join(known) or 'none'}"
            yield ("migration", "accounts", index, "wave"), f"no wave is called '{one.wave}'", do


def files_of(block: MigrationBlock) -> list[tuple[str, Found]]:
    """Return the files that lists of accounts are read from, and where the state file names them."""
    return [
        (str(one.names.file), ("migration", "accounts", index, "names", "file"))
        for index, one in enumerate(block.accounts)
        if isinstance(one.names, NameList)
    ]


def _selection(one: AccountsBlock, head: str, lists: Lists) -> Selection:
    if isinstance(one.names, NameList):
        listed = lists.get(str(one.names.file), ())
    else:
        listed = tuple(Listed(name=name) for name in one.names)
    return Selection(
        of=one.of,
        base=one.from_ or Dn(head),
        filter=one.filter or EVERYTHING[one.of],
        members_of=one.members_of,
        listed=listed,
        excluded=one.except_,
    )


def _fields(
    one: AccountsBlock, wave: WaveBlock, selection: Selection, earlier: tuple[Selection, ...]
) -> dict[str, Any]:
    named = {"name": one.name} if one.name else {}
    return {
        **named,
        **{name: getattr(selection, name) for name in Selection.model_fields},
        "earlier": earlier,
        "into": one.into,
        "placed": one.placed,
        "rename": one.rename,
        "match_by": one.match_by,
        "on_name_conflict": one.on_name_conflict,
        "attributes": one.attributes,
        "leave_out": one.leave_out,
        "source_afterwards": one.source_afterwards,
        "change_password_at_logon": one.change_password_at_logon,
        "groups": one.groups,
        "batch": wave.batch or one.batch,
        "most": wave.size,
        "wave": wave.name if one.wave else "",
        "windows": wave.windows,
    }


def _gates(waves: Sequence[WaveBlock], place: int, found: Sequence[Population]) -> tuple[dict[str, Any], ...]:
    """Return what has to be true of the wave before: only of its users, nobody logs on as a group."""
    percent = float(waves[place].after.rstrip(" %"))
    if place == 0 or percent == 0:
        return ()
    before = waves[place - 1].name
    return tuple(
        {**one.selection.model_dump(), "percent": percent, "wave": before}
        for one in found
        if one.wave.name == before and one.selection.of == "users"
    )


def _read_by_any(block: MigrationBlock) -> tuple[str, ...]:
    """Return every attribute that some population asks for: all ask one question, so that it is asked once."""
    keys = {one.match_by for one in block.accounts} - {BY_NAME}
    return tuple(sorted(keys | {name for one in block.accounts for name in one.attributes}))
