"""The accounts below one container of the source, migrated by ADMT with SID history and password: one node for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any, Literal, Self

from pydantic import Field, field_validator

from reconciler.core.errors import NeedsPerson
from reconciler.core.query import Query, Recall, Rows, Search
from reconciler.core.resource import Resource
from reconciler.core.steps import AttributeChange, ModifyEntry, RunTask, Step
from reconciler.core.targets import DnsName, Name
from reconciler.core.values import Dn
from reconciler.resources import account_runs, admt_log, rows
from reconciler.resources.account_matching import Pair, match, read_account
from reconciler.resources.account_runs import explain, known_about, learned, note_before, prefix, read_known
from reconciler.resources.admt_command import Migration, Mode, remove, removed_by
from reconciler.resources.directory_rows import head_query, row_dn

_USERS = "(&(objectCategory=person)(objectClass=user)(!(objectClass=computer)){})"
_ATTRIBUTES = (
    "objectClass",
    "objectSid",
    "sAMAccountName",
    "userPrincipalName",
    "pwdLastSet",
    "isCriticalSystemObject",
    "sIDHistory",
)


class Accounts(Resource):
    """A population of user accounts. What is compared are the lists of those that still lack something.

    An account counts as migrated by what the directories say: SID history, or its name below ``into``. Whether its
    password is the old one cannot be read anywhere: that is proven by the log of the run that copied it, kept in the
    journal. Accounts that somebody else migrated are completed only with an approval, since that resets their passwords.
    """

    identity = ("source", "base")
    inputs = (
        "source_dns", "filter", "target", "target_dns", "into", "host", "host_address", "credential", "export_server", "export_server_address",
        "sid_history", "passwords", "change_password_at_logon", "groups", "batch",
    )  # fmt: skip
    restores = False
    typical_s = 180.0  # one run of ADMT for a batch

    kind: Literal["ad.accounts"] = "ad.accounts"
    source: Name = Field(description="Name of the domain that they come from.")
    source_dns: DnsName = Field(description="Its DNS name.")
    base: Dn = Field(description="Container in the source; everything below it counts.")
    filter: str = Field(
        "(objectClass=user)", description="LDAP filter; computers and built-in accounts are never taken."
    )
    target: Name = Field(description="Name of the domain that they go to.")
    target_dns: DnsName = Field(description="Its DNS name.")
    into: Dn = Field(description="Container in the target; it has to exist.")
    host: Name = Field(description="Host that runs ADMT.")
    host_address: str = Field("", description="Its DNS name, where it is a controller: then ADMT writes to it.")
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
    missing: tuple[str, ...] = Field(
        (), description="sAMAccountNames in the source without an account in the target. Always empty."
    )
    without_history: tuple[str, ...] = Field((), description="Those whose account lacks the old SID. Always empty.")
    without_password: tuple[str, ...] = Field(
        (), description="Those whose password was not copied, as far as is known. Always empty."
    )
    must_change_password: tuple[str, ...] = Field(
        (), description="Those who would have to change a copied password. Always empty."
    )
    left_behind: tuple[str, ...] = Field(
        (), description="Files on `host` that a run of ADMT needed and left. Always empty."
    )

    @field_validator("filter")
    @classmethod
    def _is_filter(cls, text: str) -> str:
        depths = list(accumulate({"(": 1, ")": -1}.get(char, 0) for char in text))
        if "\0" in text or not text.startswith("(") or depths[-1] != 0 or 0 in depths[:-1] or min(depths) < 0:
            raise ValueError("an LDAP filter is one pair of parentheses, such as (objectClass=user)")
        return text

    @field_validator("into")
    @classmethod
    def _is_container(cls, into: Dn) -> Dn:
        if all(name == "DC" for name, _ in into.rdns()):
            raise ValueError("accounts go into a container, not into the head of a domain")
        return into

    def title(self) -> str:
        """Return one line for people."""
        more = [*(["SID history"] if self.sid_history else []), *(["passwords"] if self.passwords else [])]
        return f"accounts of {self.base} in {self.into}{', with ' + ' and '.join(more) if more else ''}"

    def managed(self) -> tuple[str, ...]:
        """Return the lists; they are wanted empty, written or not."""
        return ("missing", "without_history", "without_password", "must_change_password", "left_behind")

    def queries(self) -> tuple[Query, ...]:
        """Ask for the accounts of the source, all names and SID histories of the target, and what we know ourselves."""
        return (
            Search(self.source, self.base, _USERS.format(self.filter), _ATTRIBUTES, "subtree", absent_ok=False),
            Search(self.target, "", "(sAMAccountName=*)", _ATTRIBUTES, "subtree", absent_ok=False),
            Search(self.target, self.into),
            head_query(self.source, "fSMORoleOwner"),
            Search(self.source, "config:CN=Sites,", "(objectClass=server)", ("dNSHostName",), "subtree"),
            Recall(prefix(self.source)),
        )

    def parse(self, *answers: Rows) -> Self:
        """Pair both sides and list what lacks something."""
        sources, targets, into, head, servers, facts = answers
        accounts = [read_account(row) for row in sources]
        pairs = match([account for account in accounts if not account.built_in], targets, self.into)
        known = read_known(facts, self.source)
        stand = {pair: known_about(pair, known) for pair in pairs}
        there = [pair for pair in pairs if pair.target is not None]
        return self.observed(
            missing=_names(pair for pair in pairs if pair.target is None),
            without_history=_names(pair for pair in there if self.sid_history and not pair.has_history),
            without_password=_names(pair for pair in there if self.passwords and stand[pair].password != "copied"),
            must_change_password=_names(
                pair
                for pair in there
                if self._must_change(pair) and stand[pair].password == "copied" and not stand[pair].target_sid
            ),
            left_behind=account_runs.files_of(self.key, facts),
        ).with_facts(
            pairs=pairs,
            known=stand,
            into_exists=bool(into),
            password_server=self.export_server_address or _pdc(head, servers, self.source),
            excluded={account.sam: "built-in account" for account in accounts if account.built_in},
        )

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Run ADMT for what lacks something, in batches; what needs an approval comes when nothing else is left."""
        if not observed.facts["into_exists"]:
            raise NeedsPerson(
                f"the container {self.into} does not exist in {self.target}", where=str(self.into), do="create it"
            )
        # A run removes its files itself; they have the same names in every run.
        free = (self._runs(observed, ours=True) or self._tidied(observed)) + self._cleared(observed)
        risky = self._runs(observed, ours=False)
        if not free and not risky:
            blocked = [f"{pair.source.sam}: {pair.conflict}" for pair in observed.facts["pairs"] if pair.conflict]
            raise NeedsPerson(
                f"{len(blocked)} accounts of {self.base} cannot be migrated, because their names are taken",
                where=self.key,
                do="\n".join(["rename one of each, or exclude it with `filter`", *blocked]),
            )
        return free or risky

    def _tidied(self, observed: Self) -> tuple[Step, ...]:
        return tuple(Step(remove(self.host, path), f"remove {path}") for path in observed.left_behind)

    def learns(self, step: Step, answer: Rows) -> Mapping[str, Mapping[str, Any]]:
        """Read the log of a run: how each password fared, and what went wrong."""
        if (path := removed_by(step)) is not None:
            return {account_runs.file_key(self.source, path): {}}
        if not isinstance(step.effect, RunTask):
            return {}
        log = admt_log.parse(rows.text(row, "line") for row in answer if rows.has(row, "line"))
        facts = learned(step.notes, log)
        mismatch = admt_log.key_mismatch(log)
        if mismatch is not None:
            facts[f"pes.mismatch/{self.host}/{self.source}"] = {"message": mismatch.text, "at": mismatch.time}
        text = explain(log)
        if not log:
            text = f"ADMT wrote no log; its exit code is {[row['exit_code'] for row in answer if 'exit_code' in row]}"
        facts[f"error/{self.key}"] = {"text": text}
        return facts

    def remembers(self, observed: Self) -> Mapping[str, Mapping[str, Any]]:
        """Keep for which account a copied password was proven; from then on pwdLastSet is nobody's business but its owner's."""
        facts: dict[str, Mapping[str, Any]] = {}
        for pair, known in observed.facts["known"].items():
            if pair.target is not None and known.ours and not known.target_sid:
                facts[prefix(self.source) + str(pair.source.sid)] = {
                    **known.written,
                    "target_sid": str(pair.target.sid),
                    "target_dn": str(pair.target.dn),
                }
        return facts

    def _must_change(self, pair: Pair) -> bool:
        asked = self.passwords and not self.change_password_at_logon
        return asked and pair.target is not None and pair.target.pwd_last_set == 0 and pair.source.pwd_last_set != 0

    def _runs(self, observed: Self, *, ours: bool) -> tuple[Step, ...]:
        """Return runs for accounts that nobody else can have touched, or for the others."""
        known = observed.facts["known"]
        chosen: dict[Mode, list[Pair]] = {"new": [], "merge": [], "merge-keeping-password": []}
        for pair in observed.facts["pairs"]:
            mode = self._mode(pair, observed)
            if mode is not None and (mode == "new" or known[pair].ours) == ours:
                chosen[mode].append(pair)
        migration = Migration(
            self.host, self.credential, self.source_dns, self.target_dns, self.into, self.sid_history, self.groups,
            password_server=str(observed.facts["password_server"]) if self.passwords else "",
            target_controller=self.host_address,
        )  # fmt: skip
        return tuple(
            step
            for mode, pairs in chosen.items()
            for part in _parts(pairs, self.batch)
            for step in self._run(migration, part, mode, ours)
        )

    def _run(self, migration: Migration, pairs: Sequence[Pair], mode: Mode, ours: bool) -> tuple[Step, ...]:
        notes = (
            ()
            if mode == "merge-keeping-password"
            else tuple(note_before(pair, self.source, copies=self.passwords) for pair in pairs)
        )
        first, *more = migration.run(pairs, mode, notes, risk="" if ours else "complete-existing-accounts")
        paths = [path for step in more if (path := removed_by(step)) is not None]
        return (replace(first, notes=account_runs.note_files(self.key, self.source, self.host, paths)), *more)

    def _mode(self, pair: Pair, observed: Self) -> Mode | None:
        name = pair.source.sam
        if pair.conflict:
            return None
        if pair.target is None:
            return "new"
        if name in observed.without_password:
            return "merge"
        return "merge-keeping-password" if name in observed.without_history else None

    def _cleared(self, observed: Self) -> tuple[Step, ...]:
        waiting = set(observed.must_change_password)
        change = AttributeChange("pwdLastSet", "replace", ("-1",))
        return tuple(
            Step(
                ModifyEntry(self.target, str(pair.target.dn), (change,)),
                f"let {pair.target.sam} keep the copied password",
            )
            for pair in observed.facts["pairs"]
            if pair.target is not None and pair.source.sam in waiting
        )


def _names(pairs: Iterable[Pair]) -> tuple[str, ...]:
    return tuple(pair.source.sam for pair in pairs)


def _parts(pairs: Sequence[Pair], size: int) -> Iterable[Sequence[Pair]]:
    return (pairs[start : start + size] for start in range(0, len(pairs), size))


def _pdc(head: Rows, servers: Rows, domain: str) -> str:
    """Return the DNS name of the PDC emulator; empty where it cannot be read."""
    row = rows.one(head, "the head of the domain", domain)
    owner = rows.text_or_none(row, "fSMORoleOwner")
    if owner is None:
        return ""
    return next(
        (
            rows.text(server, "dNSHostName")
            for server in servers
            if row_dn(server) == Dn(owner).parent and rows.has(server, "dNSHostName")
        ),
        "",
    )
