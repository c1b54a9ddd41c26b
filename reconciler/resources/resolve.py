"""From a state file to its resources: every name is checked, ``migration:`` is spelled out, restarts are joined. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache
from typing import TYPE_CHECKING

from reconciler.core.resource import After, Declaration, Key, Resource
from reconciler.resources.kinds import KINDS
from reconciler.resources.misfit import Found, Misfit, unknown
from reconciler.resources.state import State

if TYPE_CHECKING:
    from reconciler.resources.article_accounts import Lists

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
        from reconciler.resources.article import Article

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
        yield from unknown(domain.credential, state.credentials, "credential", ("domains", name, "credential"))
    for name, host in state.hosts.items():
        yield from unknown(host.domain, state.domains, "domain", ("hosts", name, "domain"))
        if host.credential is not None:
            yield from unknown(host.credential, state.credentials, "credential", ("hosts", name, "credential"))
    known: dict[str, Collection[str]] = {
        "host": state.hosts, "domain": state.domains, "credential": state.credentials,
    }  # fmt: skip
    for index, resource in enumerate(state.resources):
        for path, what in _references(type(resource)):
            for value, place in _values(resource, path):
                yield from unknown(value, known[what], what, ("resources", index, *place))
    if state.migration is not None:
        from reconciler.resources.article_names import unknown_names

        yield from unknown_names(state, state.migration)


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


def _with_restarts(made: list[Declaration]) -> list[Declaration]:
    """Let one restart per host wait for everything on it that counts only after a restart, wherever it was declared."""
    waiting: dict[str, list[Key]] = {}
    for declaration in made:
        resource = declaration.resource
        if _may_wait_for_restart(type(resource)) and getattr(resource, "restart", False):
            waiting.setdefault(str(getattr(resource, "host", "")), []).append(resource.key)
    out, served = [], set()
    for declaration in made:
        resource = declaration.resource
        if resource.barrier:
            host = str(getattr(resource, "host", ""))
            served.add(host)
            joined = resource.model_copy(update={"after": _joined(resource.after, waiting.get(host, []))})
            out.append(Declaration(joined, declaration.origin))
        else:
            out.append(declaration)
    for host in (host for host in waiting if host not in served):
        restart = KINDS["win.restart"].model_validate(
            {"host": host, "after": _joined((), waiting[host]), "pending": ()}
        )
        out.append(Declaration(restart, ("hosts", host)))
    return out


@cache
def _may_wait_for_restart(kind: type[Resource]) -> bool:
    """Whether a kind says of some of its resources that they count only after a restart."""
    return "restart" in kind.model_fields and not kind.barrier


def restarts_of(hosts: Iterable[str]) -> list[Declaration]:
    """Declare a restart for each host, for going back without a state file."""
    return [Declaration(KINDS["win.restart"].model_validate({"host": host, "pending": ()})) for host in hosts]


def _joined(after: tuple[After, ...], keys: list[Key]) -> tuple[After, ...]:
    have = {item.key for item in after}
    return (*after, *(After(key=key, because="it counts only after a restart") for key in keys if key not in have))
