"""From a state file to its resources: every name is checked, ``migration:`` is spelled out, restarts are joined. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import cache

from reconciler.core.graph import Graph
from reconciler.core.ports import Json
from reconciler.core.resource import After, Declaration, Key, Resource
from reconciler.core.values import Phase
from reconciler.resources.ad_accounts import Accounts
from reconciler.resources.ad_canary import Canary
from reconciler.resources.admt_leftovers import Leftovers
from reconciler.resources.article import Article
from reconciler.resources.article_accounts import Lists
from reconciler.resources.article_accounts import problems as problems_of_populations
from reconciler.resources.article_hosts import unfit_hosts
from reconciler.resources.canary_record import left_in
from reconciler.resources.kinds import KINDS
from reconciler.resources.misfit import Found, Misfit
from reconciler.resources.state import MigrationBlock, State

_REFERENCES = (
    (("host",), "host"),
    (("partner_host",), "host"),
    (("created_on",), "host"),
    (("export_server",), "host"),
    (("content_of", "host"), "host"),
    (("also_hosts", "host"), "host"),
    (("domain",), "domain"),
    (("partner",), "domain"),
    (("member_domain",), "domain"),
    (("trustee_domain",), "domain"),
    (("source",), "domain"),
    (("target",), "domain"),
    (("credential",), "credential"),
    (("partner_credential",), "credential"),
)
"""Fields of resources that name a host, a domain or a credential of the state file."""


def declarations(state: State, lists: Lists | None = None) -> list[Declaration]:
    """Return every resource of a state file: those that `migration` means, then those declared directly.

    Args:
        lists: Accounts that were read from the files that the state file names, by path as written.

    Raises:
        Misfit: A name refers to nothing, or a needed host is missing.
    """
    problems = list(_unknown_names(state))
    declared = [Declaration(resource, ("resources", index)) for index, resource in enumerate(state.resources)]
    article: list[Declaration] = []
    if state.migration is not None and all(origin[0] == "resources" for origin, _, _ in problems):
        try:
            article = Article(state, state.migration, lists).resources()
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
    known: dict[str, Collection[str]] = {
        "host": state.hosts, "domain": state.domains, "credential": state.credentials,
    }  # fmt: skip
    for index, resource in enumerate(state.resources):
        for path, what in _references(type(resource)):
            for value, place in _values(resource, path):
                yield from _check(value, known[what], what, ("resources", index, *place))
    if state.migration is not None:
        yield from _unknown_in_migration(state, state.migration)


def _values(value: object, path: Found) -> Iterable[tuple[str, Found]]:
    """Return the names at a place of a resource, with where each of them stands."""
    if isinstance(value, tuple):
        for index, one in enumerate(value):
            yield from ((name, (index, *place)) for name, place in _values(one, path))
    elif path:
        field, *rest = path
        found = _values(getattr(value, str(field), None), tuple(rest))
        yield from ((name, (field, *place)) for name, place in found)
    elif isinstance(value, str) and value:
        yield value, ()


@cache
def _references(kind: type[Resource]) -> tuple[tuple[tuple[str, ...], str], ...]:
    """Return where a kind refers to something by name, and to what; to look for all of them costs more than to check one."""
    return tuple((path, what) for path, what in _REFERENCES if path[0] in kind.model_fields)


def _unknown_in_migration(state: State, block: MigrationBlock) -> Iterable[tuple[Found, str, str]]:
    yield from _check(block.source, state.domains, "domain", ("migration", "source"))
    yield from _check(block.target, state.domains, "domain", ("migration", "target"))
    yield from _check(block.admt_host, state.hosts, "host", ("migration", "admt_host"))
    for index, name in enumerate(block.also_admt_hosts):
        yield from _check(name, state.hosts, "host", ("migration", "also_admt_hosts", index))
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


def _check(name: str, known: Collection[str], what: str, origin: Found) -> Iterable[tuple[Found, str, str]]:
    if name not in known:
        yield origin, f"no {what} is called '{name}'", f"known {what}s: {', '.join(known) or 'none'}"


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
    """Add what the journal says that runs of ADMT and canaries may have left, where nothing is migrated that would tidy it up.

    Args:
        facts: The journal's about accounts.
    """
    resources = [declaration.resource for declaration in graph.declarations.values()]
    tidied = {
        (host, one.source)
        for one in resources
        if isinstance(one, Accounts) and phase in one.during
        for host in one.hosts
    }
    left = {(str(fact["host"]), key.split("/")[1]) for key, fact in facts.items() if "host" in fact} - tidied
    more = [Declaration(Leftovers(host=host, domain=domain)) for host, domain in sorted(left)]
    tried = {one.key for one in resources if isinstance(one, Canary) and phase in one.during}
    birds = [Canary(source=source, name=name, target=target, proves=False) for source, name, target in left_in(facts)]
    # One that is declared for another phase gives way to one that only clears up.
    more += [Declaration(bird) for bird in birds if bird.key not in tried]
    kept = [found for key, found in graph.declarations.items() if key not in {one.resource.key for one in more}]
    return Graph([*kept, *more]) if more else graph


def _joined(after: tuple[After, ...], keys: list[Key]) -> tuple[After, ...]:
    have = {item.key for item in after}
    return (*after, *(After(key=key, because="it counts only after a restart") for key in keys if key not in have))
