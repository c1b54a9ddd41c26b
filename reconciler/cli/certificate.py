"""The verbs about certificates of completion: is one what was signed, and what does it say. Both work offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from reconciler.cli import output as screen
from reconciler.core.exit_codes import ExitCode

certificate = App(name="certificate", help="The signed list of what was put back: check it, and read it.")

Which = Annotated[
    Path, Parameter(help="A certificate (`*.certificate.json`), or the state file: then its newest certificate.")
]
PublicKey = Annotated[
    Path | None, Parameter(help="The public key, kept elsewhere; that of the audit log beside it where not given.")
]


@certificate.command
def verify(which: Which, *, public_key: PublicKey = None) -> int:
    """Check a certificate. Exit 0: it is as it was signed; 1: it is not, and every fault is named."""
    from reconciler.edge.certificate_file import check, key_beside

    path = _certificate_of(which)
    checked = check(path, public_key or key_beside(path))
    for fault in checked.faults:
        screen.write(f"{fault}\n")
    if public_key is None:
        screen.stderr("the key beside it was used; whoever could replace it could replace the certificate", "dim")
    if checked.faults:
        screen.stderr(f"{path} is not what was signed", "bold red")
        return ExitCode.ERROR
    body, audit = checked.body, checked.body["audit"]
    screen.write(
        f"{path} is as it was signed: {len(body['settings'])} settings of {body['state']}, made {body['made_at']}, "
        f"audit log up to record {audit['count']}, key {checked.key[:16]}\n"
    )
    return ExitCode.OK


@certificate.command
def show(
    which: Which,
    *,
    public_key: PublicKey = None,
    output: Annotated[
        Literal["text", "json"], Parameter(name="--output", help="text for people, json for programs.")
    ] = "text",
) -> int:
    """Show what a certificate says. Exit 1 where it is not what was signed; only as JSON is it shown all the same."""
    from reconciler.edge.certificate_file import check, key_beside

    path = _certificate_of(which)
    checked = check(path, public_key or key_beside(path))
    if output == "json":
        document = {"apiVersion": "reconciler/v1", "faults": list(checked.faults), **checked.body}
        screen.write(json.dumps({**document, "kind": "Certificate"}, indent=2) + "\n")
    elif not checked.faults:
        from reconciler.reports.certificate import table

        screen.stdout(table(checked.body))
    if checked.faults:
        screen.stderr(f"{path} is not what was signed: {checked.faults[0]}", "bold red")
    return ExitCode.ERROR if checked.faults else ExitCode.OK


def _certificate_of(path: Path) -> Path:
    from reconciler.edge.certificate_file import SUFFIX, certificates

    if path.name.endswith(SUFFIX):
        return path
    from reconciler.cli.loading import load

    journal = load(path).journal
    return next(reversed(certificates(journal)), journal.with_suffix(SUFFIX))
