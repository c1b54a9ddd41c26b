"""From a state file to its resources: every name is checked, ``migration:`` is spelled out, restarts are joined. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconciler.core.graph import Graph
from reconciler.core.ports import Json
from reconciler.core.resource import After, Declaration, Key
from reconciler.core.values import Phase
from reconciler.resources.ad_accounts import Accounts
from reconciler.resources.admt_leftovers import Leftovers
from reconciler.resources.article import Article
from reconciler.resources.kinds import KINDS
from reconciler.resources.misfit import Found, Misfit
from reconciler.resources.state import MigrationBlock, State


def declarations(state: State) -> list[Declaration]:
    """Return every resource of a state file: those that `migration` means, then those declared directly.

    Raises:
        Misfit: A name refers to nothing, or a needed host is missing.
    """
    problems = list(_unknown_names(state))
    declared = [Declaration(resource, ("resources", index)) for index, resource in enumerate(state.resources)]
    article: list[Declaration] = []
    if state.migration is not None and all(origin[0] == "resources" for origin, _, _ in problems):
        try:
            article = Article(state, state.migration).resources()
        except Misfit as misfit:
            problems += misfit.problems
    whole = _with_restarts([*article, *declared])
    if problems:
        raise Misfit(problems, whole)
    return whole


def _unknown_names(state: State) -> Iterable[tuple[Found, str, str]]:
    """Check every reference by name before anything is built from it."""
    for name, domain in state.domains.items():
        yield from _check(domain.credential, state.credentials, "credential", ("domains", name, "credential"))
    for name, host in state.hosts.items():
        yield from _check(host.domain, state.domains, "domain", ("hosts", name, "domain"))
        if host.credential is not None:
            yield from _check(host.credential, state.credentials, "credential", ("hosts", name, "credential"))
    for index, resource in enumerate(state.resources):
        for field, known, what in (
            ("host", state.hosts, "host"),
            ("partner_host", state.hosts, "host"),
            ("created_on", state.hosts, "host"),
            ("export_server", state.hosts, "host"),
            ("content_of.host", state.hosts, "host"),
            ("domain", state.domains, "domain"),
            ("partner", state.domains, "domain"),
            ("member_domain", state.domains, "domain"),
            ("trustee_domain", state.domains, "domain"),
            ("source", state.domains, "domain"),
            ("target", state.domains, "domain"),
            ("credential", state.credentials, "credential"),
            ("partner_credential", state.credentials, "credential"),
        ):
            value: object = resource
            for part in field.split("."):
                value = getattr(value, part, None)
            if isinstance(value, str) and value:
                yield from _check(value, known, what, ("resources", index, *field.split(".")))
    if state.migration is not None:
        yield from _unknown_in_migration(state, state.migration)


def _unknown_in_migration(state: State, block: MigrationBlock) -> Iterable[tuple[Found, str, str]]:
    yield from _check(block.source, state.domains, "domain", ("migration", "source"))
    yield from _check(block.target, state.domains, "domain", ("migration", "target"))
    yield from _check(block.admt_host, state.hosts, "host", ("migration", "admt_host"))
    yield from _check(
        block.operator.credential, state.credentials, "credential", ("migration", "operator", "credential")
    )
    if block.passwords is not None:
        yield from _check(
            block.passwords.export_server, state.hosts, "host", ("migration", "passwords", "export_server")
        )
        for field in ("key_created_on",):
            value = getattr(block.passwords, field)
            if value is not None:
                yield from _check(value, state.hosts, "host", ("migration", "passwords", field))
        if block.passwords.run_as_credential is not None:
            origin: Found = ("migration", "passwords", "run_as_credential")
            yield from _check(block.passwords.run_as_credential, state.credentials, "credential", origin)
    yield from _unfit_hosts(state, block)


def _unfit_hosts(state: State, block: MigrationBlock) -> Iterable[tuple[Found, str, str]]:
    """Check that every host is in the domain in which it has its part."""
    server = state.hosts.get(block.passwords.export_server) if block.passwords else None
    if block.passwords and server is not None and server.domain != block.source:
        yield (
            ("migration", "passwords", "export_server"),
            f"host '{block.passwords.export_server}' is not in the source domain",
            "the Password Export Server runs on a writable controller of the source",
        )
    admt = state.hosts.get(block.admt_host)
    if admt is not None and admt.domain != block.target:
        yield (
            ("migration", "admt_host"),
            f"host '{block.admt_host}' is not in the target domain",
            "ADMT runs in the target domain; with SID history on one of its controllers",
        )
    if not any(host.domain == block.source and host.role == "pdc-emulator" for host in state.hosts.values()):
        yield (
            ("hosts",),
            f"no host is the PDC emulator of '{block.source}'",
            f"add `source-pdc: {{domain: {block.source}, role: pdc-emulator}}`: SID history is written through it",
        )


def _check(name: str, known: Iterable[str], what: str, origin: Found) -> Iterable[tuple[Found, str, str]]:
    names = list(known)
    if name not in names:
        yield origin, f"no {what} is called '{name}'", f"known {what}s: {', '.join(names) or 'none'}"


def _with_restarts(made: list[Declaration]) -> list[Declaration]:
    """Let one restart per host wait for everything on it that counts only after a restart, wherever it was declared."""
    waiting: dict[str, list[Key]] = {}
    for declaration in made:
        resource = declaration.resource
        if getattr(resource, "restart", False) and not resource.barrier:
            waiting.setdefault(str(getattr(resource, "host", "")), []).append(resource.key)
    out, served = [], set()
    for declaration in made:
        resource = declaration.resource
        if resource.barrier:
            host = str(getattr(resource, "host", ""))
            served.add(host)
            resource = resource.model_copy(update={"after": _joined(resource.after, waiting.get(host, []))})
        out.append(Declaration(resource, declaration.origin))
    for host in (host for host in waiting if host not in served):
        restart = KINDS["win.restart"].model_validate(
            {"host": host, "after": _joined((), waiting[host]), "pending": ()}
        )
        out.append(Declaration(restart, ("hosts", host)))
    return out


def restarts_of(hosts: Iterable[str]) -> list[Declaration]:
    """Declare a restart for each host, for going back without a state file."""
    return [Declaration(KINDS["win.restart"].model_validate({"host": host, "pending": ()})) for host in hosts]


def with_leftovers(graph: Graph, phase: Phase, facts: Mapping[Key, Json]) -> Graph:
    """Add what the journal says that runs of ADMT may have left, where no accounts are migrated that would tidy it up.

    Args:
        facts: The journal's about accounts.
    """
    resources = [declaration.resource for declaration in graph.declarations.values()]
    tidied = {(one.host, one.source) for one in resources if isinstance(one, Accounts) and phase in one.during}
    left = {(str(fact["host"]), key.split("/")[1]) for key, fact in facts.items() if "host" in fact} - tidied
    more = [Declaration(Leftovers(host=host, domain=domain)) for host, domain in sorted(left)]
    return Graph([*graph.declarations.values(), *more]) if more else graph


def _joined(after: tuple[After, ...], keys: list[Key]) -> tuple[After, ...]:
    have = {item.key for item in after}
    return (*after, *(After(key=key, because="it counts only after a restart") for key in keys if key not in have))
