"""Bind the parameters of a command as PowerShell does: names, prefixes, aliases, positions, conversions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from reconciler.lab.windows.contract import Cmdlet, Parameter
from reconciler.lab.winrm.conversion import NET_TYPES, CannotConvert, NotInSet, convert
from reconciler.lab.winrm.errors import AUTOMATION, Failure, Terminated
from reconciler.lab.winrm.records import Record

Given = Sequence[tuple[str | None, Any]]
"""Parameters as the client sent them: name ('Path', '-Path', '-Path:' or None for a position) and value."""

COMMON = (
    Parameter("Verbose", "switch", aliases=("vb",)),
    Parameter("Debug", "switch", aliases=("db",)),
    Parameter("ErrorAction", aliases=("ea",), values=("SilentlyContinue", "Stop", "Continue", "Inquire", "Ignore")),
    Parameter("WarningAction", aliases=("wa",), values=("SilentlyContinue", "Stop", "Continue", "Inquire", "Ignore")),
    Parameter(
        "InformationAction", aliases=("infa",), values=("SilentlyContinue", "Stop", "Continue", "Inquire", "Ignore")
    ),
    Parameter("ErrorVariable", aliases=("ev",)),
    Parameter("WarningVariable", aliases=("wv",)),
    Parameter("InformationVariable", aliases=("iv",)),
    Parameter("OutVariable", aliases=("ov",)),
    Parameter("OutBuffer", "int", aliases=("ob",)),
    Parameter("PipelineVariable", aliases=("pv",)),
)
SHOULD_PROCESS = (
    Parameter("WhatIf", "switch", aliases=("wi",)),
    Parameter("Confirm", "switch", aliases=("cf",)),
)
# Commands with these verbs change nothing, and so know neither -WhatIf nor -Confirm.
_READING_VERBS = frozenset(
    {"get", "select", "measure", "out", "write", "test", "find", "resolve", "convertto", "convertfrom", "format"}
)


@dataclass(slots=True)
class Bound:
    """What a command was given, by the full names of its parameters."""

    arguments: dict[str, Any] = field(default_factory=dict)
    common: dict[str, Any] = field(default_factory=dict)


def bind(cmdlet: Cmdlet, given: Given, pipeline: Sequence[Any] | None) -> Bound:
    """Bind what the client sent.

    Args:
        cmdlet: What is to run.
        given: Parameters in the order they were sent.
        pipeline: Objects that come down the pipeline; None where nothing is piped in.

    Raises:
        Terminated: With the error PowerShell reports.
    """
    binder = _Binder(cmdlet)
    positional = [value for name, value in given if name is None]
    for name, value in given:
        if name is not None:
            binder.by_name(name, value)
    binder.by_position(positional)
    if pipeline is not None:
        binder.by_pipeline(pipeline)
    binder.check_mandatory(piped=pipeline is not None)
    return binder.bound


def all_parameters(cmdlet: Cmdlet) -> tuple[Parameter, ...]:
    """Return the command's own parameters and the common ones it takes."""
    verb = cmdlet.name.partition("-")[0].lower()
    own = {parameter.name.lower() for parameter in cmdlet.parameters}
    added = COMMON if verb in _READING_VERBS else COMMON + SHOULD_PROCESS
    return cmdlet.parameters + tuple(parameter for parameter in added if parameter.name.lower() not in own)


def candidates(parameters: Iterable[Parameter], name: str) -> list[Parameter]:
    """Return the parameters that a name may mean: the exact one, else all that begin so."""
    wanted = name.lower()
    found = []
    for parameter in parameters:
        names = [parameter.name.lower(), *(alias.lower() for alias in parameter.aliases)]
        if wanted in names:
            return [parameter]
        if any(known.startswith(wanted) for known in names):
            found.append(parameter)
    return found


class _Binder:
    def __init__(self, cmdlet: Cmdlet) -> None:
        self.cmdlet = cmdlet
        self.parameters = all_parameters(cmdlet)
        self.bound = Bound()
        self._own = {parameter.name for parameter in cmdlet.parameters}

    def by_name(self, name: str, value: Any) -> None:
        bare = name.rstrip().removeprefix("-")
        present_only = name.startswith("-") and not bare.endswith(":") and value is None
        parameter = self._find(bare.rstrip(":"))
        if present_only:
            if parameter.kind != "switch":
                self._missing_argument(parameter)
            value = True
        self._set(parameter, value)

    def by_position(self, values: Sequence[Any]) -> None:
        free = [p for p in self.cmdlet.parameters if p.position is not None and p.name not in self.bound.arguments]
        free.sort(key=lambda parameter: parameter.position or 0)
        for value in values:
            if not free:
                self._fail(
                    f"A positional parameter cannot be found that accepts argument '{value}'.",
                    "PositionalParameterNotFound",
                )
            self._set(free.pop(0), value)

    def by_pipeline(self, values: Sequence[Any]) -> None:
        """Fill a string parameter from the pipeline; objects go to the command as they are."""
        for parameter in self.cmdlet.parameters:
            if not parameter.from_pipeline or parameter.name in self.bound.arguments:
                continue
            if parameter.kind not in ("string", "strings"):
                continue
            texts = [text for value in values for text in self._texts(parameter, value)]
            if texts and parameter.kind == "strings":
                self._set(parameter, texts)
            elif len(texts) == 1:
                self._set(parameter, texts[0])

    def check_mandatory(self, *, piped: bool) -> None:
        missing = [
            parameter.name
            for parameter in self.cmdlet.parameters
            if parameter.mandatory
            and parameter.name not in self.bound.arguments
            and not (piped and parameter.from_pipeline)
        ]
        if missing:
            self._fail(
                f"Cannot process command because of one or more missing mandatory parameters: {' '.join(missing)}.",
                "MissingMandatoryParameter",
            )

    def _texts(self, parameter: Parameter, value: Any) -> list[str]:
        if not isinstance(value, Record):
            return [] if value is None else [str(value)]
        for name in (parameter.name, *parameter.aliases):
            found = value.get(name)
            if found is not None:
                return [str(one) for one in found] if isinstance(found, list) else [str(found)]
        self._fail(
            "The input object cannot be bound to any parameters for the command either because the command does not "
            "take pipeline input or the input and its properties do not match any of the parameters that take "
            "pipeline input.",
            "InputObjectNotBound",
        )

    def _find(self, name: str) -> Parameter:
        found = candidates(self.parameters, name)
        if len(found) == 1:
            return found[0]
        if not found:
            self._fail(f"A parameter cannot be found that matches parameter name '{name}'.", "NamedParameterNotFound")
        matches = " ".join("-" + parameter.name for parameter in found)
        self._fail(
            f"Parameter cannot be processed because the parameter name '{name}' is ambiguous. "
            f"Possible matches include: {matches}.",
            "AmbiguousParameter",
        )

    def _set(self, parameter: Parameter, value: Any) -> None:
        into = self.bound.arguments if parameter.name in self._own else self.bound.common
        if parameter.name in into:
            self._fail(
                f"Cannot bind parameter because parameter '{parameter.name}' is specified more than once. To provide "
                "multiple values to parameters that can accept multiple values, use the array syntax. "
                'For example, "-parameter value1,value2,value3".',
                "ParameterAlreadyBound",
            )
        try:
            into[parameter.name] = convert(parameter, value)
        except CannotConvert as refused:
            self._fail(str(refused), refused.error_id)
        except NotInSet as refused:
            self._invalid(str(refused), "ParameterArgumentValidationError")
        self._check_empty(parameter, into[parameter.name], value)

    def _check_empty(self, parameter: Parameter, value: Any, given: Any) -> None:
        if not parameter.mandatory or parameter.kind == "any":
            return
        start = f"Cannot bind argument to parameter '{parameter.name}' because it is "
        error_id = "ParameterArgumentValidationError"
        if given is None:
            self._invalid(start + "null.", error_id + "NullNotAllowed")
        if value == "" or (isinstance(value, list) and "" in value):
            self._invalid(start + "an empty string.", error_id + "EmptyStringNotAllowed")
        if value in ([], b""):
            self._invalid(start + "an empty array.", error_id + "EmptyArrayNotAllowed")

    def _missing_argument(self, parameter: Parameter) -> NoReturn:
        self._fail(
            f"Missing an argument for parameter '{parameter.name}'. Specify a parameter of type "
            f"'{NET_TYPES[parameter.kind]}' and try again.",
            "MissingArgument",
        )

    def _fail(self, message: str, error_id: str) -> NoReturn:
        self._raise("ParameterBindingException", message, error_id, "InvalidArgument")

    def _invalid(self, message: str, error_id: str) -> NoReturn:
        self._raise("ParameterBindingValidationException", message, error_id, "InvalidData")

    def _raise(self, exception: str, message: str, error_id: str, category: str) -> NoReturn:
        full_id = f"{error_id},{class_name(self.cmdlet)}"
        raise Terminated(Failure(AUTOMATION + exception, message, full_id, category, None, self.cmdlet.name))


def class_name(cmdlet: Cmdlet) -> str:
    """Return the .NET class of a command, which ends its error ids."""
    if cmdlet.class_name:
        return cmdlet.class_name
    return f"Microsoft.PowerShell.Commands.{cmdlet.name.replace('-', '', 1)}Command"
