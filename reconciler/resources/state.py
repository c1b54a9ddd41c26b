"""The state file as a model. What `migration` means in resources is in resolve.py."""

from __future__ import annotations

from datetime import timedelta
from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from reconciler.core.lengths import Length
from reconciler.core.limits import AnyApproval
from reconciler.core.notice import Receiver
from reconciler.core.policy import OnDrift
from reconciler.core.resource import OnConflict
from reconciler.core.secret import SecretRef
from reconciler.core.targets import Credential, Domain, Host, Name
from reconciler.core.values import Dn, Phase
from reconciler.core.windows import Window
from reconciler.resources.dead_man import DEFAULT, Waiting
from reconciler.resources.kinds import AnyResource

Account = Annotated[str, StringConstraints(pattern=r"^[^\\/\[\]:;|=,+*?<>\"]+\\[^\\/\[\]:;|=,+*?<>\"]+$")]
WindowsPath = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]:\\[^<>:\"|?*\x00-\x1f]+$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Metadata(_Part):
    """What this migration is called."""

    name: Name = Field(description="Names the journal and every report.")


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


class AccountsBlock(_Part):
    """A population of accounts to migrate."""

    from_: Dn = Field(alias="from", description="Container in the source.")
    filter: str = Field(
        "(objectClass=user)", description="LDAP filter; computers and built-in accounts are never taken."
    )
    into: Dn = Field(description="Organizational unit in the target.")
    change_password_at_logon: bool = Field(
        False, description="Leave ADMT's demand that the user changes the password at the next logon."
    )
    groups: bool = Field(
        False, description="Migrate the groups of these accounts as well, so that memberships come along."
    )
    batch: int = Field(100, ge=1, le=1000, description="Accounts per run of ADMT.")


class MigrationBlock(_Part):
    """What `reconcile graph` shows as resources."""

    source: Name = Field("source", description="Name of the source domain under `domains`.")
    target: Name = Field("target", description="Name of the target domain under `domains`.")
    admt_host: Name = Field(
        description="Host that runs ADMT; a controller of the target domain where SID history is migrated."
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


class State(BaseModel):
    """A declared migration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    apiVersion: Literal["reconciler/v1"] = Field(description="Version of this format.")
    kind: Literal["Migration"]
    metadata: Metadata
    phase: Phase = Field(
        description="How far the migration shall be: `prepare` sets everything up, `migrate` moves accounts, `complete` puts every temporary setting back."
    )
    journal: PurePath = Field(
        PurePath(".reconcile"),
        description="Directory of the journal, relative to this file. It holds what has to be put back: keep it.",
    )
    windows: tuple[Window, ...] = Field(
        (),
        description="When `watch` may change something; at any time where none is given. It puts back whenever that is due.",
    )
    history_keep: Length = Field(
        timedelta(days=180),
        description="How long a drift that is over stays in the journal, such as `90d`; 180 days where not given.",
    )
    credentials: dict[Name, Credential] = Field(min_length=1)
    domains: dict[Name, Domain] = Field(min_length=1)
    hosts: dict[Name, Host] = Field(default_factory=dict)
    migration: MigrationBlock | None = None
    resources: tuple[AnyResource, ...] = Field((), description="Anything else, kind by kind.")
    notify: tuple[Receiver, ...] = Field(
        (), description="Who is told, by signed messages, of what begins and is over: drift, leases, alarms."
    )
