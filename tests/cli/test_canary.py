"""Tests of what the verb `canary` refuses before it opens a connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.cli.main import main
from reconciler.core.exit_codes import ExitCode
from tests.declared import lab


@pytest.mark.parametrize(
    ("phase", "change", "says"),
    [
        ("migrate", {"canary": "off"}, "this state file has no canary"),
        ("migrate", {"accounts": []}, "this state file has no canary"),
        ("prepare", {}, "not in place while the phase is prepare"),
        ("complete", {}, "not in place while the phase is complete"),
    ],
)
def test_what_is_missing_is_said_and_nothing_is_touched(
    phase: str, change: dict[str, Any], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "state.yaml"
    path.write_text(yaml.safe_dump(lab(phase, **change)), encoding="utf-8")
    assert main(["canary", str(path)]) == ExitCode.WAITING
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]
