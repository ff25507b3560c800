"""Whether a response is SQL."""

import logging
from dataclasses import dataclass

from equirouter.answers import fenced
from equirouter.checks.base import Response, ResponseCheck
from equirouter.errors import ConfigError
from equirouter.extras import require


@dataclass(kw_only=True, eq=False)
class SqlCheck(ResponseCheck):
    """1 for statements that parse, words around a block of them allowed; else 0.

    Not known where the parser has no grammar for a statement, as for EXPLAIN. Whether tables and
    columns exist is not asked: a program can say that (command). Needs the extra `grade`.
    """

    dialect: str | None = None
    """Whose SQL, such as "postgres" or "sqlite"; None: what most of them read."""

    def __post_init__(self) -> None:
        self._sql = require("sqlglot", extra="grade", purpose="check that answers are SQL")
        logging.getLogger("sqlglot").setLevel(logging.ERROR)  # its warnings quote the response
        known = sorted(name.lower() for name in self._sql.Dialects.__members__)
        if self.dialect not in (None, *known):
            raise ConfigError(f"sql: dialect is {self.dialect!r}, expected {', '.join(known)}")

    def __call__(self, response: Response) -> float | None:
        """Parse the last fenced block, or the whole text."""
        text = [response.text, *fenced(response.text)][-1]
        kinds = self._sql.exp
        try:
            parsed = self._sql.parse(text, dialect=self.dialect)
        except (self._sql.errors.SqlglotError, RecursionError):
            return 0.0
        if any(isinstance(statement, kinds.Command) for statement in parsed):
            return None
        statements = (kinds.Query, kinds.DML, kinds.DDL, kinds.Alter, kinds.Drop)
        return float(
            any(isinstance(statement, statements) for statement in parsed)
        )  # words may be a column
