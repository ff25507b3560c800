"""What every test may use."""

import os
import shutil
import signal

# Before NumPy and torch are loaded: the tests' arrays are small, and threads that wait for each
# other on a busy machine cost ten times what they save.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# A job in the background ignores Ctrl-C; processes that tests interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from equirouter.registry import ENCODERS  # noqa: E402

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# A busy machine is no failure.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

SHARED_DATA = Path(__file__).parents[1] / ".." / "shared" / "data"
SHARED_CASES = SHARED_DATA.parent / "cases"


@pytest.fixture(scope="session", autouse=True)
def _own_cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or fills the user's cache."""
    patch = pytest.MonkeyPatch()
    patch.setenv("EQUIROUTER_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def registered() -> Iterator[None]:
    """GatedEncoder of tests.serve.pipelines can be named in a folder."""
    patch = pytest.MonkeyPatch()
    patch.setitem(ENCODERS._paths, "gated", "tests.serve.pipelines:GatedEncoder")
    yield
    patch.undo()


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """The folder of small inputs beside the repository; tests that need it skip without it."""
    if not SHARED_CASES.is_dir():
        pytest.skip(f"no small inputs beside the repository ({SHARED_CASES.resolve()})")
    return SHARED_CASES.resolve()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real outcomes beside the repository; tests that need it skip without it."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real outcomes beside the repository ({SHARED_DATA.resolve()})")
    return SHARED_DATA.resolve()


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Debian's Chromium, without which its tests skip; patient, as a busy machine is no failure."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        # the sandbox does not work as root, where CI runs
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()
