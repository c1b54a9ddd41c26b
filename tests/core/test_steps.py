"""Steps as data: a value is never overwritten without naming the one that is expected there."""

from __future__ import annotations

import pytest

from reconciler.core.steps import REPLACED_WHOLE, AttributeChange


def test_value_is_replaced_only_where_the_old_one_is_named() -> None:
    with pytest.raises(ValueError, match="delete that and add the new one"):
        AttributeChange("description", "replace", ("new",))
    assert str(AttributeChange("description", "delete", ("old",))) == "delete description: old"


@pytest.mark.parametrize("attribute", [*REPLACED_WHOLE, "nTSecurityDescriptor"])
def test_what_is_written_whole_may_be_replaced(attribute: str) -> None:
    assert AttributeChange(attribute, "replace", (b"new",)).operation == "replace"
