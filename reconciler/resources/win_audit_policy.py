"""What a host audits, by subcategory; matched by GUID, because every display language has its own names."""

from __future__ import annotations

import csv
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from reconciler.core.errors import NeedsPerson, UnexpectedAnswer
from reconciler.core.query import Command, Query, Rows
from reconciler.core.resource import Resource
from reconciler.core.steps import Step
from reconciler.core.targets import AuditWords, Name
from reconciler.core.values import Guid
from reconciler.resources.gpo_audit import Ruling, Setting, directory_queries, file_queries, rulings
from reconciler.resources.rows import text_or_none

CATEGORIES = {"account-management": Guid("{6997984E-797A-11D9-BED3-505054503030}")}
ACCOUNT_MANAGEMENT = {
    Guid("{0CCE9235-69AE-11D9-BED3-505054503030}"): "User Account Management",
    Guid("{0CCE9236-69AE-11D9-BED3-505054503030}"): "Computer Account Management",
    Guid("{0CCE9237-69AE-11D9-BED3-505054503030}"): "Security Group Management",
    Guid("{0CCE9238-69AE-11D9-BED3-505054503030}"): "Distribution Group Management",
    Guid("{0CCE9239-69AE-11D9-BED3-505054503030}"): "Application Group Management",
    Guid("{0CCE923A-69AE-11D9-BED3-505054503030}"): "Other Account Management Events",
}

_SWITCH = {False: "disable", True: "enable"}


class AuditPolicy(Resource):
    """The effective audit policy of one category. A Group Policy that says otherwise is named, not fought."""

    identity: ClassVar[tuple[str, ...]] = ("host", "category")
    inputs: ClassVar[tuple[str, ...]] = ("domain", "words")

    kind: Literal["win.audit_policy"] = "win.audit_policy"
    host: Name = Field(description="Host whose policy it is.")
    category: Literal["account-management"] = Field("account-management", description="Category of events.")
    settings: dict[Guid, Setting] = Field(
        description="What is audited, by GUID of the subcategory; one that is not named is left as found.", min_length=1
    )
    domain: Name | None = Field(
        None, description="Domain whose Group Policy applies to the host. Without it no policy is named as the cause."
    )
    words: AuditWords = Field(
        default_factory=lambda: AuditWords.model_validate({}),
        description="How `auditpol` spells the settings on the host.",
    )

    @model_validator(mode="after")
    def _always_there(self) -> Self:
        if self.ensure == "absent":
            raise ValueError("an audit policy is always there: set its subcategories to `none`")
        return self

    def title(self) -> str:
        """Name the category and the host."""
        return f"auditing of {self.category.replace('-', ' ')} on {self.host}"

    def queries(self) -> tuple[Query, ...]:
        """Ask for the effective policy, and for the Group Policy objects that could set it back."""
        category = f"/category:{_braced(CATEGORIES[self.category])}"
        get = Command(self.host, "auditpol.exe", arguments=("/get", category, "/r"), native=True)
        if self.domain is None:
            return (get,)
        return (get, *file_queries(self.host), *directory_queries(self.domain))

    def parse(self, *answers: Rows) -> Self:
        """Read the report by position: its header and its words depend on the display language."""
        report, *policy = answers
        there = self._read(report)
        missing = [name_of(guid) for guid in self.settings if guid not in there]
        if missing:
            raise UnexpectedAnswer(f"auditpol says nothing about {', '.join(missing)}", target=self.host)
        found: tuple[Ruling, ...] = ()
        if policy:
            *files, policies, containers = policy
            found = rulings(tuple(row for rows in files for row in rows), policies, containers)
        return self.observed(settings={guid: there[guid] for guid in self.settings}).with_facts(rulings=found)

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Set what differs, then refresh Group Policy, so that the read-back shows what lasts."""
        wanted = {guid: setting for guid, setting in self.settings.items() if observed.settings[guid] != setting}
        self._not_overruled(wanted, observed.facts["rulings"])
        changes = [
            Step(self._set(guid, setting), f"audit {name_of(guid)} on {self.host}: {setting}")
            for guid, setting in wanted.items()
        ]
        refresh = Command(
            self.host,
            "gpupdate.exe",
            arguments=("/target:computer", "/force"),
            native=True,
            timeout_s=600.0,
            ok_exit_codes=None,  # other parts of the policy may fail; the read-back decides
        )
        return (*changes, Step(refresh, f"refresh Group Policy on {self.host}, to see whether it lasts"))

    def _read(self, report: Rows) -> dict[Guid, Setting]:
        words: dict[str, Setting] = {
            self.words.none.casefold(): "none",
            self.words.success.casefold(): "success",
            self.words.failure.casefold(): "failure",
            self.words.both.casefold(): "both",
        }
        lines = [line for row in report if (line := (text_or_none(row, "line") or "").strip())]
        there: dict[Guid, Setting] = {}
        for columns in csv.reader(lines):
            if len(columns) < 5 or not columns[3].strip().startswith("{"):
                continue  # the header
            setting = words.get(columns[4].strip().casefold())
            if setting is None:
                raise UnexpectedAnswer(
                    f"{self.host} calls an audit setting {columns[4]!r}",
                    target=self.host,
                    do=f"say in `hosts.{self.host}.audit_words` which of none, success, failure and both that is",
                )
            there[Guid(columns[3].strip())] = setting
        return there

    def _set(self, guid: Guid, setting: Setting) -> Command:
        success = f"/success:{_SWITCH[setting in ('success', 'both')]}"
        failure = f"/failure:{_SWITCH[setting in ('failure', 'both')]}"
        return Command(
            self.host,
            "auditpol.exe",
            arguments=("/set", f"/subcategory:{_braced(guid)}", success, failure),
            native=True,
        )

    def _not_overruled(self, wanted: dict[Guid, Setting], found: tuple[Ruling, ...]) -> None:
        """Stop where every policy that rules a subcategory says otherwise; where they disagree, a refresh will tell."""
        against: list[Ruling] = []
        for guid, setting in wanted.items():
            about = [ruling for ruling in found if ruling.subcategory == guid]
            if about and all(ruling.setting != setting for ruling in about):
                against += about
        if not against:
            return
        says = "; ".join(
            f"Group Policy {ruling.name!r} {_braced(ruling.policy)} sets {name_of(ruling.subcategory)} "
            f"to {ruling.setting!r} on {self.host}"
            for ruling in against
        )
        raise NeedsPerson(
            f"{says}, so a local change would not last",
            where=self.host,
            do="change or remove that in the policy: Computer Configuration, Windows Settings, Security Settings, "
            "Advanced Audit Policy Configuration\nthen apply again",
        )


def account_management(*, success: bool = True, failure: bool = True) -> dict[Guid, Setting]:
    """Return the settings of every subcategory of account management."""
    words: dict[tuple[bool, bool], Setting] = {
        (False, False): "none",
        (True, False): "success",
        (False, True): "failure",
        (True, True): "both",
    }
    return dict.fromkeys(ACCOUNT_MANAGEMENT, words[success, failure])


def name_of(guid: Guid) -> str:
    """Return the English name of a subcategory, its GUID where it is none of ours."""
    return ACCOUNT_MANAGEMENT.get(guid, _braced(guid))


def _braced(guid: Guid) -> str:
    return "{" + guid.upper() + "}"
