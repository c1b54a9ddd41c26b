"""Notices: one message when an incident begins and one when it is over, and a queue that tries again. Pure.

The law: a message names a setting and never holds a value; it is kept with the incident in one write, so that a crash
neither loses it nor makes it twice.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from msgspec import Struct
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from reconciler.core.ports import Json
from reconciler.core.resource import Key
from reconciler.core.secret import SecretRef

Topic = Literal["drift", "lease", "certificate", "alarm"]
TOPICS: tuple[Topic, ...] = ("drift", "lease", "certificate", "alarm")
INCIDENT = "incident/"
"""Prefix of the facts about what is going on, by topic and key; empty once it is over."""
TALLY = "incidents"
"""The fact that counts the drifts that were ever opened, by class, and the messages that were given up."""
OUTBOX = "outbox/"
"""Prefix of the facts that wait to be sent, by place in the queue; an empty place is used again."""
LONGEST_QUEUE = 500
FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=1)
GIVE_UP = timedelta(days=3)


def _safe(url: str) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in ("https", "http") or not host:
        raise ValueError("a receiver is an https:// address")
    if parts.scheme == "http" and not _loopback(host):
        raise ValueError("http:// is for a receiver on this machine only; use https://")
    if parts.username or parts.password or parts.fragment:
        raise ValueError("a receiver's address has no user, password or fragment in it")
    return url


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Receiver(BaseModel):
    """Who is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, AfterValidator(_safe)] = Field(
        description="Where messages are posted; `http://` only to this machine."
    )
    secret: SecretRef = Field(description="Reference to the secret that messages are signed with, HMAC-SHA256.")
    events: tuple[Topic, ...] = Field(TOPICS, description="What is told.", min_length=1)
    ca: PurePath | None = Field(
        None,
        description="CA certificates (PEM) for the receiver; relative to the state file. Without it the system's are used.",
    )

    @property
    def id(self) -> str:
        """Name it without its address, which may hold a token."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:12]

    @property
    def host(self) -> str:
        """Return what may be shown of its address."""
        return urlsplit(self.url).hostname or ""


class Incident(Struct, frozen=True):
    """One thing that a person may want to know of, for as long as it goes on.

    Attributes:
        sort: Class of a drift, or what kind of alarm, lease or certificate it is about.
        where: ``file:line:column`` of what declares it; empty where nothing does.
        since: When it came about, as far as that is known.
    """

    topic: Topic
    key: Key
    title: str
    sort: str
    where: str = ""
    since: datetime | None = None

    @property
    def fact(self) -> str:
        """Name the fact that is kept of it."""
        return f"{INCIDENT}{self.topic}/{self.key}"

    def as_json(self) -> dict[str, Any]:
        """Return what a message says of it."""
        since = self.since.isoformat() if self.since else None
        return {
            "event": self.topic,
            "key": self.key,
            "title": self.title,
            "class": self.sort,
            "where": self.where,
            "since": since,
        }


class Run(Struct, frozen=True):
    """Which run says so, and when."""

    state: str
    run: str
    at: datetime


def compare(
    found: Sequence[Incident], kept: Mapping[str, Json], unjudged: Collection[str], run: Run
) -> tuple[dict[str, Json], list[Json]]:
    """Compare what is going on now with what was before.

    Args:
        kept: The facts of the last run below ``INCIDENT``.
        unjudged: Facts, or prefixes of facts that end in a slash, on which this run cannot say that they are over.

    Returns:
        The facts to keep, and the messages: one per incident that began, one per incident that ended.
    """
    facts: dict[str, Json] = {}
    messages: list[Json] = []
    now = {incident.fact: incident for incident in found}
    for name, incident in now.items():
        if not kept.get(name):
            about = {"incident": _id(run.state, name, run.at.isoformat()), **incident.as_json()}
            facts[name] = {**about, "opened_at": run.at.isoformat()}
            messages.append(_message("opened", about, run))
    for name, fact in kept.items():
        if fact and name not in now and not any(_covers(one, name) for one in unjudged):
            facts[name] = {}
            messages.append(_message("closed", fact, run))
    return facts, messages


def _covers(unjudged: str, name: str) -> bool:
    return name == unjudged or (unjudged.endswith("/") and name.startswith(unjudged))


def once(incident: Incident, action: str, run: Run) -> Json:
    """Return a message about something that does not go on."""
    about = {"incident": _id(run.state, incident.fact, run.at.isoformat()), **incident.as_json()}
    return _message(action, about, run)


def _message(action: str, about: Json, run: Run) -> Json:
    return {
        "version": 1,
        "id": _id(str(about["incident"]), action),
        "action": action,
        **{name: value for name, value in about.items() if name != "opened_at"},
        "state": run.state,
        "run": run.run,
        "at": run.at.isoformat(),
    }


def _id(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def enqueue(
    messages: Iterable[Json], receivers: Sequence[Receiver], waiting: Mapping[str, Json], at: datetime
) -> tuple[dict[str, Json], int]:
    """Return the facts that put messages into the queue, and how many found no room: the newest are left out."""
    places = (name for n in range(LONGEST_QUEUE) if not waiting.get(name := f"{OUTBOX}{n:03d}"))
    serial = max((int(fact["serial"]) for fact in waiting.values() if fact), default=0)
    facts: dict[str, Json] = {}
    lost = 0
    for message in messages:
        for receiver in receivers:
            if message["event"] not in receiver.events:
                continue
            if (place := next(places, None)) is None:
                lost += 1
                continue
            serial += 1
            facts[place] = {
                "to": receiver.id,
                "serial": serial,
                "body": message,
                "attempts": 0,
                "since": at.isoformat(),
                "due": at.isoformat(),
            }
    return facts, lost


def due(waiting: Mapping[str, Json], receiver: Receiver, now: datetime) -> list[str]:
    """Return what to send to a receiver now, oldest first. What waits for another try holds up all that came later."""
    of_it = [name for name, fact in waiting.items() if fact and fact["to"] == receiver.id]
    of_it.sort(key=lambda name: int(waiting[name]["serial"]))
    return of_it if of_it and datetime.fromisoformat(str(waiting[of_it[0]]["due"])) <= now else []


def put_off(fact: Json, now: datetime) -> Json:
    """Return the fact of a message that could not be delivered; empty once it is given up."""
    if now - datetime.fromisoformat(str(fact["since"])) >= GIVE_UP:
        return {}
    attempts = int(fact["attempts"]) + 1
    wait = min(FIRST_WAIT * 2 ** min(attempts - 1, 10), LONGEST_WAIT)
    return {**fact, "attempts": attempts, "due": (now + wait).isoformat()}
