"""A trust between two domains, as both of them see it, and whether it works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from msgspec.structs import replace
from pydantic import Field, model_validator

from reconciler.core.edit import Edit
from reconciler.core.errors import NeedsPerson
from reconciler.core.query import Argument, Command, Query, Rows, Search
from reconciler.core.resource import Resource
from reconciler.core.secret import CredentialPart, Template
from reconciler.core.steps import Step
from reconciler.core.targets import DnsName, Name
from reconciler.core.values import escape_filter
from reconciler.resources import command_line
from reconciler.resources.directory_rows import crossref_query, head_query, read_names
from reconciler.resources.replication import PLAIN, read_trail, trail_of
from reconciler.resources.trust_rows import Direction, Side, Type, channel_works, side_towards, trusts_query

_BOTH = "both"
_NETDOM_S = 300.0


class Trust(Resource):
    """A trust. ``netdom`` makes and removes it, with credentials of both domains.

    ``netdom`` takes passwords as arguments only: they are never shown or kept here, but while it runs they stand in the
    list of processes of the host. Where the host also logs command lines (event 4688), an approval is needed first.

    A trust that works badly is not put back: going back to one that was one-sided or did not verify leaves it healthy.
    """

    identity = ("domain", "partner")
    inputs = ("host", "partner_host", "credential", "partner_credential", "domain_dns", "partner_dns")
    typical_s = 20.0

    kind: Literal["ad.trust"] = "ad.trust"
    domain: Name = Field(description="Name of the domain from which the trust is described; the source.")
    partner: Name = Field(description="Name of the other domain.")
    host: Name = Field(description="Controller of the domain on which `netdom` and `nltest` run.")
    partner_host: Name = Field(description="Controller of the partner on which `nltest` runs.")
    credential: Name = Field(description="Credential of an administrator of the domain.")
    partner_credential: Name = Field(description="Credential of an administrator of the partner.")
    domain_dns: DnsName = Field(description="DNS name of the domain.")
    partner_dns: DnsName = Field(description="DNS name of the partner.")
    direction: Direction = Field(
        "two-way",
        description="Seen from the domain: outbound means that it trusts the partner. `disabled` is only ever observed.",
    )
    type: Type = Field(
        "external", description="`forest` is never created here, only checked. `other` is only ever observed."
    )
    sides: str = Field(_BOTH, description="Which directories know the trust. Always `both`; leave it out.")
    sid_filtering: Literal["relaxed", "enforced"] = Field(
        "enforced", description="Whether the domain ignores SID history in what comes from the partner."
    )
    verified: bool = Field(
        True, description="`nltest` has to find the secure channels working; false asks for nothing."
    )

    @model_validator(mode="before")
    @classmethod
    def _manage_sides(cls, data: Any) -> Any:
        return {"sides": _BOTH, **data} if isinstance(data, Mapping) else data

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.domain == self.partner:
            raise ValueError("a domain has no trust with itself")
        if self.direction == "inbound" and self.sid_filtering == "relaxed":
            raise ValueError(
                "SID filtering is about what the domain accepts; a trust in which it trusts nobody has none"
            )
        return self

    def title(self) -> str:
        """Return one line for people."""
        return f"{self.direction} {self.type} trust of {self.domain_dns} with {self.partner_dns}"

    def queries(self) -> tuple[Query, ...]:
        """Ask both directories who they are and whom they trust, and both controllers whether the channel works."""
        return (
            head_query(self.domain), crossref_query(self.domain), trusts_query(self.domain),
            head_query(self.partner), crossref_query(self.partner), trusts_query(self.partner),
            _channel_query(self.host, self.partner_dns), _channel_query(self.partner_host, self.domain_dns),
            command_line.logging_query(self.host),
        )  # fmt: skip

    def parse(self, *answers: Rows) -> Self:
        """Join the two sides into one trust; absent only where neither side knows it."""
        head, crossrefs, trusts, partner_head, partner_crossrefs, partner_trusts, here, there, logging = answers
        names = read_names(self.domain, head, crossrefs)
        partner = read_names(self.partner, partner_head, partner_crossrefs)
        mine = side_towards(partner, trusts, self.domain)
        theirs = side_towards(names, partner_trusts, self.partner)
        logged = command_line.is_logged(logging, self.host)
        if mine is None and theirs is None:
            return self.absent().with_facts(logged=logged)
        direction = mine.direction if mine else theirs.mirrored if theirs else "disabled"
        works = (direction not in ("two-way", "outbound") or channel_works(here)) and (
            direction not in ("two-way", "inbound") or channel_works(there)
        )
        sides = self._sides(mine, theirs)
        return self.observed(
            direction=direction,
            type=mine.type if mine else theirs.type if theirs else "other",
            sides=self.sides if sides == _BOTH else sides,
            sid_filtering="relaxed" if mine and mine.relaxed and direction in ("two-way", "outbound") else "enforced",
            verified=works and direction != "disabled" and self.verified,
        ).with_facts(sides=sides, logged=logged)

    def trail(self, observed: Self) -> tuple[Query, ...]:
        """Ask both directories who changed what they know of the trust."""
        return (*self._trail(self.domain, self.partner_dns), *self._trail(self.partner, self.domain_dns))

    def edits(self, ours: Self, observed: Self, *answers: Rows) -> tuple[Edit, ...]:
        """Read when its filtering was changed; direction and type stand in two directories, and the later change counts."""
        here, there = read_trail(*answers[:3]), read_trail(*answers[3:])
        both = (("direction", ("trustDirection",)), ("type", ("trustType", "trustAttributes")))
        later = [
            max(found, key=lambda edit: edit.at)
            for field, names in both
            if len(found := (*here.of(field, *names), *there.of(field, *names))) == 2
        ]
        return (*here.of("sid_filtering", "trustAttributes"), *later)

    def _trail(self, domain: str, partner_dns: str) -> tuple[Query, ...]:
        where = f"(&(objectClass=trustedDomain)(trustPartner={escape_filter(partner_dns)}))"
        return trail_of(Search(domain, "", where, PLAIN, "subtree"))

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Create, replace, filter or remove; what needs a decision carries a risk."""
        steps = self._steps(observed, differs)
        return tuple(map(_exposing, steps)) if observed.facts["logged"] else steps

    def _steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        if self.ensure == "absent":
            return (self._removal(observed),)
        if "ensure" in differs:
            return (self._creation(), *self._filtering())
        if differs & {"direction", "type", "sides"}:
            return self._replacement(observed)
        filtering = self._filtering() if "sid_filtering" in differs else ()
        return (*filtering, *((self._reset(),) if "verified" in differs else ()))

    def _sides(self, mine: Side | None, theirs: Side | None) -> str:
        if mine is None or theirs is None:
            return f"only in {self.domain if mine else self.partner}"
        if theirs.mirrored != mine.direction:
            return f"{mine.direction} in {self.domain}, {theirs.direction} in {self.partner}"
        if theirs.type != mine.type:
            return f"{mine.type} in {self.domain}, {theirs.type} in {self.partner}"
        return _BOTH

    def _creation(self) -> Step:
        if self.type != "external" or self.direction == "disabled":
            raise NeedsPerson(
                f"a {self.type} trust cannot be created with netdom",
                where=self.key,
                do=f"on a controller of {self.domain_dns}, open Active Directory Domains and Trusts, properties of {self.domain_dns}, Trusts, New Trust:\n"
                f"partner {self.partner_dns}, {self.type} trust, {self.direction}, both this domain and the specified domain",
            )
        says = f"create the {self.direction} external trust of {self.domain_dns} with {self.partner_dns}"
        return Step(self._netdom("/add", *self._both_ways(self.direction), credentials=True), says)

    def _removal(self, observed: Self) -> Step:
        # Only what both sides know can be removed on both sides with one command.
        if observed.facts["sides"] != _BOTH:
            raise NeedsPerson(
                f"the trust of {self.domain_dns} with {self.partner_dns} is known {observed.facts['sides']}",
                where=self.key,
                do="remove it by hand on the side that knows it: Active Directory Domains and Trusts, or netdom trust ... /remove /oneside:trusting or /oneside:trusted",
            )
        says = f"remove the trust of {self.domain_dns} with {self.partner_dns}"
        command = self._netdom(
            "/remove", *self._both_ways(observed.direction), credentials=True, direction=observed.direction
        )
        return Step(command, says)

    def _replacement(self, observed: Self) -> tuple[Step, ...]:
        """Remove and create: a direction or type cannot be changed in place."""
        creation = self._creation()
        removal = self._removal(observed)
        steps = (removal, creation, *self._filtering())
        return tuple(Step(step.effect, step.says, risk="replace-trust") for step in steps)

    def _filtering(self) -> tuple[Step, ...]:
        """Set SID filtering where the domain trusts the partner; without that there is nothing to filter."""
        if "sid_filtering" not in self.managed() or self.direction not in ("two-way", "outbound"):
            return ()
        relaxed = self.sid_filtering == "relaxed"
        option = (
            f"/enablesidhistory:{'yes' if relaxed else 'no'}"
            if self.type == "forest"
            else f"/quarantine:{'no' if relaxed else 'yes'}"
        )
        says = f"{'accept' if relaxed else 'ignore'} SID history in {self.domain_dns} from {self.partner_dns}"
        return (Step(self._netdom(option, direction="outbound"), says),)

    def _reset(self) -> Step:
        says = f"set new secrets for the trust of {self.domain_dns} with {self.partner_dns}; check DNS and the network first: a reset cannot cure those"
        return Step(self._netdom("/reset", credentials=True), says, risk="reset-trust")

    def _netdom(self, *options: str, credentials: bool = False, direction: Direction | None = None) -> Command:
        """Build ``netdom trust <trusting> /domain:<trusted>``; userd belongs to the trusted domain, usero to the trusting."""
        trusting, trusted = (self.domain_dns, self.credential), (self.partner_dns, self.partner_credential)
        if (direction or self.direction) == "inbound":
            trusting, trusted = trusted, trusting
        arguments: tuple[Argument, ...] = ("trust", trusting[0], f"/domain:{trusted[0]}", *options)
        if credentials:
            arguments += (*_login("d", trusted[1]), *_login("o", trusting[1]))
        return Command(self.host, "netdom.exe", arguments=arguments, native=True, repeatable=False, timeout_s=_NETDOM_S)

    def _both_ways(self, direction: Direction) -> tuple[str, ...]:
        return ("/twoway",) if direction == "two-way" else ()


def _exposing(step: Step) -> Step:
    """Ask for an approval where a password would be kept in the log of command lines."""
    if not isinstance(step.effect, Command) or not any(isinstance(part, Template) for part in step.effect.arguments):
        return step
    return replace(step, says=f"{step.says}: {command_line.EXPLANATION}", risk=step.risk or "password-on-command-line")


def _login(letter: str, credential: str) -> tuple[Template, Template]:
    return (
        Template((f"/user{letter}:", CredentialPart(credential, "username"))),
        Template((f"/password{letter}:", CredentialPart(credential, "password"))),
    )


def _channel_query(host: str, dns: str) -> Command:
    # Any exit code is an answer: without a trust there is no channel to verify.
    return Command(host, "nltest.exe", arguments=(f"/sc_verify:{dns}",), native=True, ok_exit_codes=None)
