"""A population of the source, migrated by ADMT with SID history and passwords: one node for all its accounts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, Self

from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, Field, model_validator

from reconciler.core.errors import NeedsPerson
from reconciler.core.facts import Facts, facts_in
from reconciler.core.query import Query, Recall, Rows, Search
from reconciler.core.resource import Resource
from reconciler.core.steps import Note, RunTask, Step
from reconciler.core.targets import DnsName, Name
from reconciler.core.values import Dn
from reconciler.core.verdicts import Verdict, Verdicts
from reconciler.resources import account_runs, admt_log, rows
from reconciler.resources.account_batches import batches
from reconciler.resources.account_matching import BY_NAME, Rules, Target, match
from reconciler.resources.account_names import Naming, listed_by_name
from reconciler.resources.account_reading import Answers, Declared, Found, everybody, found_again, found_in
from reconciler.resources.account_records import ATTRIBUTES
from reconciler.resources.account_repairs import repairs
from reconciler.resources.account_runs import Known, explain, learned, note_before, note_history, prefix
from reconciler.resources.account_selecting import select
from reconciler.resources.account_standing import Stand, Terms, share_able, stands, verdict
from reconciler.resources.admt_command import Batch, Migration, remove, removed_by
from reconciler.resources.pdc_name import pdc_queries, read_pdc
from reconciler.resources.population import (
    EVERYTHING,
    Afterwards,
    Container,
    Except,
    LdapFilter,
    Listed,
    Of,
    OnNameConflict,
    Placement,
    Rename,
    Selection,
)

LISTS = (
    "missing", "without_history", "without_password", "stale_password", "must_change_password", "misnamed", "unlike_source",
    "source_left", "not_found", "left_behind",
)  # fmt: skip


class Gate(Selection):
    """Accounts of an earlier wave, and how many of them have to be able to log on first."""

    percent: float = Field(ge=0, le=100, description="So many of a hundred.")
    wave: str = Field(description="Name of that wave.")


class AdmtHost(BaseModel):
    """A further host that runs ADMT, with a database of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: Name = Field(description="Its name.")
    address: str = Field("", description="DNS name of the controller that ADMT writes to from there.")


class Accounts(Resource):
    """A population of accounts. What is compared are the lists of those that still lack something.

    An account counts as migrated by what the directories say: SID history, or the declared key. Whether its
    password is the old one cannot be read anywhere: that is proven by the log of the run that copied it, kept in the
    journal. Accounts that somebody else migrated are completed only with an approval, since that resets their passwords.
    """

    identity = ("source", "name")
    inputs = (
        "of", "base", "source_dns", "filter", "members_of", "listed", "excluded", "earlier", "target", "target_dns", "into", "placed", "rename",
        "match_by", "on_name_conflict", "attributes", "also_read", "leave_out", "source_afterwards", "host", "host_address", "also_hosts", "credential",
        "export_server", "export_server_address", "sid_history", "passwords", "change_password_at_logon", "groups", "batch", "most", "wave", "gates",
    )  # fmt: skip
    restores = False
    typical_s = 180.0  # one run of ADMT for a batch
    passes = 24  # a batch of a thousand is halved ten times until the one that breaks it is alone

    kind: Literal["ad.accounts"] = "ad.accounts"
    source: Name = Field(description="Name of the domain that they come from.")
    name: str = Field("", description="Name of the population; its container where it has none.")
    of: Of = Field("users", description="What it is made of.")
    source_dns: DnsName = Field(description="DNS name of that domain.")
    base: Dn = Field(description="Container in the source; everything below it counts.")
    filter: LdapFilter = Field(
        "(objectClass=user)", description="LDAP filter; computers and built-in accounts are never taken."
    )
    members_of: tuple[Dn, ...] = Field((), description="Only members of one of these groups, members of members too.")
    listed: tuple[Listed, ...] = Field((), description="Only these; all where none is given.")
    excluded: Except = Field(Except(), description="What is left out.")
    earlier: tuple[Selection, ...] = Field((), description="What earlier populations have taken; it is left out here.")
    target: Name = Field(description="Name of the domain that they go to.")
    target_dns: DnsName = Field(description="Its DNS name.")
    into: Container = Field(description="Container in the target; it has to exist.")
    placed: tuple[Placement, ...] = Field((), description="Other containers for those below some of the source.")
    rename: Rename | None = Field(
        None, description="Names in the target; where it is given they are set right as well."
    )
    match_by: str = Field(
        BY_NAME, description="Attribute by which an account of the target is the same person, where no SID says so."
    )
    on_name_conflict: OnNameConflict = Field(
        "fail",
        description="When somebody else has its name in the target: refuse it, leave it out, merge both, or put the prefix before it.",
    )
    attributes: tuple[str, ...] = Field((), description="Attributes that shall be as in the source.")
    also_read: tuple[str, ...] = Field(
        (), description="Attributes that other populations ask for: so all ask the same question."
    )
    leave_out: tuple[str, ...] = Field((), description="Attributes that ADMT does not copy.")
    source_afterwards: Afterwards = Field(
        "leave",
        description="What becomes of the source account once it is migrated: nothing, disabled, or expired after so many days.",
    )
    host: Name = Field(description="Host that runs ADMT.")
    host_address: str = Field("", description="DNS name of the controller that ADMT writes to from there.")
    also_hosts: tuple[AdmtHost, ...] = Field((), description="Further hosts that run ADMT, at the same time.")
    credential: Name = Field(description="Credential under whose logon ADMT runs.")
    export_server: Name | None = Field(None, description="Host that runs the Password Export Server.")
    export_server_address: str = Field("", description="Its DNS name. Left out: the PDC emulator of the source.")
    sid_history: bool = Field(True, description="Migrate SIDs as well.")
    passwords: bool = Field(
        True, description="Copy passwords; otherwise ADMT generates them, and leaves them in its Passwords.txt."
    )
    change_password_at_logon: bool = Field(
        False, description="Leave ADMT's demand that a user changes the password at the next logon."
    )
    groups: bool = Field(False, description="Migrate the groups of these accounts as well.")
    batch: int = Field(100, ge=1, le=1000, description="Accounts per run of ADMT.")
    most: int | None = Field(None, ge=1, description="The most accounts that it may have: more are a mistake.")
    wave: str = Field("", description="Name of its wave.")
    gates: tuple[Gate, ...] = Field((), description="What has to be true of earlier waves first.")
    missing: tuple[str, ...] = Field(
        (),
        description="sAMAccountNames in the source without an account in the target, or with one that is not wholly made. Always empty.",
    )
    without_history: tuple[str, ...] = Field((), description="Those whose account lacks the old SID. Always empty.")
    without_password: tuple[str, ...] = Field(
        (), description="Those whose password was not copied, as far as is known. Always empty."
    )
    stale_password: tuple[str, ...] = Field(
        (), description="Those whose password was changed in the source since. Always empty."
    )
    must_change_password: tuple[str, ...] = Field(
        (), description="Those who would have to change a copied password. Always empty."
    )
    misnamed: tuple[str, ...] = Field((), description="Those with another name than declared. Always empty.")
    unlike_source: tuple[str, ...] = Field(
        (), description="Those whose declared attributes are not as in the source. Always empty."
    )
    source_left: tuple[str, ...] = Field(
        (), description="Those whose source account is not yet as declared. Always empty."
    )
    not_found: tuple[str, ...] = Field((), description="Names of the list that the source does not know. Always empty.")
    left_behind: tuple[str, ...] = Field(
        (), description="Files that a run of ADMT needed and left, each with its host. Always empty."
    )

    @model_validator(mode="before")
    @classmethod
    def _named_by_container(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        every = {"filter": EVERYTHING[given["of"]]} if given.get("of") in EVERYTHING else {}
        return {"name": given.get("base", ""), **every, **given}

    def title(self) -> str:
        """Return one line for people."""
        more = [*(["SID history"] if self.sid_history else []), *(["passwords"] if self.passwords else [])]
        called = "" if self.name == self.base else f" ({self.name})"
        return f"{self._called()} of {self.base} in {self.into}{called}{', with ' + ' and '.join(more) if more else ''}"

    def managed(self) -> tuple[str, ...]:
        """Return the lists; they are wanted empty, written or not."""
        return LISTS

    @property
    def hosts(self) -> tuple[Name, ...]:
        """Those that run ADMT."""
        return (self.host, *(one.host for one in self.also_hosts))

    @property
    def selection(self) -> Selection:
        """What of the source is meant."""
        return Selection(
            of=self.of, base=self.base, filter=self.filter, members_of=self.members_of, listed=self.listed, excluded=self.excluded
        )  # fmt: skip

    def queries(self) -> tuple[Query, ...]:
        """Ask for the accounts of the source, all names and SID histories of the target, and what we know ourselves."""
        asked = (*ATTRIBUTES, *self._more())
        return (
            *(one.search(self.source, asked) for one in (self.selection, *self.earlier, *self.gates)),
            Search(self.target, "", "(sAMAccountName=*)", asked, "subtree", absent_ok=False),
            *(Search(self.target, container) for container in self._naming().containers),
            *pdc_queries(self.source),
            Recall(prefix(self.source)),
            Recall(account_runs.files_prefix(self.source)),
        )

    def parse(self, *answers: Rows) -> Self:
        """Pair both sides and list what lacks something."""
        return self._observed(found_in(self._answers(answers), self._declared()), answers)

    def reread(self, before: Self, old: Sequence[Rows], *answers: Rows) -> Self:
        """Form anew only the pairs that something touched, where the population is declared as it was."""
        same = all(getattr(self, name) == getattr(before, name) for name in (*self.identity, *self.inputs))
        found = before.facts.get("found") if same and len(old) == len(answers) else None
        if found is not None:
            found = found_again(found, self._answers(old), self._answers(answers), self._declared())
        return self.parse(*answers) if found is None else self._observed(found, answers)

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Run ADMT for what lacks something, in batches; what failed by itself or needs an approval comes when nothing else is left."""
        self._refuse(observed)
        new = self._runs(observed, ours=True)
        # A run removes its files itself; they have the same names in every run.
        free = (new or self._tidied(observed)) + repairs(observed.facts["found"].unfinished, self.source, self.target)
        left = free or self._runs(observed, ours=True, again=True) or self._runs(observed, ours=False)
        left = left or self._runs(observed, ours=False, again=True)
        if not left:
            raise self._stuck(observed)
        return left

    def verdicts(self, observed: Self) -> Sequence[Verdict]:
        """Return one verdict per account, those that were left out and those that do not exist included."""
        if not observed.facts:
            return ()
        found: Found = observed.facts["found"]
        return Verdicts(
            (found.stands, partial(verdict, passwords=self.passwords)),
            (found.unfit, lambda one: Verdict(one[0].sam, one[0].dn, one[0].sid_text(), "excluded", why=one[1])),
            (found.not_found, lambda name: Verdict(name, "", "", "failed", why=f"no such object below {self.base}")),
        )

    def learns(self, step: Step, answer: Rows) -> Mapping[str, Mapping[str, Any]]:
        """Read the log of a run: how each account fared, and what went wrong."""
        if (path := removed_by(step)) is not None:
            return {account_runs.file_key(self.source, path): {}}
        if not isinstance(step.effect, RunTask):
            return {}
        log = admt_log.parse(rows.text(row, "line") for row in answer if rows.has(row, "line"))
        facts = learned(step.notes, log)
        mismatch = admt_log.key_mismatch(log)
        if mismatch is not None:
            facts[f"pes.mismatch/{step.effect.host}/{self.source}"] = {"message": mismatch.text, "at": mismatch.time}
        text = explain(log)
        if not log:
            text = f"ADMT wrote no log; its exit code is {[row['exit_code'] for row in answer if 'exit_code' in row]}"
        facts[f"error/{self.key}{self._on(step.effect.host)}"] = {"text": text}
        return facts

    def remembers(self, observed: Self) -> Mapping[str, Mapping[str, Any]]:
        """Keep for which account a copied password was proven; from then on pwdLastSet is nobody's business but its owner's."""
        return {
            prefix(self.source) + one.pair.source.sid_text(): {
                **one.known.written,
                "target_sid": one.pair.target.sid_text(),
                "target_dn": one.pair.target.dn,
            }
            for one in observed.facts["found"].unfinished
            if one.unproven
        }

    def proven(self, observed: Self) -> Mapping[str, Mapping[str, Any]]:
        """Return the same: one account that fails makes nothing of the others doubtful."""
        return self.remembers(observed)

    def _called(self) -> str:
        return "accounts" if self.of == "users" else self.of

    def _more(self) -> tuple[str, ...]:
        key = () if self.match_by == BY_NAME else (self.match_by,)
        return tuple(sorted({*self.attributes, *key, *self.also_read}))

    def _naming(self) -> Naming:
        return Naming(self.into, self.placed, self.rename or Rename(), listed_by_name(self.listed))

    def _rules(self, naming: Naming, key_at: int | None) -> Rules:
        return Rules(self.of, naming, self.on_name_conflict, self.match_by, key_at)

    def _terms(self) -> Terms:
        more = self._more()
        return Terms(
            self.sid_history, self.passwords, self.change_password_at_logon, tuple((name, more.index(name)) for name in self.attributes),
            self.rename is not None, self.source_afterwards,
        )  # fmt: skip

    def _declared(self) -> Declared:
        more = self._more()
        key_at = None if self.match_by == BY_NAME else more.index(self.match_by)
        rules = self._rules(self._naming(), key_at)
        return Declared(self.source, self.selection, self.earlier, more, rules, self._terms())

    def _answers(self, answers: Sequence[Rows]) -> Answers:
        earlier, gates = len(self.earlier), len(self.gates)
        return Answers(answers[0], tuple(answers[1 : 1 + earlier]), answers[1 + earlier + gates], answers[-2])

    def _observed(self, found: Found, answers: Sequence[Rows]) -> Self:
        first = 1 + len(self.earlier)
        gates, others = answers[first : first + len(self.gates)], answers[first + len(self.gates) :]
        in_target, *containers, head, servers, facts, files = others
        lists = _lists(found.unfinished)
        # A gate holds up what is to be done, and takes as long as everything else together.
        shut = self._shut_gates(gates, in_target, facts_in(facts)) if lists and gates else []
        left = account_runs.files_of(self.key, self.hosts, files)
        return self.observed(**lists, not_found=found.not_found, left_behind=tuple(map(str, left))).with_facts(
            found=found,
            left=left,
            no_container=[name for name, rows in zip(self._naming().containers, containers, strict=True) if not rows],
            shut=shut,
            password_server=self.export_server_address or read_pdc(head, servers, self.source),
        )  # fmt: skip

    def _shut_gates(self, gates: Sequence[Rows], in_target: Rows, facts: Facts) -> list[str]:
        target = everybody(in_target, self._declared())
        found = (self._shut(gate, rows, target, facts) for gate, rows in zip(self.gates, gates, strict=True))
        return [why for why in found if why]

    def _shut(self, gate: Gate, answer: Rows, target: Target, facts: Facts) -> str:
        """Say why a gate is not open; empty where it is."""
        accounts = select(gate, answer, (), self._more()).accounts
        pairs = match(accounts, target, self._rules(self._naming(), None))
        terms = replace(self._terms(), attributes=())
        able, asked, unable = share_able(stands(pairs, self.source, facts, terms), terms)
        if asked == 0 or 100 * able / asked >= gate.percent:
            return ""
        some = ", ".join(unable[:8]) + (", ..." if len(unable) > 8 else "")
        return f"{100 * able / asked:.1f} % of wave '{gate.wave}' can log on ({able:,} of {asked:,}), and {gate.percent:g} % have to: not {some}"

    def _refuse(self, observed: Self) -> None:
        facts = observed.facts
        if facts["no_container"]:
            places = ", ".join(facts["no_container"])
            raise NeedsPerson(f"the container {places} does not exist in {self.target}", where=places, do="create it")
        count = len(facts["found"].stands)
        if self.most is not None and count > self.most:
            what = f"{self.title()}: {count:,} accounts, and {self.most:,} are the most that it may have"
            raise NeedsPerson(what, where=self.key, do="narrow what it selects, or raise that number")
        if facts["shut"]:
            raise NeedsPerson(
                f"{self.title()} waits: {'; '.join(facts['shut'])}", where=self.key,
                do="`reconcile accounts STATE` says what each of them lacks; mend that, or change `after` of the wave",
            )  # fmt: skip

    def _stuck(self, observed: Self) -> NeedsPerson:
        verdicts = [one for one in self.verdicts(observed) if one.standing == "failed"]
        shown = [f"{one.name}: {one.why}" for one in verdicts[:20]]
        rest = [f"... and {len(verdicts) - 20} more; `reconcile accounts` shows all"] if len(verdicts) > 20 else []
        return NeedsPerson(
            f"{len(verdicts)} {self._called()} of {self.base} cannot be migrated", where=self.key,
            do="\n".join(["rename one of each, or leave it out with `except`", *shown, *rest]),
        )  # fmt: skip

    def _tidied(self, observed: Self) -> tuple[Step, ...]:
        return tuple(Step(remove(one.host, one.path), f"remove {one}") for one in observed.facts["left"])

    def _runs(self, observed: Self, *, ours: bool, again: bool = False) -> tuple[Step, ...]:
        """Return runs for accounts that nobody else can have touched, or for the others; each host has a lane of its own."""
        stands = observed.facts["found"].unfinished
        server = str(observed.facts["password_server"]) if self.passwords else ""
        ways = {
            one.host: self._migration(one, server)
            for one in (AdmtHost(host=self.host, address=self.host_address), *self.also_hosts)
        }
        known = {one.pair.source.sid: one.known for one in stands}
        return tuple(
            replace(step, lane=batch.host, says=f"{step} on {batch.host}") if self.also_hosts else step
            for batch in batches(stands, self.batch, lambda one: _is_ours(one) == ours, self.hosts, again=again)
            for step in self._run(ways[batch.host], batch, self._notes(batch, known), ours)
        )

    def _migration(self, on: AdmtHost, password_server: str) -> Migration:
        return Migration(
            on.host, self.credential, self.source_dns, self.target_dns, self.sid_history, self.groups, self.of,
            password_server=password_server, target_controller=on.address, leave_out=self.leave_out,
            expires_in=self.source_afterwards if isinstance(self.source_afterwards, int) else 0,
        )  # fmt: skip

    def _on(self, host: str) -> str:
        """Return what tells facts about one of several hosts apart: what goes well on one says nothing of another."""
        return "" if host == self.host else f" on {host}"

    def _notes(self, batch: Batch, known: Mapping[bytes, Known]) -> tuple[Note, ...]:
        """Return what is committed before a run: whose password it may change, and who gets the old SID from it."""
        adds = {
            pair.source.sid
            for pair in batch.pairs
            if self.sid_history and (not pair.has_history or known[pair.source.sid].added_history)
        }
        if batch.mode == "merge-keeping-password":
            given = (pair for pair in batch.pairs if pair.source.sid in adds and not pair.has_history)
            return tuple(note_history(pair, known[pair.source.sid], self.source) for pair in given)
        return tuple(
            note_before(
                pair,
                known[pair.source.sid],
                self.source,
                copies=self.passwords,
                batch=len(batch.pairs),
                adds_history=pair.source.sid in adds,
            )
            for pair in batch.pairs
        )

    def _run(self, migration: Migration, batch: Batch, notes: tuple[Note, ...], ours: bool) -> tuple[Step, ...]:
        first, *more = migration.run(batch, notes, risk="" if ours else "complete-existing-accounts")
        paths = [path for step in more if (path := removed_by(step)) is not None]
        return (replace(first, notes=account_runs.note_files(self.key, self.source, migration.host, paths)), *more)


def _is_ours(one: Stand) -> bool:
    return one.pair.target is None or one.known.ours


def _lists(found: Iterable[Stand]) -> dict[str, tuple[str, ...]]:
    lists: dict[str, list[str]] = {name: [] for name in LISTS}
    for one in found:
        if one.complete:
            continue
        name = one.pair.source.sam
        for field, is_so in (
            ("missing", one.missing or one.in_part or bool(one.pair.conflict)),
            ("without_history", one.history),
            ("without_password", one.password),
            ("stale_password", one.stale),
            ("must_change_password", one.must_change),
            ("source_left", bool(one.source)),
        ):
            if is_so:
                lists[field].append(name)
        lists["misnamed"] += [f"{name}: {which}" for which in one.names]
        lists["unlike_source"] += [f"{name}: {which}" for which in one.attributes]
    return {name: tuple(found) for name, found in lists.items() if found}
