"""Reads YAML text by the rules of YAML 1.2 and remembers where everything stands. Nothing here opens a file.

The document is built from the parser's events with a stack of its own: no nesting can exhaust Python's stack, and every
limit is checked before memory is spent. Text from the file is never quoted in a message unless it is a key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

import yaml
from msgspec import Struct, field

from reconciler.edge.yaml_scalars import INTEGER, resolve

MAX_DEPTH = 64
MAX_VALUES = 250_000
MAX_ALIASES = 64
MAX_ANCHORED_VALUES = 1_000
MAX_NUMBER_DIGITS = 100

Path = tuple[str | int, ...]
_At = yaml.Mark | yaml._yaml.Mark | None


class Mark(NamedTuple):
    """A place in the text, both numbers from 1."""

    line: int
    column: int


class Fault(Struct, frozen=True):
    """Something wrong at one place; ``path`` is where it belongs in the document."""

    what: str
    mark: Mark
    path: Path = ()
    do: str = ""


class Document(Struct):
    """Plain values, the marks of values and of keys by path, and what is wrong.

    Attributes:
        values: The parser's own marks, which count from 0: thousands are kept, and few are ever asked for.
        readable: False where reading stopped early, so that ``value`` means nothing.
    """

    value: Any = None
    values: dict[Path, _At] = field(default_factory=dict)
    keys: dict[Path, _At] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    readable: bool = True

    def mark(self, path: Sequence[str | int]) -> Mark:
        """Return where the value at ``path`` starts, or the nearest one above it."""
        key = tuple(path)
        while key and key not in self.values:
            key = key[:-1]
        return _mark(self.values.get(key))

    def key_mark(self, path: Sequence[str | int]) -> Mark:
        """Return where the key at the end of ``path`` stands, or the nearest value above it."""
        found = self.keys.get(tuple(path))
        return _mark(found) if found else self.mark(path)


def names_secret(path: Sequence[str | int]) -> bool:
    """Return whether what stands at ``path`` may be a secret that somebody wrote out."""
    return any(
        isinstance(part, str) and (part == "secrets" or part.lower().endswith(("password", "passphrase", "secret")))
        for part in path
    )


def compose(text: str) -> Document:
    """Read one YAML 1.2 document; what is wrong with it stands in ``faults``."""
    composer = _Composer()
    bad = _UNPRINTABLE.search(text)
    if bad:
        return _unprintable(text, bad)
    try:
        composer.read(yaml.CSafeLoader(text))
    except _UnreadableError:
        composer.document.readable = False
    except yaml.YAMLError as error:
        composer.document.readable = False
        composer.document.faults.append(_syntax(error))
    document = composer.document
    if document.readable and not isinstance(document.value, dict):
        document.readable = False
        empty = "the file is empty" if document.value is None else "the file holds no mapping (`key: value`) at the top"
        document.faults.append(
            Fault(empty, document.mark(()), do="start with `apiVersion:` and `kind:`; see the examples in states/")
        )
    return document


def position_in(text: str, index: int) -> Mark:
    """Return the place of a character."""
    return Mark(text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DROPPED = "\0"  # stands for a refused key: its value is read and forgotten; no key of a document can be this


class _UnreadableError(Exception):
    """Reading on makes no sense."""


class _Open(Struct):
    """A mapping or sequence that has begun; ``key`` is the mapping's key whose value comes next."""

    value: dict[str, Any] | list[Any]
    path: Path
    anchor: str | None = None
    key: str | None = None
    nodes: int = 1
    height: int = 1
    holds_alias: bool = False


class _Anchored(NamedTuple):
    value: Any
    nodes: int = 1
    height: int = 0
    holds_alias: bool = False


class _Composer:
    def __init__(self) -> None:
        self.document = Document()
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Anchored | None] = {}
        self._documents = self._nodes = self._aliases = 0

    def read(self, parser: yaml.CSafeLoader) -> None:
        """Take every event; a large file has tens of thousands."""
        takes: dict[type[yaml.Event], Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._begin,
            yaml.SequenceStartEvent: self._begin,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document_start,
        }
        while (event := parser.get_event()) is not None:
            if (take := takes.get(type(event))) is not None:
                take(event)

    def _document_start(self, event: yaml.DocumentStartEvent) -> None:
        self._documents += 1
        if self._documents > 1:
            self._stop(
                "the file holds several YAML documents", event, do="keep one document, without `---` between parts"
            )
        if event.version and tuple(event.version) != (1, 2):
            self._fault("this file asks for other rules than YAML 1.2", event.start_mark, (), "remove the `%YAML` line")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._refuse_tag(event)
        if event.style == '"' and _UNPRINTABLE.search(event.value):
            self._stop("a text holds a control character", event, do="remove the escape (such as \\0) from this text")
        here = self._stack[-1] if self._stack else None
        if here is not None and isinstance(here.value, dict) and here.key is None:
            here.key = self._key(event, here)
            return
        path = self._next_path()
        self.document.values[path] = event.start_mark
        value = self._resolve(event, path)
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(value)
        self._place(value, 1, 0)

    def _key(self, event: yaml.ScalarEvent, here: _Open) -> str:
        text, mark = event.value, event.start_mark
        path = (*here.path, text)
        if event.implicit[0] and text == "<<":
            self._fault("merge keys (`<<`) are not part of YAML 1.2", mark, here.path, "write the keys out")
            return _DROPPED
        if event.implicit[0] and not isinstance(resolve(text), str):
            shown = f"`{text[:40]}`" if text and not names_secret(path) else "this"
            self._fault(f"a key must be text, and {shown} is not", mark, path, "put it in quotes")
            return _DROPPED
        if path in self.document.keys:
            first = _mark(self.document.keys[path])
            name = "this key" if names_secret(here.path) else f"the key `{text[:80]}`"
            self._fault(
                f"{name} stands here twice, first in line {first.line}, column {first.column}",
                mark,
                path,
                "keep one of them",
            )
            return _DROPPED
        self.document.keys[path] = mark
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(text)
        return text

    def _resolve(self, event: yaml.ScalarEvent, path: Path) -> Any:
        text = event.value
        if not event.implicit[0]:
            return text
        if len(text) > MAX_NUMBER_DIGITS and INTEGER.fullmatch(text):
            self._fault(
                f"a number of more than {MAX_NUMBER_DIGITS} digits",
                event.start_mark,
                path,
                "put it in quotes if it is text",
            )
            return 0
        return resolve(text)

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        self._refuse_tag(event)
        here = self._stack[-1] if self._stack else None
        if here is not None and isinstance(here.value, dict) and here.key is None:
            do = "put text that begins with `[`, `{` or `?` in quotes"
            self._stop("a key must be text, and here it is a list or a mapping", event, do=do)
        if len(self._stack) >= MAX_DEPTH:
            self._stop(
                f"nested deeper than {MAX_DEPTH} levels", event, do="no state file needs that; look for a stray bracket"
            )
        path = self._next_path()
        self.document.values[path] = event.start_mark
        if event.anchor:
            self._anchors[event.anchor] = None
        self._stack.append(_Open([] if isinstance(event, yaml.SequenceStartEvent) else {}, path, event.anchor))

    def _end(self, event: yaml.CollectionEndEvent) -> None:
        done = self._stack.pop()
        if done.anchor:
            self._anchors[done.anchor] = _Anchored(done.value, done.nodes, done.height, done.holds_alias)
        if self._stack:
            self._stack[-1].holds_alias |= done.holds_alias
        self._place(done.value, done.nodes, done.height)

    def _alias(self, event: yaml.AliasEvent) -> None:
        # The name is not shown: an unquoted password may begin with `*`.
        here = self._stack[-1] if self._stack else None
        quote = "put it in quotes if it is text"
        if here is None or event.anchor not in self._anchors or (isinstance(here.value, dict) and here.key is None):
            self._stop("an alias (`*`) that names no anchor above it, or stands for a key", event, do=quote)
        anchored = self._anchors[event.anchor]
        if anchored is None:
            self._stop("an alias (`*`) inside its own anchor", event, do="write the values out")
        self._aliases += 1
        excess = (
            (self._aliases > MAX_ALIASES, f"more than {MAX_ALIASES} aliases (`*`)"),
            (anchored.holds_alias, "an alias (`*`) of something that holds aliases itself"),
            (anchored.nodes > MAX_ANCHORED_VALUES, f"an alias (`*`) of more than {MAX_ANCHORED_VALUES} values"),
            (len(self._stack) + anchored.height > MAX_DEPTH, f"nested deeper than {MAX_DEPTH} levels by an alias"),
        )
        for true, what in excess:
            if true:
                self._stop(what, event, do="write the values out where they are needed")
        here.holds_alias = True
        self.document.values[self._next_path()] = event.start_mark
        self._place(anchored.value, 1, anchored.height)

    def _next_path(self) -> Path:
        if not self._stack:
            return ()
        here = self._stack[-1]
        return (*here.path, len(here.value) if isinstance(here.value, list) else here.key or "")

    def _place(self, value: Any, nodes: int, height: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_VALUES:
            mark = self.document.values.get(self._next_path())
            self._fault(
                f"the file holds more than {MAX_VALUES:,} values", mark, (), "split it into several state files"
            )
            raise _UnreadableError
        if not self._stack:
            self.document.value = value
            return
        here = self._stack[-1]
        here.nodes += nodes
        here.height = max(here.height, height + 1)
        if isinstance(here.value, list):
            here.value.append(value)
        else:
            if here.key != _DROPPED:
                here.value[here.key or ""] = value
            here.key = None

    def _refuse_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.tag is not None:
            # The tag is not shown: an unquoted password may begin with `!`.
            do = "remove the tag; put text that begins with `!` in quotes"
            self._fault("tags (`!`) are refused", event.start_mark, self._next_path(), do)

    def _fault(self, what: str, at: _At, path: Path, do: str) -> None:
        self.document.faults.append(Fault(what, _mark(at), path, do))

    def _stop(self, what: str, event: yaml.Event, *, do: str) -> NoReturn:
        self._fault(what, event.start_mark, (), do)
        raise _UnreadableError


def _mark(at: _At) -> Mark:
    return Mark(1, 1) if at is None else Mark(at.line + 1, at.column + 1)


def _unprintable(text: str, found: re.Match[str]) -> Document:
    mark = position_in(text, found.start())
    what = f"the file holds a character that no text file has (U+{ord(found[0]):04X})"
    return Document(faults=[Fault(what, mark, (), "remove it; save the file as plain UTF-8 text")], readable=False)


def _syntax(error: yaml.YAMLError) -> Fault:
    mark, problem = Mark(1, 1), "it cannot be read"
    if isinstance(error, yaml.MarkedYAMLError):
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        mark = _mark(error.problem_mark or error.context_mark)
    do = "indent with spaces, not tabs; put text in quotes that holds `: ` or ` #`, or begins with one of @%`&*!|>[{,"
    return Fault(f"this is not YAML: {problem}", mark, (), do)
