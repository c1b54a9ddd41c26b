"""The program as its command line sees it: every verb, each imported only when it is run or helped with."""

from __future__ import annotations

from collections.abc import Sequence

from cyclopts import App

from reconciler import __version__

VERBS = (
    "reconciler.cli.verbs:validate",
    "reconciler.cli.verbs:plan",
    "reconciler.cli.verbs:apply",
    "reconciler.cli.verbs:drift",
    "reconciler.cli.verbs:revert",
    "reconciler.cli.verbs:graph",
    "reconciler.cli.verbs:status",
    "reconciler.cli.verbs:schema",
    "reconciler.cli.watch:watch",
    "reconciler.cli.accounts:accounts",
    "reconciler.cli.canary:canary",
    "reconciler.cli.pausing:pause",
    "reconciler.cli.pausing:resume",
    "reconciler.cli.history:history",
    "reconciler.cli.audit:audit",
    "reconciler.cli.certificate:certificate",
    "reconciler.cli.lab:lab",
)

app = App(
    name="reconcile",
    help="Declare an Active Directory migration; let it be set up, carried out, and every temporary setting put back.",
    version=__version__,
)
for verb in VERBS:
    app.command(verb)


def program(arguments: Sequence[str]) -> App:
    """Return the program for a command line; one that names no verb is answered with a line about each, so all are imported."""
    if not arguments or arguments[0].startswith("-"):
        for verb in VERBS:
            _ = app[verb.rpartition(":")[2]]
    return app
