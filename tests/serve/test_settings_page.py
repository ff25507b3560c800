"""docs/gateway-settings.md is what the classes say, and each setting has a text."""

from pathlib import Path

from equirouter.cli.reference import settings_reference
from equirouter.serve.settings import GatewaySettings

PAGE = Path(__file__).parents[2] / "docs" / "gateway-settings.md"


def test_the_page_of_settings_is_current() -> None:
    found = PAGE.read_text("utf-8")
    assert found == settings_reference(), "docs/gateway-settings.md is stale: run `make docs`"


def test_every_section_and_setting_is_described() -> None:
    lines = settings_reference().splitlines()
    assert [line for line in lines if line.endswith("|  |")] == []
    assert sum(line.startswith("## ") for line in lines) == len(GatewaySettings.model_fields)
    assert "| `port` | `8080` | Port to listen on; 0 takes a free one. |" in lines
    assert "| `upstream` | required | Which upstream serves it. |" in lines
    (scope,) = (line for line in lines if line.startswith("| `scope` |"))
    assert scope.endswith('Values: `"last_user"`, `"conversation"`, `"first_user"`. |')
