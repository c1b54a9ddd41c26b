"""Whether what the ``migration:`` block refers to by name is there, and in the domain in which it has its part. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.resources.article_accounts import problems as problems_of_populations
from reconciler.resources.article_hosts import unfit_hosts
from reconciler.resources.migration import MigrationBlock
from reconciler.resources.misfit import Found, unknown
from reconciler.resources.state import State


def unknown_names(state: State, block: MigrationBlock) -> Iterable[tuple[Found, str, str]]:
    yield from unknown(block.source, state.domains, "domain", ("migration", "source"))
    yield from unknown(block.target, state.domains, "domain", ("migration", "target"))
    yield from unknown(block.admt_host, state.hosts, "host", ("migration", "admt_host"))
    for index, name in enumerate(block.also_admt_hosts):
        yield from unknown(name, state.hosts, "host", ("migration", "also_admt_hosts", index))
    yield from unknown(
        block.operator.credential, state.credentials, "credential", ("migration", "operator", "credential")
    )
    if block.passwords is not None:
        yield from unknown(
            block.passwords.export_server, state.hosts, "host", ("migration", "passwords", "export_server")
        )
        for field in ("key_created_on",):
            value = getattr(block.passwords, field)
            if value is not None:
                yield from unknown(value, state.hosts, "host", ("migration", "passwords", field))
        if block.passwords.run_as_credential is not None:
            origin: Found = ("migration", "passwords", "run_as_credential")
            yield from unknown(block.passwords.run_as_credential, state.credentials, "credential", origin)
    yield from _unfit_hosts(state, block)
    yield from problems_of_populations(block)


def _unfit_hosts(state: State, block: MigrationBlock) -> Iterable[tuple[Found, str, str]]:
    """Check that every host is in the domain in which it has its part."""
    server = state.hosts.get(block.passwords.export_server) if block.passwords else None
    if block.passwords and server is not None and server.domain != block.source:
        yield (
            ("migration", "passwords", "export_server"),
            f"host '{block.passwords.export_server}' is not in the source domain",
            "the Password Export Server runs on a writable controller of the source",
        )
    yield from unfit_hosts(state, block)
    if not any(host.domain == block.source and host.role == "pdc-emulator" for host in state.hosts.values()):
        yield (
            ("hosts",),
            f"no host is the PDC emulator of '{block.source}'",
            f"add `source-pdc: {{domain: {block.source}, role: pdc-emulator}}`: SID history is written through it",
        )
