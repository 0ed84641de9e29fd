"""Shoal moves big files between many machines."""

from __future__ import annotations

TYPE_CHECKING = False  # to type checkers it is True; `typing` itself would be half of what a start costs
if TYPE_CHECKING:
    from shoal.api import get, get_all, get_blocking
    from shoal.errors import ShoalError
    from shoal.fetch.progress import Downloaded, Progress

__version__ = "0.1.0"
__all__ = ["Downloaded", "Progress", "ShoalError", "__version__", "get", "get_all", "get_blocking"]

_HOMES = {
    "get": "shoal.api",
    "get_all": "shoal.api",
    "get_blocking": "shoal.api",
    "ShoalError": "shoal.errors",
    "Downloaded": "shoal.fetch.progress",
    "Progress": "shoal.fetch.progress",
}


def __getattr__(name: str) -> object:
    """Import it when it is first asked for: `shoal --version` needs none of it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'shoal' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
