"""The encryption key that ADMT and the Password Export Server share: created once, and never again by repetition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from reconciler.core.errors import NeedsPerson, UnexpectedAnswer
from reconciler.core.query import Command, Query, Recall, Rows
from reconciler.core.resource import Resource
from reconciler.core.secret import SecretRef
from reconciler.core.steps import Note, Step
from reconciler.core.targets import DnsName, Name
from reconciler.resources import command_line
from reconciler.resources.admt_key import key_arguments, key_command
from reconciler.resources.facts import fact
from reconciler.resources.file_hash import file_hash, hash_query
from reconciler.resources.windows_values import KeyFile

RECREATE = "recreate-pes-key"


class PesKey(Resource):
    """The key of one source domain, made on one host, and the file that carries it.

    Nothing reads a key back: the journal knows who made it, and the file's hash tells it from another. Going back
    deletes the file; the key in ADMT's own database has no undo.
    """

    identity: ClassVar[tuple[str, ...]] = ("host", "domain")
    inputs: ClassVar[tuple[str, ...]] = ("source_dns", "key_file", "key_password", "program")
    typical_s: ClassVar[float] = 10.0

    kind: Literal["pes.key"] = "pes.key"
    host: Name = Field(description="Host on which ADMT makes the key.")
    domain: Name = Field(description="Source domain that the key is for.")
    source_dns: DnsName = Field(description="DNS name of the source domain.", examples=["source.lab"])
    key_file: KeyFile = Field(
        description="File with the key, on a local disk, in a directory that is there.", examples=[r"C:\PES\source.pes"]
    )
    key_password: SecretRef = Field(description="Reference to the password of the file.")
    program: str = Field("admt.exe", description="ADMT; with its path where it is not in PATH.", min_length=1)

    def title(self) -> str:
        """Name the domain and the host."""
        return f"password export key for {self.source_dns} on {self.host}"

    def queries(self) -> tuple[Query, ...]:
        """Ask what is known of the key, for the hash of its file, and whether its password would be logged."""
        return (
            Recall(self._fact),
            hash_query(self.host, self.key_file),
            command_line.logging_query(self.host),
        )

    def parse(self, *answers: Rows) -> Self:
        """Tell a key that is there from one that never was, and both from one whose file was lost or exchanged."""
        facts, hashes, logging = answers
        known = fact(facts, self._fact)
        state, remembered = str(known.get("state", "")), known.get("sha256")
        sha256 = file_hash(hashes, self.host)
        logged = command_line.is_logged(logging, self.host)
        about = {"state": state, "sha256": sha256, "logged": logged}
        if sha256 is None:
            return self.absent().with_facts(**about)
        if state == "created" and remembered not in (None, sha256):
            raise UnexpectedAnswer(
                f"{self.key_file} on {self.host} is not the key file that was made there",
                target=self.host,
                do="bring the former file back; if the key shall be another one, delete the file: "
                f"making a new key then needs the approval `{RECREATE}`",
            )
        return self.observed().with_facts(**about)

    def steps(self, observed: Self, differs: frozenset[str]) -> tuple[Step, ...]:
        """Make the key, or delete its file."""
        if self.ensure == "absent":
            return (self._deletion(observed),)
        lost, logged = observed.facts["state"] == "created", bool(observed.facts["logged"])
        if lost and logged and command_line.RISK not in self.approved:
            raise NeedsPerson(
                f"{self.title()}: {command_line.EXPLANATION}",
                where=self.host,
                do=f"if you accept that, approve it in the state file: `{command_line.RISK}`",
                approval=command_line.RISK,
            )
        says = f"make the {self.title()}"
        if logged:
            says += f": {command_line.EXPLANATION}"
        if lost:
            says = (
                f"make another {self.title()}: the file of the first one is gone; "
                "every Password Export Server has to be installed again with the new one, and every import repeated"
            )
        risk = RECREATE if lost else command_line.RISK if logged else ""
        arguments = key_arguments("create", self.source_dns, self.key_file, self.key_password)
        create = key_command(self.host, self.program, arguments)
        note = Note(self._fact, {"state": "attempted", "file": self.key_file})
        return (Step(create, says, (note,), risk),)

    def remembers(self, observed: Self) -> Mapping[str, Mapping[str, Any]]:
        """Keep the hash of the file, by which the key is known from now on."""
        if observed.ensure == "absent":
            return {}
        made = {"state": "created", "sha256": observed.facts["sha256"], "file": self.key_file, "created_on": self.host}
        return {self._fact: made}

    @property
    def _fact(self) -> str:
        return f"pes.key/{self.host}/{self.domain}"

    def _deletion(self, observed: Self) -> Step:
        remove = Command(self.host, "Remove-Item", (("LiteralPath", self.key_file), ("Force", True)))
        # Known to be meant: a file that is missing later is no loss, and a new key needs no approval.
        note = Note(self._fact, {"state": "removed", "sha256": observed.facts["sha256"], "file": self.key_file})
        return Step(remove, f"delete {self.key_file} on {self.host}; the key in ADMT's database stays", (note,))
