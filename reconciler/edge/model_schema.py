"""Says by the JSON Schema of a model which keys are known at the location of an error, and what they mean."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.errors import PydanticInvalidForJsonSchema

_Schema = Mapping[str, Any]


@cache
def schema_of(model: type[BaseModel]) -> ModelSchema:
    """Return the schema of a model, made only when an error needs it, and once: a watch reads a faulty file again and again."""
    return ModelSchema(model)


class ModelSchema:
    """The schema of a model; never changed once it is made."""

    def __init__(self, model: type[BaseModel]) -> None:
        """Make the schema; a model that has none knows nothing."""
        try:
            self._root: _Schema = model.model_json_schema()
        except PydanticInvalidForJsonSchema:
            self._root = {}

    def keys(self, loc: Sequence[str | int]) -> tuple[str, ...]:
        """Return the keys that a mapping at this location may have."""
        return tuple(dict.fromkeys(name for schema in self._at(loc) for name in schema.get("properties", ())))

    def description(self, loc: Sequence[str | int]) -> str:
        """Return what the field at this location means; empty where nothing says so."""
        parent = self._at(loc[:-1])
        fields = (schema.get("properties", {}).get(loc[-1], {}) for schema in parent)
        return next((str(field["description"]) for field in fields if "description" in field), "")

    def examples(self, loc: Sequence[str | int]) -> tuple[str, ...]:
        """Return examples of a value at this location."""
        return tuple(str(example) for schema in self._at(loc) for example in schema.get("examples", ()))

    def _at(self, loc: Sequence[str | int]) -> list[_Schema]:
        here = list(self._variants(self._root))
        raw: list[_Schema] = [self._root]
        for part in loc:
            chosen = [self._variant(schema, part) for schema in raw]
            raw = (
                [schema for schema in chosen if schema is not None]
                or [below for schema in here for below in _below(schema, part)]
                or raw
            )
            here = [variant for schema in raw for variant in self._variants(schema)]
        return here

    def _variant(self, schema: _Schema, tag: str | int) -> _Schema | None:
        """Return the variant that a discriminator's value chooses."""
        mapping = self._follow(schema).get("discriminator", {}).get("mapping", {})
        return {"$ref": mapping[tag]} if tag in mapping else None

    def _follow(self, schema: _Schema) -> _Schema:
        while "$ref" in schema:
            found: Any = self._root
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part.replace("~1", "/").replace("~0", "~")]
            schema = found
        return schema

    def _variants(self, schema: _Schema, depth: int = 0) -> Iterator[_Schema]:
        schema = self._follow(schema)
        yield schema
        if depth < 4:
            for name in ("anyOf", "oneOf", "allOf"):
                for variant in schema.get(name, ()):
                    yield from self._variants(variant, depth + 1)


def _below(schema: _Schema, part: str | int) -> Iterator[_Schema]:
    if isinstance(part, int):
        prefix = schema.get("prefixItems", ())
        item = prefix[part] if part < len(prefix) else schema.get("items")
        if isinstance(item, Mapping):
            yield item
    elif part in schema.get("properties", {}):
        yield schema["properties"][part]
    else:
        yield from (below for pattern, below in schema.get("patternProperties", {}).items() if re.search(pattern, part))
        if isinstance(schema.get("additionalProperties"), Mapping):
            yield schema["additionalProperties"]
