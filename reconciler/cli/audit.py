"""The verbs about the audit log: is it what was written, and what does it say. Both work offline and change nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from reconciler.cli import output as screen
from reconciler.core.exit_codes import ExitCode

if TYPE_CHECKING:
    from rich.table import Table

audit = App(name="audit", help="The log of every effect: check that nobody changed it, and read it.")

Log = Annotated[Path, Parameter(help="The state file, or a log (`*.audit.jsonl`) or a copy of one.")]


@audit.command
def verify(
    log: Log,
    *,
    public_key: Annotated[
        Path | None, Parameter(help="The public key, kept elsewhere; the one beside the log where not given.")
    ] = None,
    head: Annotated[
        tuple[Path, ...],
        Parameter(
            help="An earlier head, kept elsewhere: the log must still hold what it names. May be repeated.", negative=""
        ),
    ] = (),
) -> int:
    """Check a log. Exit 0: every record is as it was written; 1: it is not, and every fault is named."""
    from reconciler.edge.audit_check import inspect

    path = _log_of(log)
    verdict = inspect(path, public_key, head)
    for fault in verdict.faults:
        screen.write(f"{fault}\n")
    if public_key is None:
        screen.stderr("the key beside the log was used; whoever could replace it could replace the log", "dim")
    if verdict.faults:
        count = len(verdict.faults)
        screen.stderr(f"{path} is not intact: {count} fault{'s' if count != 1 else ''}", "bold red")
        return ExitCode.ERROR
    last = f", the last of {verdict.head.at}" if verdict.head else ""
    screen.write(f"{path} is intact: {verdict.count} records{last}, key {verdict.key[:16]}\n")
    return ExitCode.OK


@audit.command
def show(
    log: Log,
    *,
    output: Annotated[
        Literal["text", "json"], Parameter(name="--output", help="text for people, json for programs.")
    ] = "text",
) -> int:
    """Show what a log says. Exit 1 where it is not intact; what can be read is shown all the same."""
    from reconciler.edge.audit_check import inspect

    path = _log_of(log)
    records = list(_records(path))
    if output == "json":
        document = {"apiVersion": "reconciler/v1", "kind": "Audit", "records": records}
        screen.write(json.dumps(document, indent=2) + "\n")
    else:
        screen.stdout(_table(records))
    verdict = inspect(path)
    if verdict.faults:
        screen.stderr(f"not intact: {verdict.faults[0]}; `reconcile audit verify` names every fault", "bold red")
    return ExitCode.ERROR if verdict.faults else ExitCode.OK


def _log_of(path: Path) -> Path:
    from reconciler.edge.audit_check import SUFFIX, audit_path

    if path.name.endswith(SUFFIX):
        return path
    from reconciler.cli.loading import load

    return audit_path(load(path).journal)


def _records(path: Path) -> Iterator[dict[str, Any]]:
    from reconciler.core.audit_chain import opened
    from reconciler.edge.audit_check import read_lines

    for place, line in enumerate(read_lines(path), 1):
        try:
            yield opened(line)
        except ValueError as error:
            screen.stderr(f"line {place}: {error}", "red")


def _table(records: list[dict[str, Any]]) -> Table:
    from rich.table import Table

    table = Table(
        "no", "when", "event", "resource", "before", "wanted / read", "step", "account", box=None, pad_edge=False
    )
    for record in records:
        then = record.get("wanted") if record.get("after") is None else record["after"]
        cells = (record.get(name, "") for name in ("number", "at", "event", "key"))
        rest = (_values(record.get("before")), _values(then), record.get("step", ""), record.get("account", ""))
        table.add_row(*(_shown(cell) for cell in (*cells, *rest)))
    return table


def _values(fields: object) -> str:
    if not isinstance(fields, dict) or fields.get("ensure") == "absent":
        return "absent" if fields else ""
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in fields.items() if name != "ensure") or "present"


def _shown(value: object) -> Any:
    """Return text for the screen, whoever wrote it into the log."""
    from rich.text import Text

    from reconciler.reports.plain import printable

    return Text(printable(str(value)))
