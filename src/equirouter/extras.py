"""Optional packages: one place that imports them, and one message when some are missing."""

import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module, metadata
from importlib.util import find_spec
from types import ModuleType

from equirouter import __version__
from equirouter.errors import MissingExtraError

_COMPUTE = ("numpy", "onnxruntime", "torch", "scikit-learn")
"""Packages whose version can change a figure."""

_BRINGS_TORCH = {"train", "encoders", "weights", "all", "dev"}


@dataclass(frozen=True)
class Need:
    """Something optional that work cannot do without.

    module: its import name. extra: the extra of equirouter that brings it; "" where none does, and
    the module is named itself. purpose: as it continues "torch, to ...". way_out: what else helps.
    shown: what it is called, if not by its import name.
    """

    module: str
    extra: str
    purpose: str
    way_out: str = ""
    shown: str = ""


def require(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import an optional module, or say which command installs it.

    module, extra, purpose: as Need has them. Raises MissingExtraError when the package is not
    installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] != module.split(".")[0]:
            raise  # the package is there, but one of its own imports is broken: say that instead
        raise MissingExtraError(_message([Need(module, extra, purpose)])) from error


def check_needs(needs: Iterable[Need]) -> None:
    """Raise MissingExtraError that names all that is not installed, and the one command for it."""
    missing = [need for need in dict.fromkeys(needs) if not is_installed(need.module)]
    if missing:
        raise MissingExtraError(_message(missing))


def is_installed(module: str) -> bool:
    """Whether a module could be imported; nothing is imported, so a broken one counts as there."""
    try:
        return find_spec(module.partition(".")[0]) is not None
    except (ImportError, ValueError):  # a finder that forbids it, or a module without a spec
        return False


def _message(missing: list[Need]) -> str:
    """All that is missing, then the command on a line of its own, then what else helps."""
    purposes: dict[str, list[str]] = {}
    for need in missing:
        purposes.setdefault(need.shown or need.module, []).append(need.purpose)
    named = "; ".join(
        f"{module}, to {' and '.join(dict.fromkeys(those))}" for module, those in purposes.items()
    )
    extras = sorted({need.extra for need in missing if need.extra})
    others = [need.module for need in missing if not need.extra]
    asked = [f"'equirouter[{','.join(extras)}]'"] if extras else []
    packages = " ".join([*asked, *others])
    lines = [f"not installed: {named}", f"  pip install {packages}"]
    if sys.platform == "linux" and _BRINGS_TORCH & set(extras) and not is_installed("torch"):
        lines.append(
            "without a GPU, the build of torch without CUDA is smaller:\n"
            f"  pip install --extra-index-url https://download.pytorch.org/whl/cpu {packages}\n"
            f"  uv pip install --torch-backend cpu {packages}"
        )
    lines += dict.fromkeys(need.way_out for need in missing if need.way_out)
    return "\n".join(lines)


def versions() -> dict[str, str]:
    """Versions of this package, Python, and the packages that compute.

    One that is not installed is left out: it took no part.
    """
    versions_ = {"equirouter": __version__, "python": platform.python_version()}
    for name in _COMPUTE:
        try:
            versions_[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions_
