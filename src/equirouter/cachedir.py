"""Where downloads, embeddings and generated graphs are kept between runs."""

import os
from pathlib import Path

__all__ = ["cache_dir"]


def cache_dir() -> Path:
    """The folder for files that can be made or fetched again; it may not exist yet.

    EQUIROUTER_CACHE_DIR names another place than the user's cache folder of the system.
    """
    named = os.environ.get("EQUIROUTER_CACHE_DIR")
    if named:
        return Path(named)
    import platformdirs

    return Path(platformdirs.user_cache_dir("equirouter"))
