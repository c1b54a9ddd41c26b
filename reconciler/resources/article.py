"""The administrator's article as resources: what the ``migration:`` block means, with the reason for each edge. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from reconciler.core.resource import After, Declaration, Need, Resource
from reconciler.core.values import Dn, Phase
from reconciler.resources import article_canary
from reconciler.resources.article_accounts import Lists, populations
from reconciler.resources.article_cleanup import cleanups
from reconciler.resources.article_hosts import AdmtHosts
from reconciler.resources.article_memberships import last, memberships
from reconciler.resources.kinds import KINDS
from reconciler.resources.migration import MigrationBlock, PasswordsBlock, SoftwareBlock
from reconciler.resources.misfit import Found, Misfit
from reconciler.resources.population import Of
from reconciler.resources.state import State
from reconciler.resources.weights import WEIGHTS
from reconciler.resources.win_audit_policy import account_management

PREPARED: frozenset[Phase] = frozenset({"prepare", "migrate"})
MIGRATING: frozenset[Phase] = frozenset({"migrate"})
LSA = r"HKLM:\SYSTEM\CurrentControlSet\Control\Lsa"
ADMINISTRATORS = "S-1-5-32-544"
PRE_WINDOWS_2000 = "S-1-5-32-554"
EVERYONE, ANONYMOUS = "S-1-1-0", "S-1-5-7"
ADMT_NAME = "Active Directory Migration Tool"
PES_NAME = "*Password Migration DLL*"
PES_SERVICE = "PesSvc"


def _account_grants(what: str) -> tuple[dict[str, str], ...]:
    return (
        {"right": "create-child", "of": what, "applies": "both"},
        {"right": "delete-child", "of": what, "applies": "both"},
        {"right": "control", "of": "User-Force-Change-Password", "applies": "descendants", "class": what},
        {"right": "read-property", "applies": "descendants", "class": what},
        {"right": "write-property", "applies": "descendants", "class": what},
    )


CONTAINER_GRANTS = _account_grants("user")
GROUP_GRANTS: tuple[dict[str, str], ...] = (
    {"right": "create-child", "of": "group", "applies": "both"},
    {"right": "delete-child", "of": "group", "applies": "both"},
    {"right": "write-property", "applies": "descendants", "class": "group"},
)
COMPUTER_GRANTS = _account_grants("computer")
GRANTS: dict[Of, tuple[dict[str, str], ...]] = {
    "users": CONTAINER_GRANTS,
    "groups": GROUP_GRANTS,
    "computers": COMPUTER_GRANTS,
}
AUDIT_GROUP_SETTLES = timedelta(minutes=2)
"""Each SID that ADMT carries over is put into that group and taken out again by the source controller itself [V: DSADD]."""
HISTORY_GRANT: dict[str, str] = {"right": "control", "of": "Migrate SID History", "applies": "both"}


class Article:
    """The steps of the article for one state, in an order in which requirements come first."""

    def __init__(self, state: State, block: MigrationBlock, lists: Lists | None = None) -> None:
        self.state = state
        self.block = block
        self.source = state.domains[block.source]
        self.target = state.domains[block.target]
        self.hosts = AdmtHosts.of(state, block)
        self.pdc = next(
            name for name, host in state.hosts.items() if host.domain == block.source and host.role == "pdc-emulator"
        )
        self.head = ",".join(f"DC={label}" for label in self.source.dns.rstrip(".").split("."))
        self.populations = populations(block, self.head, lists or {})
        self.made: list[Declaration] = []

    def resources(self) -> list[Declaration]:
        """Return the declarations."""
        trust = self._trust()
        admt = {host: self._admt(host) for host in self.hosts.every}
        rights = self._operator(trust)
        history = self._sid_history()
        audit = self._audit()
        ready = [trust, *admt.values(), *rights, *history, *audit]
        ready += (
            self._passwords(self.block.passwords, admt, ready)
            if self.block.passwords
            else [*self._restart([*history], self.pdc)]
        )
        migrated = self._accounts(self._canary([need for need in ready if need]))
        if (fields := memberships(self.block, self.head)) is not None:
            self._add("ad.memberships", ("migration", "memberships"), last(migrated), **fields)
        for kind, fields in cleanups(self.block):
            self._add(kind, ("migration", "cleanup"), **fields)
        return self.made

    def _add(self, kind: str, origin: Found, needs: Iterable[Need | None] = (), **fields: Any) -> Need:
        """Declare one resource; return it as a need of others, with a reason that they may replace."""
        after = tuple(After(key=need.key, because=need.because, must=need.must) for need in needs if need)
        # Those for one plan, or for a time, are given when the plan is known.
        always = frozenset(approval for approval in self.block.approvals if isinstance(approval, str))
        policy: dict[str, Any] = {"on_conflict": self.block.on_conflict} if self.block.on_conflict else {}
        policy |= {"on_drift": self.block.on_drift} if self.block.on_drift else {}
        policy |= {"lease": self.block.lease} if self.block.lease and fields.get("weakens") else {}
        try:
            resource: Resource = KINDS[kind].model_validate(
                {"kind": kind, "after": after, "approved": always, **policy, **fields}
            )
        except ValidationError as error:
            raise Misfit(
                [
                    (origin, f"{kind}: {fault['msg']}", f"look at `{'.'.join(map(str, fault['loc']))}`")
                    for fault in error.errors()
                ]
            ) from error
        self.made.append(Declaration(resource, origin))
        return Need(resource.key, f"{resource.title()} must be in place")

    def _trust(self) -> Need | None:
        trust = self.block.trust
        if trust is None:
            return None
        need = self._add(
            "ad.trust",
            ("migration", "trust"),
            domain=self.block.source,
            partner=self.block.target,
            direction=trust.direction,
            type=trust.type,
            sid_filtering=trust.sid_filtering,
            verified=True,
            host=self.pdc,
            partner_host=self.block.admt_host,
            domain_dns=self.source.dns,
            partner_dns=self.target.dns,
            credential=self.source.credential,
            partner_credential=self.target.credential,
            during=frozenset({"prepare", "migrate", "complete"}) if trust.keep else PREPARED,
            weakens="SIDs of the other domain are honoured in this one" if trust.sid_filtering == "relaxed" else "",
            weight=WEIGHTS["sid filtering"] if trust.sid_filtering == "relaxed" else None,
        )
        return Need(need.key, "accounts of the target must be known and trusted in the source")

    def _software(
        self, name: str, host: str, block: SoftwareBlock | None, origin: Found, *, restart: bool, **more: Any
    ) -> Need:
        fields: dict[str, Any] = {"name": name, "host": host, "restart": restart, "during": PREPARED, **more}
        if block is not None:
            fields |= {"installer": block.installer, "arguments": block.arguments}
            fields |= {"name": block.name} if block.name else {}
            fields |= {"version": block.version} if block.version else {}
        return self._add("win.software", origin, fields.pop("needs", ()), **fields)

    def _admt(self, host: str) -> Need:
        return self._software(ADMT_NAME, host, self.block.admt, ("migration", "admt"), restart=False)

    def _operator(self, trust: Need | None) -> list[Need]:
        operator, origin = self.block.operator, ("migration", "operator")
        if operator.rights == "present":
            return []
        who: dict[str, Any] = {"member": operator.account, "member_domain": self.block.target, "during": PREPARED}
        trustee: dict[str, Any] = {"trustee": operator.account, "trustee_domain": self.block.target, "during": PREPARED}
        needs = [
            self._add(
                "ad.group_member",
                origin,
                [trust],
                domain=self.block.source,
                group=ADMINISTRATORS,
                weakens=f"{operator.account} administers the source domain",
                weight=WEIGHTS["source administrator"],
                **who,
            ),
            *(
                self._add(
                    "win.local_group_member",
                    origin,
                    host=host,
                    group=ADMINISTRATORS,
                    weakens=f"{operator.account} administers the ADMT host",
                    weight=WEIGHTS["host administrator"],
                    **who,
                )
                for host in self.hosts.administered
            ),
        ]
        history = (HISTORY_GRANT,) if self.block.sid_history else ()
        for into, kinds in self._containers().items():
            grants = (*(grant for kind in kinds for grant in GRANTS[kind]), *history)
            needs.append(
                self._add(
                    "ad.access",
                    origin,
                    domain=self.block.target,
                    object=str(into),
                    grants=grants,
                    weakens=f"{operator.account} manages {' and '.join(kinds)} in {into}",
                    weight=WEIGHTS["sid history" if history else "users of a container"],
                    **trustee,
                )
            )
        if history:
            needs.append(
                self._add(
                    "ad.access",
                    origin,
                    domain=self.block.target,
                    object="",
                    grants=history,
                    weakens=f"{operator.account} may write SID history",
                    weight=WEIGHTS["sid history"],
                    **trustee,
                )
            )
        return [Need(need.key, f"ADMT runs as {operator.account} and needs the right") for need in needs]

    def _containers(self) -> dict[Dn, tuple[Of, ...]]:
        """Return what is created in each container of the target."""
        found: dict[Dn, dict[Of, None]] = {}
        for one in self.populations:
            for into in (one.block.into, *(place.into for place in one.block.placed)):
                found.setdefault(into, {})[one.selection.of] = None
                if one.block.groups:
                    found[into]["groups"] = None
        for into in article_canary.containers(self.block, self.populations):
            found.setdefault(into, {})["users"] = None
        return {into: tuple(kind for kind in GRANTS if kind in kinds) for into, kinds in found.items()}

    def _sid_history(self) -> list[Need]:
        if not self.block.sid_history:
            return []
        origin = ("migration", "sid_history")
        group = self._add(
            "ad.group",
            origin,
            domain=self.block.source,
            name=f"{self.source.netbios}$$$",
            scope="domain-local",
            security=True,
            members=(),
            during=PREPARED,
            settle=AUDIT_GROUP_SETTLES,
        )
        registry = self._add(
            "win.registry", origin, host=self.pdc, path=LSA, name="TcpipClientSupport", type="DWord", value=1, restart=True, during=PREPARED,
            weakens="the source PDC accepts SAM calls over TCP", weight=WEIGHTS["sam over tcp"],
        )  # fmt: skip
        return [
            Need(group.key, "the source PDC audits each SID through this group"),
            Need(registry.key, "the source PDC takes SID history calls over TCP only with it"),
        ]

    def _audit(self) -> list[Need]:
        if self.block.audit is None:
            return []
        needs = []
        for host in (self.pdc, *self.hosts.written_to):
            declared = self.state.hosts[host]
            need = self._add(
                "win.audit_policy", ("migration", "audit"), host=host, category="account-management", settings=account_management(success=True, failure=True),
                domain=declared.domain, words=declared.audit_words, during=PREPARED,
            )  # fmt: skip
            needs.append(Need(need.key, "SID history is refused where account management is not audited"))
        return needs

    def _passwords(self, block: PasswordsBlock, admt: dict[str, Need], ready: list[Need | None]) -> list[Need]:
        """Declare key, PES, restart, service; the setting that lets passwords out comes last, and goes first."""
        origin, server = ("migration", "passwords"), block.export_server
        creator = block.key_created_on or self.block.admt_host
        common: dict[str, Any] = {"during": PREPARED}
        keys = self._key(block, creator, admt)
        carried = Need(keys[server].key, "PES is installed with the key, from a local disk")
        protection = self._add(
            "win.registry", origin, host=server, path=LSA, name="RunAsPPL", ensure="absent", restart=True, risk="disable-lsa-protection", tolerates=(0,), during=PREPARED,
            dead_mans_switch=self.block.dead_mans_switch,
            explanation="LSA protection keeps the password filter from loading; turning it off weakens this controller until the migration is complete",
            weakens="LSA protection is off", weight=WEIGHTS["lsa protection"],
        )  # fmt: skip
        pes = self._software(
            PES_NAME, server, block.install, (*origin, "install"), restart=True, secrets={"key_password": block.key_password},
            instructions=f"run the Password Export Server installer from an elevated prompt as a member of the built-in Administrators, with the key file {block.key_file}, "
            f"its password, and the service account {block.run_as}; do not restart, that is done for you",
            needs=[carried, Need(protection.key, "with LSA protection on, the password filter cannot load"), self._known(block, ready[0])],
        )  # fmt: skip
        imported = [
            self._add(
                "pes.key_import", origin, [keys[host], Need(admt[host].key, "ADMT holds the key")], host=host, domain=self.block.source, source_dns=self.source.dns, key_file=block.key_file,
                key_password=block.key_password, created_on=creator, **common,
            )
            for host in self.hosts.every
        ]  # fmt: skip
        target_side = self._target_side(
            origin, [Need(need.key, "the target is opened only once PES is there") for need in (pes, *imported)]
        )
        others = [need for need in (*ready, pes, *imported, *target_side) if need]
        export = self._add(
            "win.registry", origin, [Need(need.key, "passwords may only leave once everything else is ready") for need in others],
            host=server, path=LSA, name="AllowPasswordExport", type="DWord", value=1, restart=True, during=MIGRATING, weakens="password hashes can be exported from the source domain", weight=WEIGHTS["password export"],
            dead_mans_switch=self.block.dead_mans_switch,
        )  # fmt: skip
        waiting = [need for need in (*ready, protection, pes, export) if need]
        restarts = self._restart(waiting, self.pdc, *([server] if server != self.pdc else []))
        service = self._add(
            "win.service", origin, [*restarts, Need(pes.key, "the service comes with PES"), Need(export.key, "PES refuses without it")],
            host=server, name=PES_SERVICE, status="running", start_mode="manual", account=block.run_as, credential=block.run_as_credential, during=MIGRATING,
            weakens="the Password Export Server answers", weight=WEIGHTS["export service"], dead_mans_switch=self.block.dead_mans_switch,
        )  # fmt: skip
        return [*imported, *target_side, *restarts, Need(service.key, "passwords are copied through it")]

    def _known(self, block: PasswordsBlock, trust: Need | None) -> Need | None:
        """Return the trust where the export server's account is one of the target: its installer has to find it."""
        domain, separator, _ = block.run_as.partition("\\")
        of_target = separator and domain.casefold() == self.target.netbios.casefold()
        return Need(trust.key, f"the source must know {block.run_as}") if trust and of_target else None

    def _key(self, block: PasswordsBlock, creator: str, admt: dict[str, Need]) -> dict[str, Need]:
        """Declare the key where it is made, and its file on every host that needs it; return the need by host."""
        origin: Found = ("migration", "passwords", "key_file")
        maker = admt.get(creator) or self._admt(creator)
        key = self._add(
            "pes.key", origin, [Need(maker.key, "ADMT makes and holds the key"), self._directory(block, creator)], host=creator, domain=self.block.source,
            source_dns=self.source.dns, key_file=block.key_file, key_password=block.key_password, during=PREPARED,
        )  # fmt: skip
        needs = {creator: Need(key.key, "the key must exist first")}
        for host in dict.fromkeys((block.export_server, *self.hosts.every)):
            if host not in needs:
                copy = self._add(
                    "win.file", origin, [needs[creator], self._directory(block, host)], host=host, path=block.key_file,
                    content_of={"host": creator, "path": block.key_file}, during=PREPARED,
                )  # fmt: skip
                needs[host] = Need(copy.key, "the key must be there first")
        return needs

    def _directory(self, block: PasswordsBlock, host: str) -> Need | None:
        """Declare the directory of the key file; a drive's root is always there."""
        path = block.key_file.rpartition("\\")[0]
        if path.endswith(":"):
            return None
        need = self._add("win.directory", ("migration", "passwords", "key_file"), host=host, path=path, during=PREPARED)
        return Need(need.key, "the key file lies in it")

    def _target_side(self, origin: Found, needs: list[Need]) -> list[Need]:
        """What the target needs while PES runs as LocalSystem: it reaches the target as anonymous."""
        members = [
            self._add(
                "ad.group_member",
                origin,
                needs,
                domain=self.block.target,
                group=PRE_WINDOWS_2000,
                member=sid,
                member_domain=self.block.target,
                during=MIGRATING,
                weakens=f"{who} may read accounts of the target domain",
                weight=WEIGHTS[weight],
            )
            for sid, who, weight in ((EVERYONE, "everyone", "everyone"), (ANONYMOUS, "anonymous users", "anonymous"))
        ]
        anonymous = [
            self._add(
                "win.registry", origin, needs, host=host, path=LSA, name="RestrictAnonymous", type="DWord", value=0, during=MIGRATING,
                weakens="anonymous users may enumerate accounts of the target domain", weight=WEIGHTS["anonymous"], dead_mans_switch=self.block.dead_mans_switch,
            )
            for host in self.hosts.written_to
        ]  # fmt: skip
        return [Need(need.key, "PES reaches the target as anonymous") for need in (*members, *anonymous)]

    def _restart(self, waiting: Iterable[Need], *hosts: str) -> list[Need]:
        keys = {need.key for need in waiting}
        out = []
        for host in dict.fromkeys(hosts):
            needs = [
                Need(d.resource.key, "it counts only after a restart")
                for d in self.made
                if d.resource.key in keys
                and getattr(d.resource, "host", None) == host
                and getattr(d.resource, "restart", False)
            ]
            need = self._add("win.restart", ("hosts", host), needs, host=host, pending=())
            out.append(Need(need.key, "settings made before count only after the restart"))
        return out

    def _canary(self, ready: list[Need]) -> list[Need]:
        """Declare the throw-away account that goes first; return what real accounts need."""
        fields = article_canary.canary_of(self.block, self.populations, self.head, self.pdc)
        if not fields:
            return ready
        server = fields["export_server"]
        canary = self._add(
            "ad.canary",
            article_canary.ORIGIN if self.block.model_fields_set >= {"canary"} else ("migration", "accounts"),
            ready,
            source_dns=self.source.dns,
            target_dns=self.target.dns,
            host_address=self.hosts.addresses[self.hosts.first],
            export_server_address=self._address(server) if server else "",
            **fields,
        )
        return article_canary.before(ready, canary)

    def _accounts(self, ready: list[Need]) -> list[Need]:
        """Declare the populations one after the other: ADMT runs once at a time on a host, and what one could not do holds up no other."""
        passwords = self.block.passwords
        made: list[Need] = []
        for one in self.populations:
            users = one.selection.of == "users"
            turn = [Need(before.key, "one population after the other", must=False) for before in made[-1:]]
            need = self._add(
                "ad.accounts",
                one.origin,
                [*ready, *turn],
                source=self.block.source,
                source_dns=self.source.dns,
                target=self.block.target,
                target_dns=self.target.dns,
                **self.hosts.fields_for(one.block),
                credential=self.block.operator.credential,
                export_server=passwords.export_server if passwords and users else None,
                export_server_address=self._address(passwords.export_server) if passwords and users else "",
                sid_history=self.block.sid_history and one.selection.of != "computers",
                passwords=passwords is not None and users,
                during=MIGRATING if one.wave.phase == "migrate" else frozenset(),
                **one.fields,
            )
            made.append(need)
        return made

    def _address(self, host: str) -> str:
        """Return a host's DNS name where the state file gives it; the others are found by their role."""
        return self.state.hosts[host].address or ""
