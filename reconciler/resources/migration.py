"""The `migration:` block of a state file as a model. What it means in resources is in article.py."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from reconciler.core.lengths import Length
from reconciler.core.limits import AnyApproval
from reconciler.core.policy import OnDrift
from reconciler.core.resource import OnConflict
from reconciler.core.secret import SecretRef
from reconciler.core.targets import Name
from reconciler.core.values import Dn, Phase
from reconciler.core.windows import Window
from reconciler.resources.dead_man import DEFAULT, Waiting
from reconciler.resources.population import (
    NEVER_COPIED,
    Afterwards,
    Container,
    Except,
    LdapFilter,
    Of,
    OnNameConflict,
    Placement,
    Rename,
)

Account = Annotated[str, StringConstraints(pattern=r"^[^\\/\[\]:;|=,+*?<>\"]+\\[^\\/\[\]:;|=,+*?<>\"]+$")]
WindowsPath = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]:\\[^<>:\"|?*\x00-\x1f]+$")]

Cleanup = Literal["sid_history"]
Percent = Annotated[str, StringConstraints(pattern=r"^(100|[0-9]{1,2}(\.[0-9]+)?) ?%$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class TrustBlock(_Part):
    """The trust between the two domains."""

    direction: Literal["two-way", "outbound", "inbound"] = Field(
        "two-way", description="Seen from the source: outbound means that the source trusts the target."
    )
    type: Literal["external", "forest"] = Field(
        "external", description="A forest trust is never created, only checked and relaxed."
    )
    sid_filtering: Literal["relaxed", "enforced"] = Field(
        "relaxed", description="Relaxed, so that SID history is honoured."
    )
    keep: bool = Field(
        False, description="Leave a trust that was created for the migration in place when it is complete."
    )


class SoftwareBlock(_Part):
    """How something is installed."""

    installer: WindowsPath = Field(description="Installer on the host's own disk.")
    arguments: tuple[str, ...] = Field(
        (),
        description="Its arguments. Without them a person is asked to run it. `{key_password}` stands for the secret.",
    )
    name: str = Field("", description="Display name under which it shows as installed; `*` matches anything.")
    version: str = Field("", description="Wanted version, or its beginning.")


class PasswordsBlock(_Part):
    """Copying passwords with the Password Export Server."""

    export_server: Name = Field(
        description="Host of the source domain that runs the Password Export Server: a writable controller."
    )
    run_as: str = Field("LocalSystem", description="Account of its service.")
    run_as_credential: Name | None = Field(
        None, description="Credential of that account, where it is not a built-in one."
    )
    key_file: WindowsPath = Field(
        description="Encryption key file, on the local disk of both hosts.", examples=["C:\\PES\\source.pes"]
    )
    key_password: SecretRef = Field(description="Reference to the password of the key file.")
    key_created_on: Name | None = Field(None, description="Host that creates the key; the ADMT host where not given.")
    install: SoftwareBlock | None = Field(None, description="How PES is installed. Without it a person is asked to.")


class OperatorBlock(_Part):
    """Who runs ADMT."""

    account: Account = Field(description="`DOMAIN\\name` in the target domain.", examples=["TARGET\\migrator"])
    credential: Name = Field(description="Its credential: ADMT runs under a real logon of it.")
    rights: Literal["least", "present"] = Field(
        "least",
        description="`least` grants exactly what ADMT needs, for the time of the migration; `present` grants nothing.",
    )


class NameList(_Part):
    """A list of accounts in a file beside the state file."""

    file: PurePath = Field(
        description="One name per line, or CSV with a header of `SourceName`, `TargetSAM`, `TargetUPN`, `TargetRDN`, as ADMT's include files.",
        examples=["pilots.csv"],
    )


class AccountsBlock(_Part):
    """A population of accounts to migrate."""

    name: str = Field(
        "", description="What plans and reports call it; its container where it has none.", examples=["pilots"]
    )
    of: Of = Field("users", description="Users, groups or computers.")
    from_: Dn | None = Field(
        None, alias="from", description="Container in the source; the whole domain where not given."
    )
    filter: LdapFilter | None = Field(
        None, description="LDAP filter, everything where not given; built-in accounts are never taken."
    )
    members_of: tuple[Dn, ...] = Field((), description="Only members of one of these groups, members of members too.")
    names: tuple[str, ...] | NameList = Field(
        (), description="Only these, by sAMAccountName or name of the object; or a list in a file."
    )
    except_: Except = Field(Except(), alias="except", description="What is left out.")
    into: Container = Field(description="Organizational unit in the target.")
    placed: tuple[Placement, ...] = Field((), description="Other containers for those below some of the source.")
    rename: Rename | None = Field(
        None,
        description="Names in the target. Where it is given, even empty, names are also set right when they differ.",
    )
    match_by: str = Field(
        "sAMAccountName",
        description="Attribute by which an account of the target is the same person, where no SID says so.",
        examples=["employeeID"],
    )
    on_name_conflict: OnNameConflict = Field(
        "fail",
        description="When somebody else has its name in the target: refuse it, leave it out, merge both, or put `rename.prefix` before it.",
    )
    attributes: tuple[str, ...] = Field(
        (),
        description="Attributes that shall be as in the source, such as `mail` and `proxyAddresses`, which ADMT drops.",
    )
    leave_out: tuple[str, ...] = Field((), description="Attributes that are not copied.")
    source_afterwards: Afterwards = Field(
        "leave",
        description="What becomes of the source account once everything of it is migrated: `leave`, `disable`, or in how many days it expires.",
    )
    wave: str = Field("", description="Name of its wave; the first where not given.")
    change_password_at_logon: bool = Field(
        False, description="Leave ADMT's demand that the user changes the password at the next logon."
    )
    groups: bool = Field(
        False, description="Migrate the groups of these accounts as well, so that memberships come along."
    )
    batch: int = Field(100, ge=1, le=1000, description="Accounts per run of ADMT.")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.on_name_conflict == "prefix" and not (self.rename and self.rename.prefix):
            raise ValueError("`on_name_conflict: prefix` needs `rename: {prefix: ...}`")
        if self.of != "users" and (self.source_afterwards != "leave" or self.groups):
            raise ValueError("`source_afterwards` and `groups` are for users")
        linked = [name for name in self.attributes if name.lower() in NEVER_COPIED]
        if linked:
            raise ValueError(f"cannot be as in the source: {', '.join(linked)}")
        return self


class CanaryBlock(_Part):
    """The throw-away account that goes the whole way before the first real one."""

    in_: Container | None = Field(
        None,
        alias="in",
        description="Container in the source in which it is made; that of the first users where not given.",
        examples=["OU=Staff,DC=source,DC=lab"],
    )
    into: Container | None = Field(
        None, description="Container in the target; that of the first users where not given."
    )


class WaveBlock(_Part):
    """A part of the migration: populations that go together."""

    name: Name = Field(description="What populations refer to.")
    phase: Phase = Field(
        "migrate",
        description="`prepare`: not yet; `migrate`: now, and whatever is new later; `complete`: over, nothing is added any more.",
    )
    after: Percent = Field(
        "0 %",
        description="So many of the wave before have to be able to log on in the target first, such as `98 %`.",
        examples=["98 %"],
    )
    windows: tuple[Window, ...] = Field(
        (), description="When its accounts may be migrated; at any time where none is given."
    )
    size: int | None = Field(
        None, ge=1, description="The most accounts that each of its populations may have; more are a mistake."
    )
    batch: int | None = Field(
        None, ge=1, le=1000, description="Accounts per run of ADMT, in place of what its populations say."
    )


class MigrationBlock(_Part):
    """What `reconcile graph` shows as resources."""

    source: Name = Field("source", description="Name of the source domain under `domains`.")
    target: Name = Field("target", description="Name of the target domain under `domains`.")
    admt_host: Name = Field(
        description="Host that runs ADMT; a controller of the target domain where SID history is migrated."
    )
    also_admt_hosts: tuple[Name, ...] = Field(
        (),
        description="Further hosts that run ADMT, each with a database of its own: the accounts are dealt out over all of them, "
        "which run at the same time. What `admt_host` needs is set up on each.",
        examples=[["admt2"]],
    )
    admt: SoftwareBlock | None = Field(None, description="How ADMT is installed. Without it a person is asked to.")
    trust: TrustBlock | None = None
    audit: Literal["account-management"] | None = Field(
        None, description="Audit account management, success and failure, in both domains."
    )
    sid_history: bool = Field(True, description="Migrate SIDs as well.")
    passwords: PasswordsBlock | None = None
    operator: OperatorBlock
    accounts: tuple[AccountsBlock, ...] = ()
    waves: tuple[WaveBlock, ...] = Field(
        (), description="Parts of the migration, in their order; one where none is given."
    )
    memberships: bool = Field(
        True,
        description="Put migrated accounts into the migrated groups that they are in in the source, last, and whenever they lack there. "
        "Nobody is removed.",
    )
    cleanup: tuple[Cleanup, ...] = Field(
        (),
        description="What is removed for good when the phase is `complete`: `sid_history`, the old SIDs that this migration added. "
        "Needs the approval `remove-sid-history`; nothing brings them back but migrating again.",
    )
    canary: CanaryBlock | Literal["off"] = Field(
        CanaryBlock(),
        description="A throw-away account that is made, migrated, logged on with and removed before the first real one is touched, "
        "and again when what that proved has changed; `off` for none.",
    )
    dead_mans_switch: Annotated[Waiting, BeforeValidator(lambda given: "off" if given is None else given)] = Field(
        DEFAULT,
        description="How long after the last pass the hosts themselves put back what is dangerous, 15 minutes to 7 days, "
        "such as `8h`; `off` for never.",
        examples=["8h"],
    )
    on_conflict: OnConflict | None = Field(
        None,
        description="When something goes back that somebody else has changed meanwhile: put the original back, leave it as it is, "
        "or ask a person. `ask` where not given.",
    )
    on_drift: OnDrift | None = Field(
        None,
        description="When somebody changes what was as wanted: set it right, only report it, or ignore it for a reason and until a day. "
        "`correct` where not given.",
    )
    lease: Length | None = Field(
        None,
        description="How long anything that weakens security may stay after it was set, such as `8h`; past that it goes back "
        "whatever the phase. No end where not given.",
    )
    approvals: tuple[AnyApproval, ...] = Field(
        (),
        description="Risky steps that are approved: names that `plan` shows, or for one plan or a time, `{step, plan, until}`.",
    )
