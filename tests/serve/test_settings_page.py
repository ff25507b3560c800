"""docs/gateway-settings.md has every setting with its default, and no other."""

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from equirouter.serve.settings import GatewaySettings, ModelSettings, UpstreamSettings

PAGE = Path(__file__).parents[2] / "docs" / "gateway-settings.md"
PRICE = ModelSettings.model_fields["price"].annotation


def sections() -> dict[str, type[BaseModel]]:
    """Heading of the page -> the class that it describes."""
    found: dict[str, type[BaseModel]] = {
        "[upstreams.NAME]": UpstreamSettings,
        '[models."NAME"]': ModelSettings,
        "price": PRICE.__args__[0],  # type: ignore[union-attr]
    }
    for name, field in GatewaySettings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found[f"[{name}]"] = field.annotation
    return found


def described() -> dict[str, dict[str, tuple[str, str]]]:
    """Heading -> setting -> (default, what it is)."""
    page = PAGE.read_text("utf-8")
    parts = re.split(r"^##+ `(.+)`$", page, flags=re.MULTILINE)
    return {
        heading: {
            name: (default, text)
            for name, default, text in re.findall(
                r"^\| `(\w+)` \| (.+?) \| (.+) \|$", body, flags=re.MULTILINE
            )
        }
        for heading, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def written(field: FieldInfo) -> str:
    """A default as the page has it."""
    if field.is_required():
        return "required"
    value = field.default
    if value is None:
        return "none"
    if isinstance(value, frozenset):
        value = sorted(value)
    return f"`{json.dumps(value)}`"


def test_every_section_is_described_and_no_other() -> None:
    assert set(described()) == set(sections())
    assert len(sections()) == len(GatewaySettings.model_fields) + 1  # price is inside a model


@pytest.mark.parametrize("heading", sorted(sections()))
def test_settings_and_defaults_are_those_of_the_classes(heading: str) -> None:
    fields = sections()[heading].model_fields
    on_page = described()[heading]
    assert {name: default for name, (default, _) in on_page.items()} == {
        name: written(field) for name, field in fields.items()
    }
    assert all(text.strip() for _, text in on_page.values())
    assert [name for name, field in fields.items() if not field.description] == []
