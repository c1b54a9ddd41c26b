"""The encryption key brought into a host that did not make it, or that answers with the wrong one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from reconciler.core.errors import NotYet
from reconciler.core.query import Query, Recall, Rows
from reconciler.core.resource import Resource
from reconciler.core.secret import SecretRef
from reconciler.core.steps import Note, Step
from reconciler.core.targets import DnsName, Name
from reconciler.resources import command_line
from reconciler.resources.admt_key import key_arguments, key_command
from reconciler.resources.facts import fact
from reconciler.resources.file_hash import file_hash, hash_query
from reconciler.resources.windows_values import KeyFile


class PesKeyImport(Resource):
    """ADMT on a host holds the key of a source domain. Nothing reads it back and nothing takes it out again.

    The host that made the key needs no import, unless the Password Export Server has answered that the keys differ.
    """

    identity: ClassVar[tuple[str, ...]] = ("host", "domain")
    inputs: ClassVar[tuple[str, ...]] = ("source_dns", "key_file", "key_password", "created_on", "program")
    restores: ClassVar[bool] = False
    typical_s: ClassVar[float] = 10.0

    kind: Literal["pes.key_import"] = "pes.key_import"
    host: Name = Field(description="Host that runs ADMT.")
    domain: Name = Field(description="Source domain that the key is for.")
    source_dns: DnsName = Field(description="DNS name of the source domain.", examples=["source.lab"])
    key_file: KeyFile = Field(description="File with the key, on a local disk.", examples=[r"C:\PES\source.pes"])
    key_password: SecretRef = Field(description="Reference to the password of the file.")
    created_on: Name = Field(description="Host that made the key.")
    program: str = Field("admt.exe", description="ADMT; with its path where it is not in PATH.", min_length=1)

    @model_validator(mode="after")
    def _not_taken_out(self) -> Self:
        if self.ensure == "absent":
            raise ValueError("a key cannot be taken out of ADMT again")
        return self

    def title(self) -> str:
        """Name the domain and the host."""
        return f"password export key for {self.source_dns} in ADMT on {self.host}"

    def queries(self) -> tuple[Query, ...]:
        """Ask what was imported, whether the keys were found to differ, and for the hash of the file."""
        return (
            Recall(self._fact),
            Recall(self._mismatch),
            hash_query(self.host, self.key_file),
            command_line.logging_query(self.host),
        )

    def parse(self, *answers: Rows) -> Self:
        """Decide whether the host holds the key: made there or imported, and no newer answer that it differs."""
        imports, mismatches, hashes, logging = answers
        done, mismatch = fact(imports, self._fact), fact(mismatches, self._mismatch)
        sha256 = file_hash(hashes, self.host)
        if mismatch:
            # One import answers one mismatch; a later one is another value.
            holds = done.get("state") == "imported" and done.get("answers") == dict(mismatch)
        elif self.created_on == self.host:
            holds = True
        else:
            # A key file that was exchanged since carries another key; one that is gone says nothing.
            holds = done.get("state") == "imported" and sha256 in (None, done.get("sha256"))
        found = self.observed() if holds else self.absent()
        logged = command_line.is_logged(logging, self.host)
        return found.with_facts(sha256=sha256, mismatch=dict(mismatch) or None, logged=logged)

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Import the key from its file."""
        sha256 = observed.facts["sha256"]
        if sha256 is None:
            raise NotYet(f"{self.key_file} is not there on {self.host}")
        logged = bool(observed.facts["logged"])
        says = f"import the {self.title()}" + (f": {command_line.EXPLANATION}" if logged else "")
        arguments = key_arguments("import", self.source_dns, self.key_file, self.key_password)
        command = key_command(self.host, self.program, arguments)
        attempt = {"state": "attempted", "sha256": sha256, "answers": observed.facts["mismatch"]}
        return (Step(command, says, (Note(self._fact, attempt),), command_line.RISK if logged else ""),)

    def learns(self, step: Step, rows: Rows) -> Mapping[str, Mapping[str, Any]]:
        """Keep that the import went through: its exit code is the only answer there is."""
        return {note.key: {**note.value, "state": "imported"} for note in step.notes}

    @property
    def _fact(self) -> str:
        return f"pes.key_import/{self.host}/{self.domain}"

    @property
    def _mismatch(self) -> str:
        return f"pes.mismatch/{self.host}/{self.domain}"
