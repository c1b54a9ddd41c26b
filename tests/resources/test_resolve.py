"""Names that lead nowhere are all told at once, and one restart per host serves whatever was declared wherever."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.resources.misfit import Found, Misfit
from tests.declared import graph, lab, passwords, registry

Problems = dict[Found, tuple[str, str]]


def problems(document: dict[str, Any]) -> Problems:
    with pytest.raises(Misfit) as caught:
        graph(document)
    return {origin: (what, do) for origin, what, do in caught.value.problems}


def changed(*path: str | int, to: object) -> dict[str, Any]:
    """Return the example with one value replaced."""
    document: Any = lab(resources=[registry()])
    here = document
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = to
    return document  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("path", "what"),
    [
        (("domains", "source", "credential"), "credential"),
        (("hosts", "admt", "domain"), "domain"),
        (("hosts", "admt", "credential"), "credential"),
        (("migration", "source"), "domain"),
        (("migration", "target"), "domain"),
        (("migration", "admt_host"), "host"),
        (("migration", "operator", "credential"), "credential"),
        (("migration", "passwords", "export_server"), "host"),
        (("migration", "passwords", "key_created_on"), "host"),
        (("migration", "passwords", "run_as_credential"), "credential"),
        (("resources", 0, "host"), "host"),
    ],
    ids=lambda value: ".".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_unknown_name_is_told_at_its_place_with_the_known_ones(path: tuple[str | int, ...], what: str) -> None:
    found = problems(changed(*path, to="nowhere"))
    said, do = found[path]
    assert said == f"no {what} is called 'nowhere'"
    known = {
        "credential": "source-admin, target-admin, migrator",
        "domain": "source, target",
        "host": "source-pdc, admt",
    }
    assert do == f"known {what}s: {known[what]}"


@pytest.mark.parametrize(
    ("resource", "field"),
    [
        (dict(kind="ad.group", domain="nowhere", name="g", scope="global"), "domain"),
        (dict(kind="ad.group_member", domain="source", group="g", member="m", member_domain="nowhere"), "member_domain"),
        (dict(kind="ad.access", domain="source", object="", trustee="S-1-1-0", trustee_domain="nowhere", grants=[{"right": "read-property"}]), "trustee_domain"),
        (dict(kind="win.service", host="admt", name="s", credential="nowhere"), "credential"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)  # fmt: skip
def test_unknown_name_in_a_resource_is_told_at_its_field(resource: dict[str, Any], field: str) -> None:
    assert ("resources", 0, field) in problems(lab(resources=[resource]))


TRUST = {
    "kind": "ad.trust", "domain": "target", "partner": "source", "host": "admt", "partner_host": "source-pdc", "domain_dns": "target.lab",
    "partner_dns": "source.lab", "credential": "target-admin", "partner_credential": "source-admin",
}  # fmt: skip
FILE = {"kind": "win.file", "host": "admt", "path": r"C:\a", "content_of": {"host": "admt", "path": r"C:\b"}}
IMPORT = {
    "kind": "pes.key_import", "host": "source-pdc", "domain": "source", "source_dns": "source.lab", "key_file": r"C:\a.pes",
    "key_password": {"env": "X"}, "created_on": "admt",
}  # fmt: skip


def test_resources_with_a_second_name_are_accepted_where_it_is_known() -> None:
    assert graph(lab(resources=[TRUST, FILE, IMPORT])).faults == []


@pytest.mark.parametrize(
    "resource",
    [
        {**TRUST, "partner_host": "nowhere"},
        {**TRUST, "partner_credential": "nowhere"},
        {**FILE, "content_of": {"host": "nowhere", "path": r"C:\b"}},
        {**IMPORT, "created_on": "nowhere"},
    ],
    ids=["partner_host", "partner_credential", "content_of.host", "created_on"],
)
def test_unknown_second_name_in_a_resource_is_told(resource: dict[str, Any]) -> None:
    assert problems(lab(resources=[resource]))


def test_every_wrong_name_is_told_at_once() -> None:
    document = changed("hosts", "admt", "credential", to="nobody")
    document["domains"]["source"]["credential"] = "nobody"
    document["migration"]["operator"]["credential"] = "nobody"
    document["resources"] = [registry("nowhere", "A"), registry("nowhere", "B")]
    assert len(problems(document)) == 5


def test_host_of_admt_outside_the_target_is_told() -> None:
    what, do = problems(lab(admt_host="source-pdc"))[("migration", "admt_host")]
    assert what == "host 'source-pdc' is not in the target domain"
    assert "target domain" in do


def test_missing_pdc_emulator_is_told_with_the_line_to_add() -> None:
    document = lab()
    document["hosts"]["source-pdc"] = {"domain": "source", "address": "srcdc1.source.lab"}
    what, do = problems(document)[("hosts",)]
    assert what == "no host is the PDC emulator of 'source'"
    assert "role: pdc-emulator" in do


def test_export_server_outside_the_source_is_told() -> None:
    assert ("migration", "passwords", "export_server") in problems(lab(passwords=passwords(export_server="admt")))


def test_without_migration_only_what_is_declared_is_there() -> None:
    document = lab(
        resources=[registry(name="A"), registry(name="B", after=[r"win.registry/admt/HKLM:\SOFTWARE\Extra/A"])]
    )
    del document["migration"]
    found = graph(document)
    assert [key.rpartition("/")[2] for key in found.order] == ["A", "B"]
    assert found.edges()[0][2] == "declared in `after`"


def test_nothing_at_all_is_a_graph_too() -> None:
    document = lab()
    del document["migration"]
    assert len(graph(document)) == 0


# Restarts.


def test_declared_setting_that_waits_for_a_restart_joins_the_one_of_the_article() -> None:
    found = graph(lab(resources=[registry("source-pdc", restart=True)]))
    key = r"win.registry/source-pdc/HKLM:\SOFTWARE\Extra/Extra"
    assert [k for k in found.declarations if k.startswith("win.restart/")] == ["win.restart/source-pdc"]
    need = next(need for need in found.needs["win.restart/source-pdc"] if need.key == key)
    assert need.because == "it counts only after a restart"
    assert found.faults == []


def test_host_without_a_restart_gets_one_for_all_that_wait() -> None:
    found = graph(
        lab(resources=[registry(name="A", restart=True), registry(name="B", restart=True), registry(name="C")])
    )
    assert [need.key.rpartition("/")[2] for need in found.needs["win.restart/admt"]] == ["A", "B"]
    assert found.declarations["win.restart/admt"].origin == ("hosts", "admt")


def test_declared_restart_is_used_and_none_is_added() -> None:
    restart = {"kind": "win.restart", "host": "admt", "timeout_s": 60}
    found = graph(lab(resources=[restart, registry(restart=True)]))
    assert [k for k in found.declarations if k.startswith("win.restart/admt")] == ["win.restart/admt"]
    assert len(found.needs["win.restart/admt"]) == 1


def test_restart_that_already_waits_for_a_setting_does_so_once() -> None:
    key = r"win.registry/admt/HKLM:\SOFTWARE\Extra/Extra"
    restart = {"kind": "win.restart", "host": "admt", "after": [{"key": key, "because": "mine"}]}
    found = graph(lab(resources=[registry(restart=True), restart]))
    assert [(need.key, need.because) for need in found.needs["win.restart/admt"]] == [(key, "mine")]


def test_added_restarts_come_in_the_order_of_the_file() -> None:
    document = lab()
    names = [f"h{n}" for n in range(9)]
    document["hosts"] |= {name: {"domain": "target", "address": f"{name}.target.lab"} for name in names}
    document["resources"] = [registry(name, restart=True) for name in names]
    made = [key for key in graph(document).declarations if key.startswith("win.restart/h")]
    assert made == [f"win.restart/{name}" for name in names]
