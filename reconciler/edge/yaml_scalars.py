"""What an unquoted YAML scalar means, by the core schema of YAML 1.2 (section 10.3.2) and no other."""

from __future__ import annotations

import re
from typing import Any

_NULL = re.compile(r"|~|null|Null|NULL")
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9A-Fa-f]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_NOT_TEXT_STARTS = frozenset("~nNtTfF.-+0123456789")


def resolve(text: str) -> Any:
    """Return text, a number, a boolean or None. `NO`, `on`, dates and `12:30` are text; `0755` is 755."""
    if text and text[0] not in _NOT_TEXT_STARTS:
        return text
    if _NULL.fullmatch(text):
        return None
    if _BOOL.fullmatch(text):
        return text[0] in "tT"
    if INTEGER.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        return float(
            text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf").lower().replace(".nan", "nan")
        )
    return text
