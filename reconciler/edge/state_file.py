"""Loads a state file: bytes that are read once, a validated value, and the place of everything in it."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from msgspec import Struct
from pydantic import BaseModel, ValidationError

from reconciler.core.errors import DesiredStateError, Problem
from reconciler.edge.regular_file import read_regular
from reconciler.edge.state_errors import explain
from reconciler.edge.yaml_document import Document, Fault, Mark, compose

M = TypeVar("M", bound=BaseModel)

MAX_BYTES = 8 * 1024 * 1024
MAX_PROBLEMS = 100
ITEMS = "resources"


class Positions(Struct, frozen=True):
    """Where each value of a state file stands."""

    path: Path
    document: Document
    kept: tuple[int, ...] | None = None  # of `resources`, where some of them were left out

    def __getitem__(self, origin: Sequence[str | int]) -> str:
        """Return ``file:line:column`` of the value at ``origin``, or of the nearest one above it."""
        place = tuple(origin)
        if self.kept is not None and len(place) > 1 and place[0] == ITEMS and isinstance(place[1], int):
            place = (ITEMS, self.kept[place[1]], *place[2:])
        return _where(self.path, self.document.mark(place))

    def key(self, origin: Sequence[str | int]) -> str:
        """Return ``file:line:column`` of the key at the end of ``origin``."""
        return _where(self.path, self.document.key_mark(origin))


class StateFile(Struct, Generic[M], frozen=True):
    """A loaded state file.

    Attributes:
        value: The validated document. Paths in it are as written.
        positions: Where each value stands.
        sha256: Digest (hex) of the very bytes that were read.
        base: Absolute directory of the file; relative paths start here.
    """

    value: M
    positions: Positions
    sha256: str
    base: Path


def read(path: Path, model: type[M]) -> StateFile[M]:
    """Read and validate a state file.

    Raises:
        DesiredStateError: It cannot be read or is wrong; all that is wrong at once.
    """
    file, problems = read_what_holds(path, model)
    if file is None or problems:
        raise DesiredStateError(problems)
    return file


def read_what_holds(path: Path, model: type[M]) -> tuple[StateFile[M] | None, tuple[Problem, ...]]:
    """Read a state file as far as it holds, so that what is wrong further on can be told at the same time.

    Returns:
        The file without its faulty parts, None where nothing is left of it, and all that is wrong with them.

    Raises:
        DesiredStateError: It cannot be read at all.
    """
    content = _bytes(path)
    document = compose(_text(path, content))
    value: M | None = None
    faults = document.faults
    if document.readable:
        value, found = _validate(document, model)
        # A fault of the document already explains what the model misses at that place and below it.
        explained = {fault.path for fault in document.faults}
        faults = faults + [
            fault for fault in found if not any(fault.path[:depth] in explained for depth in range(len(fault.path) + 1))
        ]
    kept: tuple[int, ...] | None = None
    if value is None and document.readable:
        value, kept = _without(document, faults, model)
    problems = tuple(_problems(path, faults))
    if value is None:
        return None, problems
    positions = Positions(path, document, kept)
    return StateFile(value, positions, hashlib.sha256(content).hexdigest(), path.absolute().parent), problems


def _without(document: Document, faults: Sequence[Fault], model: type[M]) -> tuple[M | None, tuple[int, ...] | None]:
    """Leave out faulty resources and faulty keys, and validate the rest; None where that is not enough."""
    rest = copy.deepcopy(document.value)
    if not isinstance(rest, dict):
        return None, None
    items = rest.get(ITEMS)
    lost = {fault.path[1] for fault in faults if len(fault.path) > 1 and fault.path[0] == ITEMS}
    kept = tuple(index for index in range(len(items) if isinstance(items, list) else 0) if index not in lost)
    if isinstance(items, list):
        rest[ITEMS] = [items[index] for index in kept]
    for fault in faults:
        if fault.path and fault.path[0] != ITEMS:
            _take_out(rest, fault.path)
    try:
        return model.model_validate(rest), kept
    except ValidationError:
        return None, None


def _take_out(node: object, path: Sequence[str | int]) -> None:
    for part in path[:-1]:
        if isinstance(node, dict | list):
            try:
                node = node[part]  # type: ignore[index]
            except (KeyError, IndexError, TypeError):
                return
    if isinstance(node, dict):
        node.pop(path[-1], None)


def _validate(document: Document, model: type[M]) -> tuple[M | None, list[Fault]]:
    try:
        return model.model_validate(document.value), []
    except ValidationError as error:
        return None, explain(error, model, document)


def _bytes(path: Path) -> bytes:
    def check(status: os.stat_result) -> None:
        if status.st_size > MAX_BYTES:
            raise _too_large(path, status.st_size)

    reason = ""
    try:
        content = read_regular(path, MAX_BYTES, check)
    except OSError as error:
        reason = error.strerror or type(error).__name__
    if reason:
        raise _unreadable(path, f"the state file cannot be read: {reason}", "check the path and its permissions")
    if len(content) > MAX_BYTES:
        raise _too_large(path, len(content))
    return content


def _text(path: Path, content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _wrong(
            path,
            Mark(1, 1),
            "the file is UTF-16, not UTF-8",
            "save it as UTF-8 (PowerShell: `Set-Content -Encoding utf8`)",
        )
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        start = error.start
    line_start = content.rfind(b"\n", 0, start) + 1
    mark = Mark(content.count(b"\n", 0, start) + 1, len(content[line_start:start].decode()) + 1)
    raise _wrong(path, mark, f"the file is not UTF-8 (byte 0x{content[start]:02x})", "save it as UTF-8")


def _unreadable(path: Path, what: str, do: str) -> DesiredStateError:
    return DesiredStateError((Problem(what, str(path), do),))


def _too_large(path: Path, size: int) -> DesiredStateError:
    what = f"the state file is too large: {size / 2**20:.1f} MiB, and {MAX_BYTES // 2**20} MiB is the limit"
    return _unreadable(path, what, "split it into several state files")


def _wrong(path: Path, mark: Mark, what: str, do: str) -> DesiredStateError:
    return DesiredStateError(tuple(_problems(path, [Fault(what, mark, (), do)])))


def _problems(path: Path, faults: Iterable[Fault]) -> Iterable[Problem]:
    ordered = sorted(faults, key=lambda fault: fault.mark)
    for fault in ordered[:MAX_PROBLEMS]:
        yield Problem(fault.what, _where(path, fault.mark), fault.do)
    if len(ordered) > MAX_PROBLEMS:
        yield Problem(f"and {len(ordered) - MAX_PROBLEMS} more", str(path), "mend the first ones and look again")


def _where(path: Path, mark: Mark) -> str:
    return f"{path}:{mark.line}:{mark.column}"
