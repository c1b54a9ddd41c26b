"""Which accounts go into which run of ADMT: what was never tried first, what broke a run in smaller and smaller ones.

The law: an account that breaks a run ends up alone, and the others go on. What failed is tried again only when nothing else is left.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from reconciler.core.steps import Portion
from reconciler.core.values import Dn
from reconciler.resources.account_matching import Pair
from reconciler.resources.account_standing import Stand
from reconciler.resources.admt_command import Batch, Mode


class Sort(NamedTuple):
    """What accounts of one batch have in common."""

    mode: Mode
    into: str  # as written: hashing a DN takes it apart
    disabled: bool
    expires: bool
    most: int
    host: str


def mode_of(one: Stand) -> Mode | None:
    """Return how ADMT has to be run for an account; None where it is not for it."""
    if one.pair.conflict or one.pair.skipped:
        return None
    if one.pair.target is None:
        return "new"
    if one.in_part:
        return "resume"
    if one.password or one.stale:
        return "merge"
    # When a source account expires is written by ADMT: nothing else here knows what day it is.
    return "merge-keeping-password" if one.history or (one.source == "expiring" and one.usable) else None


def batches(
    stands: Sequence[Stand], size: int, keeps: Callable[[Stand], bool], hosts: Sequence[str], *, again: bool = False
) -> list[Batch]:
    """Return the runs for accounts that need one.

    Args:
        size: The most accounts of a run.
        hosts: Those that run ADMT.
        keeps: Whether an account is meant.
        again: Also those that failed by themselves before.
    """
    wanted = [(one, mode) for one in stands if (mode := mode_of(one)) is not None and keeps(one)]
    chosen = [(one, mode) for one, mode in wanted if _failed(one) == again]
    sorts: dict[Sort, list[Pair]] = {}
    for one, mode in chosen:
        sorts.setdefault(_sort(one, mode, size, host_of(one.pair.source.sid, hosts)), []).append(one.pair)
    found = [
        Batch(tuple(part), sort.mode, Dn(sort.into), sort.disabled, sort.expires, host=sort.host)
        for sort, pairs in sorts.items()
        for part in _parts(pairs, sort.most)
    ]
    return _counted(found)


def host_of(sid: bytes, hosts: Sequence[str]) -> str:
    """Return the host whose ADMT has an account.

    It is the same in every run, as long as the hosts are: a run that a program left behind when it died is waited for on that host
    before its accounts are tried again, and no other database makes them meanwhile.
    """
    return hosts[zlib.crc32(sid) % len(hosts)]


def _failed(one: Stand) -> bool:
    return bool(one.known.failed) or one.known.batch == 1


def _sort(one: Stand, mode: Mode, size: int, host: str) -> Sort:
    target = one.pair.target
    into = str(one.pair.names.into)
    most = min(size, max(1, one.known.batch // 2)) if one.known.batch else size
    return Sort(mode, into, target is not None and target.disabled, one.source == "expiring" and one.usable, most, host)


def _parts(pairs: Sequence[Pair], size: int) -> Iterable[Sequence[Pair]]:
    return (pairs[start : start + size] for start in range(0, len(pairs), size))


def _counted(found: Sequence[Batch]) -> list[Batch]:
    whole, before, out = sum(len(batch.pairs) for batch in found), 0, []
    for batch in found:
        out.append(replace(batch, portion=Portion(before, len(batch.pairs), whole)))
        before += len(batch.pairs)
    return out
