"""Arguments and options that several verbs share, as the command line describes them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from reconciler.cli.forms import Form

StatePath = Annotated[Path, Parameter(help="The state file.")]
Output = Annotated[Literal["text", "json"], Parameter(name="--output", help="text for people, json for programs.")]
MetricsFile = Annotated[
    Path | None, Parameter(help="Write metrics here after the run, for node_exporter's textfile collector (`*.prom`).")
]
Log = Annotated[Literal["text", "json"], Parameter(help="How standard error is written: for people, or JSON lines.")]
AsForm = Annotated[
    Form,
    Parameter(
        name="--output",
        help="text for people; json, or jsonl while it happens, for programs; markdown for a pull request; sarif and junit for a CI; html for a browser; csv for the verdicts on accounts.",
    ),
]
Reports = Annotated[
    tuple[Path, ...],
    Parameter(
        name="--report",
        negative=(),
        help="Write the report to this file too: .json, .jsonl, .md, .sarif, .xml (JUnit), .html or .csv (accounts). May be repeated.",
    ),
]
