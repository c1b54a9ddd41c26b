"""The include file and the command line of one run of ``admt user``, ``group`` or ``computer``. Only options that ``admt user /?`` lists are used."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from reconciler.core.query import Command
from reconciler.core.steps import Note, Portion, RunTask, Step
from reconciler.core.targets import Name
from reconciler.core.values import Dn
from reconciler.resources.account_matching import Pair
from reconciler.resources.account_names import sanitised
from reconciler.resources.population import Of

FOLDER = r"C:\Windows\ADMT"
PROGRAM = FOLDER + r"\admt.exe"
LOG = FOLDER + r"\Logs\Migration.log"

_HEADER = ("SourceName", "TargetRDN", "TargetSAM", "TargetUPN")
_RUN_S = 4 * 3600.0
VERBS: dict[Of, str] = {"users": "user", "groups": "group", "computers": "computer"}

Mode = Literal["new", "resume", "merge", "merge-keeping-password"]
"""``resume``: it exists because a run of ours began to make it; what is there is not yet anybody's, and is made as a new one is."""


class Migration(Struct, frozen=True):
    """What every run of one population shares; names are DNS names.

    Attributes:
        password_server: Empty where passwords are generated, not copied.
        leave_out: Attributes that are not copied.
        expires_in: In how many days source accounts expire, where that is asked for; 0 for never.
    """

    host: str
    credential: str
    source_dns: str
    target_dns: str
    sid_history: bool
    groups: bool
    of: Of = "users"
    password_server: str = ""
    source_controller: str = ""
    target_controller: str = ""
    leave_out: tuple[str, ...] = ()
    expires_in: int = 0

    def run(self, batch: Batch, notes: tuple[Note, ...] = (), risk: str = "") -> tuple[Step, ...]:
        """Return the steps of one run: write the include file, run ADMT, remove what it needed and left.

        Args:
            notes: Facts committed before ADMT starts.
            risk: Approval that the run needs.
        """
        lines = include_lines(batch.pairs, existing=batch.mode != "new")
        # The same names for every run on a host to a container: what a crashed run left lying is overwritten and removed. Of
        # another host they are others, so that the journal, which knows files by their paths, can tell them apart.
        digest = hashlib.sha256(
            "\n".join([self.host, self.source_dns, self.target_dns, batch.into, self.of]).encode()
        ).hexdigest()[:12]
        include, generated = f"{FOLDER}\\reconcile-{digest}.csv", f"{FOLDER}\\reconcile-{digest}.txt"
        arguments = self._arguments(batch, include, generated)
        task = RunTask(self.host, f"reconcile-admt-{digest}", PROGRAM, arguments, self.credential, LOG, _RUN_S)
        leftovers = (include, generated) if self._copies(batch.mode) else (include,)
        return (
            Step(_write(self.host, include, lines), f"write the list of {len(batch.pairs)} {self.of} to {include}"),
            Step(task, self._says(batch), notes, risk, batch.portion),
            *(Step(remove(self.host, path), f"remove {path}") for path in leftovers),
        )

    def _copies(self, mode: Mode) -> bool:
        return bool(self.password_server) and mode != "merge-keeping-password"

    def _arguments(self, batch: Batch, include: str, generated: str) -> tuple[str, ...]:
        mode = batch.mode
        options = {
            "SD": self.source_dns,
            "SDC": self.source_controller,
            "TD": self.target_dns,
            "TDC": self.target_controller,
            "TO": canonical_tail(batch.into),
            "F": include,
            "CO": "IGNORE" if mode == "new" else "MERGE",
        }
        if self.of != "computers":
            options |= {"MSS": "YES" if self.sid_history else "NO", "UMO": "YES", "FGM": "YES"}
        # An account that people may use already gets what it lacks, and keeps its other attributes.
        makes = mode in ("new", "resume")
        left_out = ",".join(self.leave_out) if makes else "*"
        if self.of == "groups":
            options |= {"GX": left_out}
        if self.of == "users":
            copies = self._copies(mode)
            options |= {
                "PO": "COPY" if copies else "COMPLEX" if makes else "COMPLEX+NOTEXISTING",
                "PS": self.password_server if copies else "",
                # Where a copy fails, ADMT writes the generated password to a file and leaves it there. That one is removed.
                "PF": generated if copies else "",
                "UX": left_out,
                **self._fate(batch),
                "MGS": "YES" if self.groups else "NO",
            }
        return (VERBS[self.of], *(f"/{name}:{value}" for name, value in options.items() if value))

    def _fate(self, batch: Batch) -> dict[str, str]:
        """Say what becomes of both accounts. A merge leaves the target as it is, also where the source was disabled before."""
        left = "DISABLETARGET" if batch.disabled else "ENABLETARGET"
        target = "TARGETSAMEASSOURCE" if batch.mode in ("new", "resume") else left
        return {"DOT": target} | ({"SEP": str(self.expires_in)} if batch.expires else {})

    def _says(self, batch: Batch) -> str:
        names = ", ".join(pair.source.sam for pair in batch.pairs[:5]) + (", ..." if len(batch.pairs) > 5 else "")
        verb = "migrate" if batch.mode == "new" else "complete"
        copies = ["password"] if self.of == "users" and self._copies(batch.mode) else []
        more = [*(["SID history"] if self.sid_history and self.of != "computers" else []), *copies]
        what = {"users": "account", "groups": "group", "computers": "computer"}[self.of]
        count = f"{len(batch.pairs)} {what}{'s' if len(batch.pairs) != 1 else ''}"
        return f"{verb} {count}{' with ' + ' and '.join(more) if more else ''}: {names}"


class Batch(Struct, frozen=True):
    """The accounts of one run.

    Attributes:
        mode: Whether they exist in the target already, and whether they get a password.
        into: Container in the target.
        disabled: Those that exist are disabled in the target.
        expires: The source accounts get a day on which they expire.
        portion: What part of the whole work it is.
        host: The host whose ADMT has them; empty where there is no choice.
    """

    pairs: tuple[Pair, ...]
    mode: Mode
    into: Dn
    disabled: bool = False
    expires: bool = False
    portion: Portion | None = None
    host: Name = ""


def include_lines(pairs: Sequence[Pair], *, existing: bool) -> tuple[str, ...]:
    """Return the lines of an include file.

    The header is optional where there are only source names; it is always written, since an account may be called
    ``SourceName``. Existing targets are named in full: without TargetRDN a merge renames them, and it resets the UPN.

    Source: ADMT Guide, cc974420.
    """
    plain = not existing and all(_keeps_its_names(pair) for pair in pairs)
    rows: list[tuple[str, ...]] = [_HEADER[:1] if plain else _HEADER]
    for pair in pairs:
        target, names = pair.target, pair.names
        if plain:
            rows.append((pair.source.sam,))
        elif existing and target:
            rows.append((pair.source.sam, target.rdn, target.sam, target.upn))
        else:
            rows.append((pair.source.sam, names.rdn, names.sam, names.upn))
    lines = _Lines()
    csv.writer(lines, lineterminator="").writerows(rows)
    return tuple(lines)


def _keeps_its_names(pair: Pair) -> bool:
    """Whether ADMT gives an account the names that it shall have when it is told nothing."""
    source, names = pair.source, pair.names
    return not names.upn and names.sam == sanitised(source.sam) and names.keep_rdn_of(source)


def canonical_tail(container: Dn) -> str:
    """Return a container as /TO wants it: below the domain, top first, slashes between (``Europe/Staff``)."""
    names = [value for name, value in container.rdns() if name != "DC"]
    return "/".join(name.replace("\\", "\\\\").replace("/", "\\/") for name in reversed(names))


def remove(host: str, path: str) -> Command:
    """Return what removes a file of a run; one that is not there is as good as removed."""
    return Command(
        host, "Remove-Item", (("LiteralPath", path), ("Force", True)), absent=("PathNotFound", "ItemNotFound")
    )


def removed_by(step: Step) -> str | None:
    """Return the path of the file that a step removes; None for every other step."""
    effect = step.effect
    if not isinstance(effect, Command) or effect.name != "Remove-Item":
        return None
    return str(dict(effect.parameters)["LiteralPath"])


class _Lines(list[str]):
    """What a CSV writer writes, which is a line each time."""

    def write(self, line: str) -> None:
        """Take one."""
        self.append(line)


def _write(host: str, path: str, lines: tuple[str, ...]) -> Command:
    # How ADMT reads bytes beyond ASCII is documented nowhere. UTF-16 with its mark is the one form that no code page can
    # misread; plain names are written in plain ASCII, which every reading agrees on.
    encoding = "Ascii" if all(line.isascii() for line in lines) else "Unicode"
    return Command(
        host, "Set-Content", (("LiteralPath", path), ("Value", lines), ("Encoding", encoding), ("Force", True))
    )
