"""A fresh document of results for every test, so that a test may change it."""

import copy

import pytest

from tests.results_document import Document, build_document


@pytest.fixture
def document() -> Document:
    return copy.deepcopy(build_document())
