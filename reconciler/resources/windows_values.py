"""Field types of what lives on a Windows host: names and paths that cannot be read as wildcards or as a query."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

# PowerShell reads * ? [ ] and ` in -Path and -Name as wildcards; a value of ours never means one.
RegistryPath = Annotated[str, StringConstraints(pattern=r"^HKLM:(\\[^\\*?\[\]`\x00-\x1f]+)+$")]
RegistryName = Annotated[
    str, StringConstraints(pattern=r"^[^(\\*?\[\]`\x00-\x1f][^*?\[\]`\x00-\x1f]*$", max_length=255)
]
FilePath = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]:(\\[^\\/<>:\"|?*\[\]`\x00-\x1f]+)+$")]
# ADMT appends .pes to any other name, and the file would not be where it was asked for.
KeyFile = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]:(\\[^\\/<>:\"|?*\[\]`\x00-\x1f]+)+\.[pP][eE][sS]$")]
# No quote and no backslash: the name stands inside a WQL string.
ServiceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.$@ -]{1,256}$")]

ABSENT_PATH = ("PathNotFound",)
ABSENT_VALUE = ("PathNotFound", "System.Management.Automation.PSArgumentException")
