"""What is written to the directories themselves: what ADMT does silently is set right, and source accounts are closed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from reconciler.core.steps import AttributeChange, ModifyEntry, Step
from reconciler.resources.account_records import DISABLED
from reconciler.resources.account_standing import SAM, UPN, Stand


def repairs(stands: Iterable[Stand], source: str, target: str) -> tuple[Step, ...]:
    """Return one write per account and side; the old value is named in each, so that a later writer is not overwritten."""
    return tuple(step for one in stands if not one.complete for step in _of_one(one, source, target))


def _of_one(one: Stand, source: str, target: str) -> Iterator[Step]:
    account = one.pair.target
    if account is None or one.pair.conflict:
        return
    if one.must_change:
        change = AttributeChange("pwdLastSet", "replace", ("-1",))
        yield Step(
            ModifyEntry(target, account.dn, (change,)), f"let {account.sam} keep the copied password", apart=True
        )
    if changes := (*_names(one), *_attributes(one)):
        what = ", ".join((*one.names, *one.attributes))
        yield Step(ModifyEntry(target, account.dn, changes), f"set {what} of {account.sam} as declared", apart=True)
    if one.source == "disabled" and one.usable:
        old = one.pair.source.control
        closed = _moved("userAccountControl", [str(old).encode()], [str(old | DISABLED).encode()])
        yield Step(
            ModifyEntry(source, one.pair.source.dn, closed), f"disable {one.pair.source.sam} in the source", apart=True
        )


def _names(one: Stand) -> tuple[AttributeChange, ...]:
    account, names = one.pair.target, one.pair.names
    assert account is not None
    wanted = {SAM: (account.sam, names.sam), UPN: (account.upn, names.upn)}
    found = (wanted[name] for name in one.names)
    return tuple(
        change
        for name, (old, new) in zip(one.names, found, strict=True)
        for change in _moved(name, [old.encode()] if old else [], [new.encode()])
    )


def _attributes(one: Stand) -> tuple[AttributeChange, ...]:
    account = one.pair.target
    assert account is not None
    return tuple(
        change
        for name, at in one.places
        if name in one.attributes
        for change in _moved(name, account.values[at], one.pair.source.values[at])
    )


def _moved(name: str, old: Sequence[bytes], new: Sequence[bytes]) -> tuple[AttributeChange, ...]:
    """Return what turns the old values into the new ones, and touches no others."""
    gone = tuple(value for value in old if value not in new)
    more = tuple(value for value in new if value not in old)
    changes = (
        AttributeChange(name, "delete", gone) if gone else None,
        AttributeChange(name, "add", more) if more else None,
    )
    return tuple(change for change in changes if change is not None)
