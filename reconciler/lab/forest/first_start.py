"""What a fresh lab does once before its snapshot: the first logons, and the trust if it is to be there already."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from reconciler.lab.forest.bridge import Bridge
from reconciler.lab.forest.remote import kerberos_credential
from reconciler.lab.forest.trusts import BOTH_WAYS, QUARANTINED, trust_each_other
from reconciler.lab.settings import LabError, LabSettings, Role
from reconciler.lab.windows.contract import DomainFacts, NetworkCredential


async def first_start(settings: LabSettings, facts: Mapping[Role, DomainFacts], bridges: Mapping[Role, Bridge]) -> None:
    """Log on everybody whom the product logs on.

    The first logon writes lastLogonTimestamp, which replicates and so moves highestCommittedUSN; the next ones do not,
    for two weeks. A plan that only reads must leave that number alone.
    """
    people = (("source", "Administrator", "source-admin"), ("target", "Administrator", "target-admin"),
              ("target", "migrator", "migrator"))  # fmt: skip
    for role, name, secret in people:
        password = settings.paths.password(secret)
        if not await bridges[role].check_password(name, password):  # type: ignore[index]
            raise LabError(f"{name} cannot log on to {role}.lab, which was built a moment ago")
        credential = NetworkCredential(role.upper(), name, password)
        await asyncio.to_thread(kerberos_credential, credential, facts[role])  # type: ignore[index]
    if settings.trust or settings.awkward:
        await trust_each_other(bridges["source"], bridges["target"], direction=BOTH_WAYS, attributes=QUARANTINED)
