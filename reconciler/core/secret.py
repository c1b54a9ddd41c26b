"""References to secrets. A value never appears here: only ``edge.secrets`` looks inside."""

from __future__ import annotations

from pathlib import PurePath
from typing import Literal, Self

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field, model_validator


class SecretRef(BaseModel):
    """Where a secret lives: exactly one of a file, an environment variable, or a keyring entry."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: PurePath | None = Field(
        None,
        description="Path of a file holding the secret; relative to the state file. One trailing newline is ignored.",
    )
    env: str | None = Field(None, description="Name of an environment variable.", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    keyring: str | None = Field(
        None, description="'service/username' of an entry in the system keyring.", pattern=r"^[^/]+/.+$"
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(part is not None for part in (self.file, self.env, self.keyring)) != 1:
            raise ValueError("name exactly one of `file`, `env` or `keyring`")
        return self

    def __str__(self) -> str:
        """Show the place, never the value."""
        source, place = next(
            (k, v) for k, v in (("file", self.file), ("env", self.env), ("keyring", self.keyring)) if v is not None
        )
        return f"<secret {source}:{place}>"


class Generated(Struct, frozen=True):
    """A password that is made up when it is first needed, lives in memory alone, and is forgotten when the run ends.

    Attributes:
        name: Tells several apart; what is logged on with in one run.
    """

    name: str

    def __str__(self) -> str:
        return f"<secret generated:{self.name}>"


class CredentialPart(Struct, frozen=True):
    """The username or the password of a credential that the state file names; looked up only where it is sent."""

    credential: str
    part: Literal["username", "password"]

    def __str__(self) -> str:
        return f"<{self.part} of {self.credential}>"


class Template(Struct, frozen=True):
    """Text with secrets in it, joined only where it is sent."""

    parts: tuple[str | SecretRef | CredentialPart, ...]

    def __str__(self) -> str:
        return "".join(str(part) for part in self.parts)
