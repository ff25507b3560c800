"""Personal data is replaced by what it is. The names and numbers are made up."""

import json
from pathlib import Path

import pytest

pytest.importorskip("presidio_analyzer")

from equirouter.data.query_table import read_queries
from equirouter.labelling.intake.importing import import_log
from equirouter.labelling.intake.redaction import Redactor


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return Redactor()


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Write to jane.doe@example.com now.", "Write to <EMAIL_ADDRESS> now."),
        ("Call +44 20 7946 0958.", "Call <PHONE_NUMBER>."),
        ("Pay with 4111 1111 1111 1111, please", "Pay with <CREDIT_CARD>, please"),
        ("To DE89 3704 0044 0532 0130 00 then", "To <IBAN_CODE> then"),
        ("key sk-abcdefghijklmnopqrstuvwx0123 end", "key <KEY> end"),
        ("AKIAABCDEFGHIJKLMNOP and akiaabcdefghijklmnop", "<KEY> and akiaabcdefghijklmnop"),
        ("What is 2 + 3? In 2024, 17 %.", "What is 2 + 3? In 2024, 17 %."),
    ],
)
def test_what_has_a_form_is_replaced(redactor: Redactor, text: str, redacted: str) -> None:
    assert redactor.text(text) == redacted


def test_pictures_stay_and_identifiers_go(redactor: Redactor) -> None:
    url = "data:image/png;base64,4111111111111111"
    parts = [{"type": "text", "text": "a@example.com"}, {"image_url": {"url": url}}]
    assert redactor.tree(parts) == [
        {"type": "text", "text": "<EMAIL_ADDRESS>"},
        {"image_url": {"url": url}},
    ]
    assert redactor.parameters({"user": "jane", "max_tokens": 5}) == {"max_tokens": 5}


def test_an_import_replaces_in_every_text(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    row = {
        "messages": [
            {"role": "system", "content": "You serve jane@example.com."},
            {"role": "user", "content": "Mail bob@example.com"},
        ],
        "answer": "Mailed bob@example.com.",
        "user": "jane",
    }
    log.write_text(json.dumps(row), "utf-8")
    report = import_log(log, tmp_path / "q.parquet", redact=True)
    [asked] = read_queries(tmp_path / "q.parquet")
    assert asked.query == "Mail <EMAIL_ADDRESS>"
    assert asked.answer == "Mailed <EMAIL_ADDRESS>."
    assert b"example.com" not in (tmp_path / "q.parquet").read_bytes()
    assert "example" not in asked.messages
    assert asked.parameters is None
    assert report.redacted is not None
    assert report.redacted.startswith("redacted: 3 EMAIL_ADDRESS; names are NOT replaced")


def test_names_are_replaced_by_a_model_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    spacy = pytest.importorskip("spacy")
    model = spacy.blank("en")
    ruler = model.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "PERSON", "pattern": "Jane Doe"}])
    monkeypatch.setattr(spacy.util, "get_installed_models", lambda: ["en_made_up"])
    monkeypatch.setattr(spacy, "load", lambda name: {"en_made_up": model}[name])
    redactor = Redactor()
    assert redactor.text("Jane Doe, jane@example.com") == "<PERSON>, <EMAIL_ADDRESS>"
    assert redactor.said() == "redacted: 1 EMAIL_ADDRESS, 1 PERSON; names by en_made_up"
