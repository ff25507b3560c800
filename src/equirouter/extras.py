"""Optional packages: one place that imports them and one message when they are missing."""

import platform
from importlib import import_module, metadata
from types import ModuleType

from equirouter import __version__
from equirouter.errors import MissingExtraError

__all__ = ["require", "versions"]

_COMPUTE = ("numpy", "onnxruntime", "torch", "scikit-learn")
"""Packages whose version can change a figure."""


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional module, or say which command installs it.

    module: its import name. extra: the extra of equirouter that brings it. purpose: what it is
    needed for, as it continues "torch is needed to ...".
    Raises MissingExtraError when the package is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] != module.split(".")[0]:
            raise  # the package is there, but one of its own imports is broken: say that instead
        raise MissingExtraError(
            f"{module} is needed to {purpose}: pip install 'equirouter[{extra}]'"
        ) from error


def versions() -> dict[str, str]:
    """Versions of this package, Python, and the packages that compute.

    One that is not installed is left out: it took no part.
    """
    found = {"equirouter": __version__, "python": platform.python_version()}
    for name in _COMPUTE:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
