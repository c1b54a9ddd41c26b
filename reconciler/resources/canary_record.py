"""What the journal says of the throw-away account: how far the last try came, what was the case then, and what has changed since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

from msgspec import Struct, field
from msgspec.structs import replace

from reconciler.core.query import Rows
from reconciler.core.steps import Note
from reconciler.resources.account_runs import prefix
from reconciler.resources.boot import booted_since
from reconciler.resources.facts import fact

Standing = Literal["", "begun", "through", "failed", "proven"]
"""Never tried; begun, and nothing more is known; it could log on, and has to be looked at and removed; failed; proven."""
_STANDINGS: tuple[Standing, ...] = ("begun", "through", "failed", "proven")


class Circumstances(Struct, frozen=True):
    """What a proof rests on. When one of it is another, the proof is worth nothing.

    Attributes:
        settings: JSON values by what people call them.
        boots: When each host was started, as it wrote it.
        asked: The run in which a person asked for another try; empty for none.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    boots: Mapping[str, str] = field(default_factory=dict)
    asked: str = ""


class Record(Struct, frozen=True):
    """The last try.

    Attributes:
        number: How many there were.
        name: sAMAccountName of its account.
        target: Name of the domain that it went to.
        why: Why it failed; empty where it did not.
        do: What to do about that.
        way: How it logged on; empty where it did not.
        told: It failed, and clearing up began.
        clean: Both sides were seen without it afterwards.
    """

    number: int = 0
    name: str = ""
    target: str = ""
    standing: Standing = ""
    why: str = ""
    do: str = ""
    way: str = ""
    circumstances: Circumstances = field(default_factory=Circumstances)
    told: bool = False
    clean: bool = False

    @classmethod
    def read(cls, facts: Rows, key: str) -> Self:
        """Read the fact; one that says nothing we understand is as good as none."""
        found = fact(facts, key)
        if found.get("standing") not in _STANDINGS:
            return cls()
        return cls.of(found)

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """Read the value of a fact."""
        about = Circumstances(
            value.get("settings") or {}, value.get("boots") or {}, str(value.get("asked") or "")
        )  # fmt: skip
        why, do, way = (str(value.get(name) or "") for name in ("why", "do", "way"))
        return cls(int(value.get("try") or 0), str(value["name"]), str(value["target"]), value["standing"], why, do, way, about, bool(value.get("told")), bool(value.get("clean")))  # fmt: skip

    def value(self) -> dict[str, Any]:
        """Return it as the value of a fact."""
        about = self.circumstances
        return {
            "try": self.number, "name": self.name, "target": self.target, "standing": self.standing, "why": self.why, "do": self.do,
            "way": self.way, "settings": dict(about.settings), "boots": dict(about.boots), "asked": about.asked,
            "told": self.told,
            "clean": self.clean,
        }  # fmt: skip

    def note(self, key: str) -> Note:
        """Return it as a fact to commit."""
        return Note(key, self.value())

    def failed(self, why: str, do: str = "") -> Record:
        """Return it as failed; what was said first stays, for what comes after follows from it."""
        return self if self.standing == "failed" else replace(self, standing="failed", why=why, do=do)


def key_of(domain: str, name: str) -> str:
    """Return the key of the fact. It stands among the accounts, where it is asked for anyway."""
    return f"{prefix(domain)}canary/{name}"


def left_in(facts: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Yield (source, name, target) of every try that may have left something, from the facts about accounts."""
    for key, value in facts.items():
        _, domain, *rest = key.split("/")
        if rest[:1] == ["canary"] and value.get("standing") in _STANDINGS and not value.get("clean"):
            yield domain, "/".join(rest[1:]), str(value["target"])


def lacking(record: Record, now: Circumstances) -> tuple[str, ...]:
    """Say why there is no proof, or why it is worth nothing any more; nothing where it is good."""
    if record.standing != "proven":
        return ({"": "never tried", "failed": "the last try failed"}.get(record.standing, "the last try broke off"),)
    then = record.circumstances
    return (
        *(f"{name} is another since" for name, value in now.settings.items() if then.settings.get(name) != value),
        *(
            f"{host} was started again since"
            for host, booted in now.boots.items()
            if booted_since(then.boots.get(host, ""), booted)
        ),
        *(["somebody asked for it"] if now.asked and now.asked != then.asked else []),
    )
