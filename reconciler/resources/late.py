"""Parts of a model that are built when there is something to validate: a file pays for the kinds that it names."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema


class Late:
    """Annotation of a field whose type is built when the first value for it comes.

    Complaints and JSON Schema are those of the type itself.

    Args:
        whole: Builds the type.
        quick: Validates what it can without that, and returns None for anything else.
    """

    def __init__(
        self, whole: Callable[[], TypeAdapter[Any]], quick: Callable[[object], object | None] = lambda _: None
    ) -> None:
        self._build = whole
        self._quick = quick

    @cached_property
    def whole(self) -> TypeAdapter[Any]:
        """The type."""
        return self._build()

    def validate(self, value: object) -> object:
        """Return the value as one of the type.

        Raises:
            ValidationError: It is none.
        """
        found = self._quick(value)
        return self.whole.validate_python(value) if found is None else found

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(self.whole.core_schema)
