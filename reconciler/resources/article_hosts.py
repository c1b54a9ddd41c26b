"""The hosts of the ``migration:`` block that run ADMT, each with a database of its own, and what each of them is for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from reconciler.core.targets import Host, Name
from reconciler.resources.migration import AccountsBlock, MigrationBlock
from reconciler.resources.misfit import Found
from reconciler.resources.state import State

ADMT_HOST: Found = ("migration", "admt_host")


class AdmtHosts(Struct, frozen=True):
    """Who runs ADMT.

    Attributes:
        every: The first one, which makes the key and takes the throw-away account, and then the others.
        administered: Those whose local administrators are a group of their own. That of a controller is its whole domain's.
        written_to: Those that are controllers and that ADMT changes.
        addresses: DNS name of the controller that ADMT changes from each host; empty where nobody knows, and ADMT chooses.
    """

    every: tuple[Name, ...]
    administered: tuple[Name, ...]
    written_to: tuple[Name, ...]
    addresses: Mapping[Name, str]

    @property
    def first(self) -> Name:
        """The one that is there in any case."""
        return self.every[0]

    @classmethod
    def of(cls, state: State, block: MigrationBlock) -> AdmtHosts:
        """Read them from a state file whose names are known to be right.

        A command line migrates SIDs to the controller on which it runs, and to no other [KB322970]. Without SIDs all write to one
        and the same controller: what one of them made is then there for the others at once.
        """
        every = (block.admt_host, *block.also_admt_hosts)
        controllers = tuple(name for name in every if not state.hosts[name].member_server)
        one = _address(state.hosts[controllers[0]]) if controllers else ""
        return cls(
            every,
            tuple(name for name in every if name not in controllers[1:]),
            controllers if block.sid_history else controllers[:1],
            {name: _address(state.hosts[name]) if block.sid_history else one for name in every},
        )

    def fields_for(self, one: AccountsBlock) -> dict[str, Any]:
        """Return the fields of a population about its hosts.

        Groups that come along with their members go through one database: two runs at once would both make the same group.
        """
        others = () if one.groups else self.every[1:]
        return {
            "host": self.first,
            "host_address": self.addresses[self.first],
            "also_hosts": tuple({"host": name, "address": self.addresses[name]} for name in others),
        }


def unfit_hosts(state: State, block: MigrationBlock) -> Iterable[tuple[Found, str, str]]:
    """Check that every host is one on which ADMT can do what is asked of it."""
    for name, origin in _places(block):
        host = state.hosts.get(name)
        if host is None:
            continue
        if host.domain != block.target:
            do = "ADMT runs in the target domain; with SID history on one of its controllers"
            yield origin, f"host '{name}' is not in the target domain", do
        elif host.member_server and block.sid_history:
            what = f"host '{name}' is a member server, and ADMT migrates SIDs only on a controller of the target"
            yield origin, what, "name a controller, or set `sid_history: false`"
    yield from _unfit_together(block)


def _unfit_together(block: MigrationBlock) -> Iterable[tuple[Found, str, str]]:
    every = (block.admt_host, *block.also_admt_hosts)
    for index, name in enumerate(block.also_admt_hosts):
        if name in every[: index + 1]:
            origin: Found = ("migration", "also_admt_hosts", index)
            yield origin, f"host '{name}' runs ADMT already", "name each host once: ADMT runs once at a time on each"
    groups = any(one.of == "groups" or one.groups for one in block.accounts)
    if block.also_admt_hosts and groups and not block.memberships:
        what = "several ADMT hosts migrate groups, and `memberships` is off"
        do = "leave `memberships` on: ADMT only knows members that it migrated itself, on the same host"
        yield ("migration", "memberships"), what, do


def _places(block: MigrationBlock) -> Iterable[tuple[Name, Found]]:
    yield block.admt_host, ADMT_HOST
    for index, name in enumerate(block.also_admt_hosts):
        yield name, ("migration", "also_admt_hosts", index)


def _address(host: Host) -> str:
    """Return a host's DNS name where the state file gives it; the others are found by their role."""
    return host.address or ""
