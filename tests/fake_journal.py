"""A journal in memory, with the same promises as the one on disk except that it forgets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from reconciler.core.drift import Sighting
from reconciler.core.ports import Json, Obligation
from reconciler.core.resource import Key
from reconciler.core.runs import BEGUN, ENDED

RUNS = (*BEGUN, *ENDED)


class MemoryJournal:
    """What is put in is copied through JSON, so that nothing can be kept here that the disk could not keep."""

    def __init__(self) -> None:
        self._facts: dict[str, str] = {}
        self._obligations: list[Obligation] = []
        self._history: list[tuple[int, str]] = []
        self._drifts: list[Sighting] = []

    def facts(self, prefix: str) -> dict[str, Json]:
        return {key: json.loads(value) for key, value in sorted(self._facts.items()) if key.startswith(prefix)}

    def note(self, facts: Mapping[str, Json], at: datetime) -> None:
        _utc(at)
        self._facts.update({key: _text(value) for key, value in facts.items()})

    def keep_baseline(self, obligation: Obligation) -> None:
        if any(kept.key == obligation.key and kept.closed_at is None for kept in self._obligations):
            return
        self._obligations.append(
            replace(
                obligation,
                declared=json.loads(_text(obligation.declared)),
                baseline=json.loads(_text(obligation.baseline)),
                seen_at=_utc(obligation.seen_at),
                changed_at=obligation.changed_at and _utc(obligation.changed_at),
                closed_at=None,
            )
        )

    def mark_changed(
        self, key: Key, at: datetime, *, until: datetime | None = None, forecast_s: float | None = None
    ) -> None:
        times: dict[str, Any] = {
            "changed_at": _utc(at),
            "wanted_until": until and _utc(until),
            "forecast_s": forecast_s,
        }
        self._update(key, lambda kept: kept.changed_at is None, **times)

    def want_until(self, key: Key, until: datetime | None) -> None:
        self._update(key, lambda kept: kept.changed_at is not None, wanted_until=until and _utc(until))

    def close(self, key: Key, at: datetime) -> None:
        self._update(key, lambda _: True, closed_at=_utc(at))

    def obligations(self) -> list[Obligation]:
        return [kept for kept in self._obligations if kept.closed_at is None]

    def closed(self) -> list[Obligation]:
        return [kept for kept in self._obligations if kept.closed_at is not None and kept.changed_at is not None]

    def record(self, event: str, at: datetime, *details: Json) -> None:
        for detail in details:
            beside = {name: value for name, value in detail.items() if name not in ("id", "at", "event")}
            number = self._history[-1][0] + 1 if self._history else 1
            self._history.append((number, _text({"at": _utc(at).isoformat(), "event": event, **beside})))

    def history(self, after: int = 0) -> Sequence[Json]:
        return [{"id": number, **json.loads(entry)} for number, entry in self._history if number > after]

    def steps(self, latest: int, key: Key = "") -> Sequence[Json]:
        found = [one for one in self.history() if one["event"] == "step" and key in ("", one.get("key"))]
        return found[-latest:]

    def forget_steps(self, before: datetime) -> None:
        still = {kept.key for kept in self.obligations()}
        self._forget(
            lambda entry: (
                entry["event"] == "step" and entry["at"] < before.isoformat() and entry.get("key") not in still
            )
        )

    def runs(self, after: int, most: int) -> Sequence[Json]:
        return [one for one in self.history(after) if one["event"] in RUNS][:most]

    def forget_runs(self, upto: int) -> None:
        self._forget(lambda entry: entry["id"] <= upto and entry["event"] in RUNS)

    def _forget(self, which: Callable[[Json], bool]) -> None:
        """Drop entries, but never the last one: its number would be given twice."""
        gone = {entry["id"] for entry in self.history()[:-1] if which(entry)}
        self._history = [entry for entry in self._history if entry[0] not in gone]

    def sight(self, sightings: Sequence[Sighting]) -> None:
        for found in sightings:
            mine = [n for n, kept in enumerate(self._drifts) if _same(kept, found)]
            if mine:
                self._drifts[mine[0]] = found
            else:
                self._drifts.append(found)

    def sightings(self, *, open_only: bool = False) -> list[Sighting]:
        found = [kept for kept in self._drifts if not open_only or kept.closed_at is None]
        return sorted(found, key=lambda kept: kept.first_seen)

    def forget_sightings(self, before: datetime) -> None:
        self._drifts = [kept for kept in self._drifts if kept.closed_at is None or kept.closed_at >= before]

    def _update(self, key: Key, applies: Callable[[Obligation], bool], **times: Any) -> None:
        self._obligations = [
            replace(kept, **times) if kept.key == key and kept.closed_at is None and applies(kept) else kept
            for kept in self._obligations
        ]


def _same(kept: Sighting, found: Sighting) -> bool:
    return kept.closed_at is None and (kept.key, kept.fields) == (found.key, found.fields)


def _text(value: object) -> str:
    return json.dumps(value, allow_nan=False)


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError("a time without a time zone")
    return at.astimezone(UTC)
