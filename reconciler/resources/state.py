"""The state file as a model. What `migration` means in resources is in resolve.py."""

from __future__ import annotations

from datetime import timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from reconciler.core.lengths import Length
from reconciler.core.notice import Receiver
from reconciler.core.targets import Credential, Domain, Host, Name
from reconciler.core.values import Phase
from reconciler.core.windows import Window
from reconciler.resources.kinds import AnyResource
from reconciler.resources.late import Late

if TYPE_CHECKING:
    from reconciler.resources.migration import MigrationBlock

    Migration = MigrationBlock | None
else:

    def _migration() -> TypeAdapter:
        from reconciler.resources.migration import MigrationBlock

        return TypeAdapter(MigrationBlock | None)

    Migration = Annotated[object, Late(_migration)]


class Metadata(BaseModel):
    """What this migration is called."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description="Names the journal and every report.")


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
        description="How long a drift that is over, and what runs did, stay in the journal, such as `90d`; 180 days where not given. "
        "What is still to be put back stays, and so do promises, certificates and totals.",
    )
    credentials: dict[Name, Credential] = Field(min_length=1)
    domains: dict[Name, Domain] = Field(min_length=1)
    hosts: dict[Name, Host] = Field(default_factory=dict)
    migration: Migration = None
    resources: tuple[AnyResource, ...] = Field((), description="Anything else, kind by kind.")
    notify: tuple[Receiver, ...] = Field(
        (), description="Who is told, by signed messages, of what begins and is over: drift, leases, alarms."
    )
