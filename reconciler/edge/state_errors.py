"""Turns pydantic's complaints about a document into sentences with a place and a remedy, and shows no secret."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from pydantic import BaseModel, ValidationError

from reconciler.edge.model_schema import ModelSchema, schema_of
from reconciler.edge.yaml_document import Document, Fault, Path, names_secret

_EXPECTED = {
    "string_type": "text", "bytes_type": "text", "path_type": "a path", "none_required": "empty",
    "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
    "float_type": "a number", "float_parsing": "a number", "bool_type": "true or false",
    "bool_parsing": "true or false", "list_type": "a list", "tuple_type": "a list", "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping (`key: value`)", "model_type": "a mapping (`key: value`)",
    "model_attributes_type": "a mapping (`key: value`)", "dataclass_type": "a mapping (`key: value`)",
}  # fmt: skip
_FORMS = {
    r"^[a-z][a-z0-9-]{0,62}$": "begin with a lower-case letter; then lower-case letters, digits and dashes",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "use letters, digits and underscores",
    r"^[^/]+/.+$": "write service/username",
}
_REFERENCE = "write {file: path}, {env: NAME} or {keyring: service/user}"


class _Complaint(Struct, frozen=True):
    """One of pydantic's errors, placed in the document.

    Attributes:
        path: Where in the document; a missing field included.
        union: Where a union begins that has no discriminator, and the variant this speaks about.
    """

    type: str
    loc: tuple[str | int, ...]
    path: Path
    value: Any
    context: Mapping[str, Any]
    message: str
    union: tuple[Path, str | int] | None
    of_key: bool

    @property
    def secret(self) -> bool:
        return names_secret(self.path) or self.context.get("class_name") == "SecretRef"


def explain(error: ValidationError, model: type[BaseModel], document: Document) -> list[Fault]:
    """Say what is wrong, each at the place of the very value or key."""
    complaints = [_place(item, document.value) for item in error.errors(include_url=False)]
    schema = schema_of(model)
    return [_fault(complaint, schema, document) for complaint in _choose_variants(complaints)]


def _place(item: Mapping[str, Any], root: Any) -> _Complaint:
    loc: tuple[str | int, ...] = item["loc"]
    path: list[str | int] = []
    here, union, of_key = root, None, False
    for index, part in enumerate(loc):
        if (isinstance(here, dict) and part in here) or (
            isinstance(here, list) and isinstance(part, int) and part < len(here)
        ):
            here = here[part]  # type: ignore[index]
            path.append(part)
        elif part == "[key]":
            of_key = True
        elif index == len(loc) - 1 and item["type"] == "missing":
            path.append(part)
        elif union is None and not (isinstance(here, dict) and part in here.values()):  # the value of a discriminator
            union = (tuple(path), part)
    return _Complaint(item["type"], loc, tuple(path), item["input"], item.get("ctx", {}), item["msg"], union, of_key)


def _choose_variants(complaints: Sequence[_Complaint]) -> Iterable[_Complaint]:
    """Keep, of every union, the variant that the author most likely meant: the right `kind`, then the fewest errors."""
    unions: dict[Path, dict[str | int, list[_Complaint]]] = {}
    for complaint in complaints:
        if complaint.union:
            place, variant = complaint.union
            unions.setdefault(place, {}).setdefault(variant, []).append(complaint)
    for complaint in complaints:
        if not complaint.union:
            yield complaint
            continue
        place = complaint.union[0]
        variants = unions.pop(place, None)
        if variants is None:
            continue
        if all(one.path == place and one.type in _EXPECTED for found in variants.values() for one in found):
            yield _either([one for found in variants.values() for one in found])
        else:
            yield from min(variants.values(), key=lambda found: (_wrong_kind(found, place), len(found)))


def _wrong_kind(found: list[_Complaint], place: Path) -> bool:
    return any(one.path == place or one.path == (*place, "kind") for one in found)


def _either(found: list[_Complaint]) -> _Complaint:
    expected = list(dict.fromkeys(_EXPECTED[one.type] for one in found))
    first = found[0]
    secret = any(one.secret for one in found)
    context = {"either": " or ".join(expected), **({"class_name": "SecretRef"} if secret else {})}
    return _Complaint("either", first.loc, first.path, first.value, context, "", None, False)


def _fault(complaint: _Complaint, schema: ModelSchema, document: Document) -> Fault:
    path = complaint.path
    if complaint.type == "extra_forbidden":
        return _unknown_key(complaint, schema, document)
    if complaint.type == "missing":
        about = schema.description(complaint.loc)
        return Fault(
            f"`{path[-1]}` is missing", document.mark(path[:-1]), path, f"add it: {about}" if about else "add it"
        )
    if complaint.type == "union_tag_invalid":
        path = (*path, _bare(complaint.context["discriminator"]))
    mark = document.key_mark(path) if complaint.of_key else document.mark(path)
    if _is_literal_secret(complaint):
        return Fault("a secret must be a reference, not the value itself", mark, path, _REFERENCE)
    what, do = _sentence(complaint, schema)
    return Fault(what, mark, path, do)


def _is_literal_secret(complaint: _Complaint) -> bool:
    if isinstance(complaint.value, dict | list):
        return False
    path = complaint.path
    named = bool(path) and (path[-1] in ("password", "key_password") or (len(path) > 1 and path[-2] == "secrets"))
    return complaint.context.get("class_name") == "SecretRef" or named


def _unknown_key(complaint: _Complaint, schema: ModelSchema, document: Document) -> Fault:
    path = complaint.path
    key = str(path[-1])
    mark = document.key_mark(path)
    known = schema.keys(complaint.loc[:-1])
    choice = f"use one of: {', '.join(known)}" if known else "remove it"
    if names_secret(path[:-1]):
        return Fault("unknown key below a secret", mark, path, choice)
    beside = _value_at(document.value, path[:-1])
    free = [name for name in known if name not in beside]
    near = _nearest(key, free)
    hint = f"; did you mean `{near[0]}`?" if near else ""
    return Fault(
        f"unknown key `{key[:80]}`{hint}", mark, path, f"write `{near[0]}`" if near else f"remove it, or {choice}"
    )


def _sentence(complaint: _Complaint, schema: ModelSchema) -> tuple[str, str]:
    name, value, context = _name(complaint.path), complaint.value, complaint.context
    examples = schema.examples(complaint.loc)
    example = "" if complaint.secret or not examples else f"for example: {examples[0]}"
    if complaint.type in ("union_tag_invalid", "literal_error", "enum"):
        return _choice(complaint, name)
    if complaint.type == "union_tag_not_found":
        return f"`{_bare(context['discriminator'])}` is missing", "add it; it says what this is"
    expected = context.get("either") or _EXPECTED.get(complaint.type)
    if expected:
        quote = "text" in expected and isinstance(value, bool | int | float)
        shown = _describe(value, complaint.secret)
        return f"{name} must be {expected}, not {shown}", "put it in quotes" if quote else example
    if complaint.type in ("value_error", "assertion_error"):
        if complaint.secret and not isinstance(value, dict):
            return f"{name} is not valid", ""
        raised = str(context.get("error", complaint.message))
        return f"{name}: {raised}" if complaint.path else raised, example
    if complaint.type == "string_pattern_mismatch":
        shown = "" if complaint.secret else f": {_describe(value, False)}"
        pattern = str(context.get("pattern", ""))
        form = _FORMS.get(pattern, f"it must match {pattern}")
        return f"{name} is not of the form that is needed{shown}", example or form
    message = complaint.message.removeprefix("Input ").removeprefix("String ").removeprefix("Value ")
    message = message.replace("should ", "must ", 1)
    return f"{name} {message}" if message.startswith("must ") else f"{name}: {complaint.message}", example


def _choice(complaint: _Complaint, name: str) -> tuple[str, str]:
    context = complaint.context
    tagged = complaint.type == "union_tag_invalid"
    expected = context["expected_tags"] if tagged else context["expected"]
    value = context["tag"] if tagged else complaint.value
    name = f"`{_bare(context['discriminator'])}`" if tagged else name
    choices = [part.strip().strip("'") for part in str(expected).replace(" or ", ", ").split(",")]
    if complaint.secret:
        return f"{name} must be one of: {', '.join(choices)}", ""
    near = _nearest(value, choices) if isinstance(value, str) else []
    hint = f"; did you mean `{near[0]}`?" if near else ""
    do = f"use one of: {', '.join(choices)}" if len(choices) > 1 else f"write {choices[0]}"
    return f"{name} cannot be {_describe(value, False)}{hint}", do


def _nearest(word: str, choices: Iterable[str]) -> list[str]:
    import difflib  # only who made a mistake pays it

    folded = {choice.lower(): choice for choice in choices}
    return [folded[found] for found in difflib.get_close_matches(word.lower(), folded, n=1)]


def _bare(discriminator: Any) -> str:
    return str(discriminator).strip("'")


def _name(path: Path) -> str:
    if not path:
        return "the file"
    last = path[-1]
    if isinstance(last, str):
        return f"`{last[:80]}`"
    return f"item {last + 1} of {_name(path[:-1])}"


def _describe(value: Any, secret: bool) -> str:
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if secret:
        return "what stands here"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text '{value[:60]}'" if value else "an empty text"
    return f"the number {value}"


def _value_at(value: Any, path: Path) -> Any:
    for part in path:
        value = value[part]
    return value
