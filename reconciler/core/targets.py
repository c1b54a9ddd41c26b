"""What answers: the domains and hosts of a state file, and the credentials to reach them. Data only."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from reconciler.core.secret import SecretRef

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
DnsName = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=253,
        pattern=r"^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9])?)*\.?$",
    ),
]
NetbiosName = Annotated[str, StringConstraints(pattern=r"^[^\\/:*?\"<>|\s.][^\\/:*?\"<>|\s]{0,14}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Credential(_Part):
    """A name and where its password lives."""

    username: str = Field(
        description="`name@REALM` or `DOMAIN\\name`.", min_length=1, examples=["Administrator@SOURCE.LAB"]
    )
    password: SecretRef = Field(description="A reference, never the value itself.")


class Domain(_Part):
    """One Active Directory domain."""

    dns: DnsName = Field(description="DNS name of the domain.", examples=["source.lab"])
    netbios: NetbiosName = Field(description="NetBIOS name of the domain.", examples=["SOURCE"])
    credential: Name = Field(
        description="Name of the credential for LDAP, and for the hosts of this domain that name no other."
    )
    ca: PurePath | None = Field(
        None,
        description="CA certificates (PEM) that signed the controllers' certificates; relative to the state file. Without it the system's are used.",
    )
    controllers: tuple[DnsName, ...] = Field(
        (), description="Controllers to use, in this order. Without it they are found by DNS SRV records."
    )
    nameservers: tuple[str, ...] = Field(
        (), description="DNS servers (IP addresses) that know this domain. Without it the system's are used."
    )
    transport: Literal["ldaps", "starttls"] = Field(
        "ldaps", description="How LDAP is encrypted. There is no unencrypted way."
    )
    auth: Literal["simple", "kerberos"] = Field("simple", description="How to bind, inside TLS.")


class Winrm(_Part):
    """How a host is reached."""

    transport: Literal["https", "http"] = Field("https", description="`http` is always used with message encryption.")
    auth: Literal["kerberos", "ntlm", "negotiate"] = Field(
        "kerberos", description="`negotiate` may silently fall back to NTLM; say `ntlm` where you mean it."
    )
    port: int | None = Field(None, ge=1, le=65535, description="5986 for https and 5985 for http where not given.")
    configuration: str = Field(
        "Microsoft.PowerShell", description="Session configuration (a JEA or RunAs endpoint).", min_length=1
    )


class AuditWords(_Part):
    """How a host with another display language spells the audit settings; `auditpol` translates them."""

    none: str = "No Auditing"
    success: str = "Success"
    failure: str = "Failure"
    both: str = "Success and Failure"


class Host(_Part):
    """One Windows host."""

    domain: Name = Field(description="Name of the domain that it belongs to.")
    address: DnsName | None = Field(None, description="Its DNS name. Give this or `role`.")
    role: Literal["pdc-emulator"] | None = Field(None, description="Found over LDAP at every run.")
    credential: Name | None = Field(None, description="Another credential than the domain's.")
    member_server: bool = Field(
        False,
        description="It is no controller of its domain. Only asked of hosts that run ADMT: it migrates no SIDs there.",
    )
    winrm: Winrm = Field(default_factory=lambda: Winrm.model_validate({}))
    audit_words: AuditWords = Field(default_factory=lambda: AuditWords.model_validate({}))

    @model_validator(mode="after")
    def _names_one_machine(self) -> Self:
        if (self.address is None) == (self.role is None):
            raise ValueError("a host needs either `address` or `role`")
        return self


class Targets(BaseModel):
    """Everything that can answer, by the names of the state file."""

    model_config = ConfigDict(frozen=True)

    credentials: dict[Name, Credential]
    domains: dict[Name, Domain]
    hosts: dict[Name, Host]
