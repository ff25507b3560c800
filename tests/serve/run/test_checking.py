"""What `serve --check` says would be served."""

from pathlib import Path

from equirouter.serve.run.checking import check_settings
from tests.serve.pipelines import registered, save_pipeline
from tests.serve.planners import settings_of

__all__ = ["registered"]  # a fixture


def test_the_pipeline_that_would_decide_is_named(tmp_path: Path) -> None:
    store = {"url": f"sqlite:///{tmp_path}/gateway.db"}
    folder = save_pipeline(tmp_path / "pipeline")
    assert check_settings(settings_of(folder, store=store))["pipeline"] == str(folder)
    assert check_settings(settings_of(None, store=store))["pipeline"] is None
