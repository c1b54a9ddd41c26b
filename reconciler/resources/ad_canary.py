"""A throw-away account that goes the whole way before anybody's own does: made, migrated, logged on with, removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from msgspec.structs import replace
from pydantic import Field, model_validator

from reconciler.core.errors import NeedsPerson, ReconcileError
from reconciler.core.query import Query, Recall, Rows, Search
from reconciler.core.resource import Key, Resource
from reconciler.core.steps import DeleteEntry, LogOn, Note, RunTask, Step
from reconciler.core.targets import DnsName, Name
from reconciler.resources import account_runs, canary_steps, canary_verdict
from reconciler.resources.account_records import Account, read
from reconciler.resources.admt_command import remove, removed_by
from reconciler.resources.boot import boot_query, boot_time
from reconciler.resources.canary_name import is_canary, name_of
from reconciler.resources.canary_record import Circumstances, Record, key_of, lacking
from reconciler.resources.canary_steps import Course
from reconciler.resources.pdc_name import pdc_queries, read_pdc
from reconciler.resources.population import Container

_READ = ("objectClass", "objectSid", "sAMAccountName", "sIDHistory")
_BEGINS = "(sAMAccountName=rc-canary-*)"
"""Finds throw-away accounts, and perhaps others that only begin like them."""
_KEYS = "pes.key"
"""What the keys of all facts about encryption keys begin with."""


class Canary(Resource):
    """One account that proves trust, key, service, rights and policy in one stroke, before real ones are touched.

    That it came through is a fact in the journal, with what was the case then; it is proven anew when one of that changes. A try that
    failed is cleared up, and not repeated in the same round. Whatever bears such a name on either side is removed first.
    """

    identity = ("source", "name")
    inputs = (
        "proves", "source_dns", "target", "target_dns", "base", "into", "host", "host_address", "credential", "export_server",
        "export_server_address", "booted", "sid_history", "passwords", "groups", "leave_out", "asked",
    )  # fmt: skip
    restores = False
    typical_s = 60.0  # one run of ADMT for one account

    kind: Literal["ad.canary"] = "ad.canary"
    source: Name = Field(description="Name of the domain that it comes from.")
    name: str = Field("all", description="What it is called.")
    target: Name = Field(description="Name of the domain that it goes to.")
    proves: bool = Field(True, description="Without it nothing is tried, only removed what earlier tries have left.")
    source_dns: DnsName | None = Field(None, description="DNS name of the source.")
    target_dns: DnsName | None = Field(None, description="DNS name of the target.")
    base: Container | None = Field(None, description="Container in the source in which it is made.")
    into: Container | None = Field(None, description="Container in the target; it has to exist.")
    host: Name | None = Field(None, description="Host that runs ADMT.")
    host_address: str = Field("", description="Its DNS name, where it is a controller: then ADMT writes to it.")
    credential: Name | None = Field(None, description="Credential under whose logon ADMT runs.")
    export_server: Name | None = Field(None, description="Host that runs the Password Export Server.")
    export_server_address: str = Field("", description="Its DNS name. Left out: the PDC emulator of the source.")
    booted: tuple[Name, ...] = Field((), description="Hosts after whose restart it is proven anew.")
    sid_history: bool = Field(True, description="Migrate its SID as well.")
    passwords: bool = Field(True, description="Copy its password, and log on with it; without it nobody logs on.")
    groups: bool = Field(False, description="Migrate its groups as well, where real accounts bring theirs.")
    leave_out: tuple[str, ...] = Field((), description="Attributes that ADMT does not copy.")
    asked: str = Field("", description="Run in which a person asked for another try.")
    unproven: tuple[str, ...] = Field((), description="Why there is no proof that counts. Always empty.")
    left_behind: tuple[str, ...] = Field(
        (), description="Throw-away accounts on either side, and files of their run of ADMT. Always empty."
    )

    @model_validator(mode="after")
    def _knows_the_way(self) -> Self:
        needed = ("source_dns", "target_dns", "base", "into", "host", "credential")
        missing = [name for name in needed if getattr(self, name) is None]
        if self.proves and missing:
            raise ValueError(f"to prove something it needs {', '.join(missing)}")
        return self

    def title(self) -> str:
        """Say what is done with it."""
        if not self.proves:
            return f"throw-away accounts that earlier tries left in {self.source} and {self.target}"
        more = [*(["SID history"] if self.sid_history else []), *(["password"] if self.passwords else [])]
        ends = "logs on in the target and is removed" if self.passwords else "and is removed"
        goes = f"goes from {self.base} to {self.into}{' with ' + ' and '.join(more) if more else ''}"
        return f"canary: a throw-away account {goes}{',' if self.passwords else ''} {ends}"

    def managed(self) -> tuple[str, ...]:
        """Return the lists; they are wanted empty, written or not."""
        return ("unproven", "left_behind") if self.proves else ("left_behind",)

    def queries(self) -> tuple[Query, ...]:
        """Ask for throw-away accounts on both sides, what the journal knows, and what a proof rests on."""
        found: tuple[Query, ...] = (
            Search(self.source, "", _BEGINS, _READ, "subtree", absent_ok=False),
            Search(self.target, "", _BEGINS, _READ, "subtree", absent_ok=False),
            Recall(self._fact),
            Recall(account_runs.files_prefix(self.source)),
        )
        if not self.proves:
            return found
        containers = (Search(self.source, str(self.base)), Search(self.target, str(self.into)))
        hosts = (boot_query(host) for host in self.booted)
        return (*found, *containers, *pdc_queries(self.source), Recall(_KEYS), *hosts)

    def parse(self, *answers: Rows) -> Self:
        """Say why there is no proof, and what is left of earlier tries."""
        source, target, tries, left_files, *rest = answers
        old, new = _canaries(source), _canaries(target)
        record, files = Record.read(tries, self._fact), _files(left_files, self.key)
        left = (*(one.dn for one in (*new, *old)), *(path for _, path in files))
        about = {"record": record, "old": old, "new": new, "files": files}
        if not self.proves:
            return self.observed(left_behind=left).with_facts(**about)
        inside, outside, head, servers, keys, *boots = rest
        now = self._circumstances(keys, boots)
        return self.observed(unproven=lacking(record, now), left_behind=left).with_facts(
            **about,
            now=now,
            lost=[str(name) for name, found in ((self.base, inside), (self.into, outside)) if not found],
            password_server=self.export_server_address or read_pdc(head, servers, self.source),
        )

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Clear up, with what the try has come to; or begin another."""
        if observed.left_behind:
            return self._cleared(observed)
        for name in observed.facts["lost"]:
            raise NeedsPerson(f"the container {name} does not exist", where=name, do="create it, or name others under `migration.canary`")  # fmt: skip
        number = observed.facts["record"].number + 1
        course = self._course(str(observed.facts["password_server"]))
        name = name_of(course.migration.source_dns, course.migration.target_dns, number)
        begun = Record(number, name, self.target, "begun", circumstances=observed.facts["now"])
        return canary_steps.one_try(course, begun, self.key)

    def in_vain(self, step: Step, rows: Rows) -> bool:
        """Whether ADMT did not do its part: then nobody need try to log on."""
        record = self._record(step)
        if not isinstance(step.effect, RunTask) or record is None:
            return False
        return canary_verdict.of_run(record, rows, self._fact, passwords=self.passwords).standing == "failed"

    def learns(self, step: Step, rows: Rows) -> Mapping[str, Mapping[str, Any]]:
        """Keep what the run of ADMT and the logon came to, and forget files that were removed."""
        if (path := removed_by(step)) is not None:
            return {account_runs.file_key(self.source, path): {}}
        record = self._record(step)
        if record is None:
            return {}
        if isinstance(step.effect, LogOn):
            return {self._fact: canary_verdict.of_logon(record, rows, self.target).value()}
        if isinstance(step.effect, RunTask):
            found = canary_verdict.of_run(record, rows, self._fact, passwords=self.passwords)
            about_key = canary_verdict.key_mismatch(rows, str(self.host), self.source)
            return {**about_key, **({self._fact: found.value()} if found.standing == "failed" else {})}
        return {}

    def fails(self, step: Step, error: ReconcileError) -> Mapping[str, Mapping[str, Any]]:
        """Keep why a try failed, so that it is cleared up at once; what cannot be removed ends the work."""
        record = self._record(step)
        if record is None or isinstance(step.effect, DeleteEntry):
            return {}
        return {self._fact: record.failed(f"{step}: {error.what}", error.do).value()}

    def ended(self, observed: Self) -> ReconcileError | None:
        """Say why the try failed, once it is cleared up: there is one in a round."""
        record: Record = observed.facts["record"]
        if record.standing != "failed" or observed.left_behind:
            return None
        return ReconcileError(f"the canary did not come through: {record.why}", where=self.key, do=record.do)

    def remembers(self, observed: Self) -> Mapping[str, Mapping[str, Any]]:
        """Keep that nothing is left of the tries so far, so that nobody need look again in another phase."""
        record: Record = observed.facts["record"]
        return {self._fact: replace(record, clean=True).value()} if record.standing else {}

    def remarks(self, observed: Self) -> tuple[str, ...]:
        """Say that the logon was not proven by Kerberos, where that is so."""
        record: Record = observed.facts["record"]
        if not self.proves or record.standing != "proven" or record.way != "ldap":
            return ()
        return ("the canary logged on by an LDAP bind, not by Kerberos: pip install 'reconcile[kerberos]'",)

    @property
    def _fact(self) -> str:
        return key_of(self.source, self.name)

    def _record(self, step: Step) -> Record | None:
        """Return the try that a step belongs to, as it was when the step was sent."""
        return next((Record.of(note.value) for note in step.notes if note.key == self._fact), None)

    def _course(self, password_server: str) -> Course:
        assert self.base is not None
        assert self.into is not None
        return Course(self._fact, self.source, self.target, self.base, self.into, canary_steps.migration(self, password_server))  # fmt: skip

    def _circumstances(self, keys: Rows, boots: list[Rows]) -> Circumstances:
        """Return what a proof of now would rest on, by the words of people."""
        known = {str(row["key"]): row["value"] for row in keys if str(row["key"]).endswith(f"/{self.source}")}
        settings = {
            "the ADMT host": str(self.host),
            "the operator": str(self.credential),
            "the export server": str(self.export_server or ""),
            "the container in the source": str(self.base),
            "the container in the target": str(self.into),
            "whether SIDs are migrated": self.sid_history,
            "whether passwords are copied": self.passwords,
            "the encryption key": canary_verdict.digest(known) if known else "",
        }
        times = {host: boot_time(found, host) for host, found in zip(self.booted, boots, strict=True)}
        return Circumstances(settings, times, self.asked)

    def _cleared(self, observed: Self) -> tuple[Step, ...]:
        """Remove what is left, files first; what the try came to is written down before."""
        facts = observed.facts
        notes: tuple[Note, ...] = ()
        if self.proves and facts["record"].standing in ("through", "failed"):
            done = canary_verdict.of_look(facts["record"], facts["old"], facts["new"], sid_history=self.sid_history)
            # Once a failure was told, what is still left is from a run that is over: another try follows.
            done = replace(done, standing="begun") if done.told else replace(done, told=done.standing == "failed")
            notes = (done.note(self._fact),)
        first, *more = (
            *(Step(remove(host, path), f"remove {path}") for host, path in facts["files"]),
            *(Step(DeleteEntry(self.target, one.dn), f"remove {one.sam} from the target") for one in facts["new"]),
            *(Step(DeleteEntry(self.source, one.dn), f"remove {one.sam} from the source") for one in facts["old"]),
        )
        return (Step(first.effect, first.says, notes), *more)


def _files(facts: Rows, key: Key) -> list[tuple[str, str]]:
    """Return hosts and paths of the files that a run of ADMT for a throw-away account may have left."""
    values = [row["value"] for row in facts]
    return [(str(one["host"]), str(one["path"])) for one in values if isinstance(one, Mapping) and one.get("left_by") == key]  # fmt: skip


def _canaries(found: Rows) -> tuple[Account, ...]:
    """Return throw-away accounts; whatever else only begins like one is somebody's own."""
    return tuple(one for one in read(found) if is_canary(one.sam) and one.kind == "user" and not one.built_in)
