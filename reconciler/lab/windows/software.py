"""Installed software as Windows keeps it: one Uninstall key per product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.lab.windows.registry import UNINSTALL, Registry


@dataclass(frozen=True, slots=True)
class Product:
    """One product; ``code`` is the name of its Uninstall key, ``{GUID}``."""

    code: str
    name: str
    version: str
    publisher: str = "Microsoft Corporation"
    uninstall: str = ""


class Software:
    """The products that the Uninstall keys name."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def __iter__(self) -> Iterator[Product]:
        for key in self._registry.children(UNINSTALL):
            text = {name: value.data for name, value in key.values.items() if isinstance(value.data, str)}
            yield Product(
                code=key.path.rpartition("\\")[2],
                name=text.get("displayname", ""),
                version=text.get("displayversion", ""),
                publisher=text.get("publisher", ""),
                uninstall=text.get("uninstallstring", ""),
            )

    def get(self, code: str) -> Product | None:
        """Return a product by its code, or None."""
        return next((product for product in self if product.code.lower() == code.lower()), None)

    def add(self, product: Product) -> None:
        """Write a product's Uninstall key."""
        path = f"{UNINSTALL}\\{product.code}"
        uninstall = product.uninstall or f"MsiExec.exe /X{product.code}"
        for name, text in (
            ("DisplayName", product.name),
            ("DisplayVersion", product.version),
            ("Publisher", product.publisher),
            ("UninstallString", uninstall),
        ):
            self._registry.set(path, name, "String", text)

    def remove(self, code: str) -> bool:
        """Remove a product's Uninstall key; False where there was none."""
        return self._registry.remove(f"{UNINSTALL}\\{code}")
