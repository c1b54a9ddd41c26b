"""The verb that lets the throw-away account go the whole way now, and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from msgspec.structs import replace

from reconciler.cli import output as screen
from reconciler.cli.fencing import lift, overtake
from reconciler.cli.loading import load
from reconciler.cli.options import Output, StatePath
from reconciler.cli.pausing import refuse_while_paused
from reconciler.cli.reminding import remind
from reconciler.cli.running import INTERRUPTED, connected, remember_targets
from reconciler.core.errors import AuthenticationFailed, NeedsPerson, ReconcileError, Unreachable
from reconciler.core.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.cli.loading import Loaded
    from reconciler.engine.run import Result, Tools
    from reconciler.reports.canary import Flight
    from reconciler.resources.ad_canary import Canary

_STEPS = 1000  # one try takes a handful


def canary(
    state: StatePath,
    *,
    output: Output = "text",
    despite_pause: Annotated[
        bool, Parameter(negative="", help="Go on although `reconcile pause` asked for quiet.")
    ] = False,
) -> int:
    """Let a throw-away account go the whole way now, also where that was proven: made, migrated, logged on with, removed.

    Nothing else is changed; what it needs and is not in place is said. Exit 0: it came through; 1: it did not.
    """
    from reconciler.core.limits import Limits
    from reconciler.edge.audit_check import audit_path
    from reconciler.edge.journal_file import JournalFile
    from reconciler.reports.canary import render_json, render_text

    loaded = load(state)
    bird = _declared(loaded)
    if not despite_pause:
        refuse_while_paused(loaded)
    name, log = loaded.state.metadata.name, audit_path(loaded.journal)
    with JournalFile.open(loaded.journal, name, holder=f"canary {state}") as journal:
        remind(journal)
        with connected(loaded.targets, loaded.base, journal, loaded.permit(Limits()), log=log) as tools:
            if output == "json":
                tools.listen = lambda event: None
            remember_targets(loaded, tools)
            flight, result = _fly(loaded, bird, tools)
    if output == "json":
        screen.write(render_json(flight))
    else:
        screen.stdout(render_text(flight))
    return INTERRUPTED if result.interrupted else _code(result)


def _declared(loaded: Loaded) -> Canary:
    """Return what the state file declares.

    Raises:
        NeedsPerson: There is none, or the phase does not let passwords out.
    """
    from reconciler.resources.ad_canary import Canary

    found = [one for one in loaded.resources if isinstance(one, Canary)]
    if not found:
        do = "declare users under `migration.accounts`, and remove `canary: off`"
        raise NeedsPerson("this state file has no canary", do=do)
    if loaded.state.phase != "migrate":
        do = "say `phase: migrate`; a wave with `phase: prepare` keeps its accounts where they are"
        raise NeedsPerson(f"what the canary needs is not in place while the phase is {loaded.state.phase}", do=do)
    return found[0]


def _fly(loaded: Loaded, bird: Canary, tools: Tools) -> tuple[Flight, Result]:
    from reconciler.core.plan import Intent
    from reconciler.engine.converge import converge, plan_only
    from reconciler.engine.intents import scope
    from reconciler.reports.canary import Flight, Leg
    from reconciler.resources.kinds import revive

    journal, started = tools.journal, tools.clock.now()
    whole = scope(loaded.whole(journal), "migrate", journal, revive)
    needed = loaded.graph.required(bird.key)
    before = plan_only(whole.only({key: one for key, one in whole.intents.items() if key in needed}), tools)
    missing = (
        *(f"{change.key}: {', '.join(one.field for one in change.differs)}" for change in before.changes),
        *(f"{key}: {error.what}" for key, error in before.errors.items()),
    )
    # Promises about anything else are none of its business: what is not looked at is not put back, and not closed.
    wanted = bird.model_copy(update={"asked": tools.run})
    alone = replace(whole.only({bird.key: Intent("apply", wanted)}), obligations={})
    journal.record("canary", started, {"run": tools.run, "phase": alone.phase})
    overtake(tools)
    result = converge(alone, tools)
    lift(tools)
    (outcome,) = result.outcomes
    legs = tuple(
        Leg(str(one["step"]), str(one["outcome"]), float(one["took_s"]))
        for one in journal.steps(_STEPS, bird.key)
        if one.get("run") == tools.run
    )
    journal.record("canary ended", tools.clock.now(), {"run": tools.run, "exit_code": int(_code(result))})
    took_s = (tools.clock.now() - started).total_seconds()
    return Flight(loaded.state.metadata.name, tools.run, outcome, legs, missing, took_s), result


def _code(result: Result) -> ExitCode:
    (outcome,) = result.outcomes
    if outcome.status in ("changed", "unchanged"):
        return ExitCode.OK
    if outcome.status == "waiting":
        return ExitCode.WAITING
    gone: Iterable[type[ReconcileError]] = (Unreachable, AuthenticationFailed)
    return ExitCode.UNREACHABLE if isinstance(outcome.error, tuple(gone)) else ExitCode.ERROR
