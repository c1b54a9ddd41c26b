"""A file on one host that is a copy of a file on another."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from reconciler.core.errors import NeedsPerson, NotYet, UnexpectedAnswer
from reconciler.core.query import Command, Query, Rows
from reconciler.core.resource import Resource
from reconciler.core.steps import CopyFile, Step
from reconciler.core.targets import Name
from reconciler.resources.file_hash import file_hash, hash_query
from reconciler.resources.windows_values import ABSENT_PATH, FilePath


class FileSource(BaseModel):
    """Where the content comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: Name = Field(description="Host that has the file.")
    path: FilePath = Field(description="Path of the file there.")


class File(Resource):
    """A file with the content of another one. A file with other content is never overwritten."""

    identity: ClassVar[tuple[str, ...]] = ("host", "path")
    unknowable: ClassVar[tuple[str, ...]] = ("content_of",)
    typical_s: ClassVar[float] = 10.0

    kind: Literal["win.file"] = "win.file"
    host: Name = Field(description="Host on which the file shall be.")
    path: FilePath = Field(description="Its path, on a local disk.", examples=[r"C:\PES\source.pes"])
    content_of: FileSource | None = Field(None, description="The file whose content it shall have.")

    def title(self) -> str:
        """Name the file and its host."""
        return f"{self.path} on {self.host}"

    def queries(self) -> tuple[Query, ...]:
        """Ask what is at the path, for its hash, and for the hash of the original."""
        return (
            # Get-FileHash passes over a directory without a word.
            Command(self.host, "Get-Item", (("LiteralPath", self.path), ("Force", True)), absent=ABSENT_PATH),
            hash_query(self.host, self.path),
            *((hash_query(self.content_of.host, self.content_of.path),) if self.content_of else ()),
        )

    def parse(self, *answers: Rows) -> Self:
        """Compare the two hashes; the content itself is never read."""
        items, hashes, *original = answers
        own = file_hash(hashes, self.host)
        wanted = file_hash(original[0], self.content_of.host) if self.content_of else None
        if items and own is None:
            raise UnexpectedAnswer(
                f"{self.title()} is there, but it is no file that can be read",
                target=self.host,
                do="see what it is; move it away if it is a directory",
            )
        if own is None:
            return self.absent().with_facts(original=wanted)
        same = own == wanted
        return self.observed(content_of=self.content_of if same else None).with_facts(original=wanted, sha256=own)

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Copy or remove the file."""
        if self.ensure == "absent":
            remove = Command(self.host, "Remove-Item", (("LiteralPath", self.path), ("Force", True)))
            return (Step(remove, f"delete {self.title()}"),)
        if self.content_of is None:
            raise NeedsPerson(
                f"{self.title()} is missing or changed, and its former content is not known",
                where=self.host,
                do="put it back by hand",
            )
        source = self.content_of
        if observed.facts["original"] is None:
            raise NotYet(f"{source.path} is not there on {source.host}")
        if observed.ensure == "present":
            raise NeedsPerson(
                f"{self.title()} has other content than {source.path} on {source.host}",
                where=self.host,
                do="a file that is there is never overwritten: move it away, or declare another path",
            )
        return (Step(CopyFile(source.host, source.path, self.host, self.path)),)
