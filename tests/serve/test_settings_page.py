"""Every setting of the gateway has a text on its page, which is made from the classes."""

from equirouter.cli.reference import settings_reference
from equirouter.serve.settings import GatewaySettings


def test_every_section_and_setting_is_described() -> None:
    lines = settings_reference().splitlines()
    assert [line for line in lines if line.endswith("|  |")] == []
    assert sum(line.startswith("## ") for line in lines) == len(GatewaySettings.model_fields)
    assert "| `port` | `8080` | Port to listen on; 0 takes a free one. |" in lines
    assert "| `upstream` | required | Which upstream serves it. |" in lines
    (scope,) = (line for line in lines if line.startswith("| `scope` |"))
    assert scope.endswith('Values: `"last_user"`, `"conversation"`, `"first_user"`. |')
