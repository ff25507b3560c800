"""From a row of a table or a line of JSON to what it asks of a pipeline."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from equirouter.errors import ConfigError, DataError, UnreadableError
from equirouter.pipeline.decision import Ask, Decision
from equirouter.policy import Control, Needs, removed_by

if TYPE_CHECKING:
    from equirouter.pipeline.pipeline import RoutingPipeline

Decide: TypeAlias = Callable[[Sequence[Ask]], list[Decision]]

CONSTRAINTS = ("exclude", "needs", "region", "context_tokens")
"""Fields of a row with constraints of its own; null or absent asks nothing."""

CONTROLS = {"budget_usd": "budget_usd", "quality": "quality", "lambda": "lambda_"}
"""Fields of a row with a control of its own, in place of the run's -> fields of Control."""

IMAGE = "image"
"""The field of a row with the path of an image."""

FIELDS = Decision._fields[:-1]
"""What is written of a decision: all but the plan, which is never asked for."""

_TAKEN = frozenset(FIELDS)


@dataclass(frozen=True)
class Asking:
    """How the rows of a run are decided: its control and constraints, and the field of the text.

    Raises ConfigError for a control that makes no sense and for constraints on models that the
    pipeline does not have.
    """

    pipeline: "RoutingPipeline"
    control: Control
    needs: Needs
    text: str = "query"

    def __post_init__(self) -> None:
        self.pipeline.policy_for(self.control)
        self._check(self.needs)

    def ask(self, row: Mapping[str, Any], place: str) -> Ask:
        """The question of a row. place: stands for the row in messages.

        Raises DataError for a row that lacks the text, has a field of a decision, or an image, a
        control or constraints of another form.
        """
        query, image = row.get(self.text), row.get(IMAGE)
        if not isinstance(query, str):
            raise DataError(f'{place}: {self._found(row)}; expected {{"{self.text}": "..."}}')
        if image is not None and not isinstance(image, str):
            raise DataError(f"{place}: image is {image!r}; expected the path of a file, or null")
        if image is None and (not query or query.isspace()):
            raise DataError(f"{place}: the query is empty; leave the line out or give it a text")
        if not _TAKEN.isdisjoint(row):
            taken = next(name for name in row if name in _TAKEN)
            raise DataError(
                f"{place}: the line of query {query[:40]!r} has a field {taken!r}, which "
                "the decision would overwrite; rename it"
            )
        control = self.control
        if not row.keys().isdisjoint(CONTROLS):
            control = self._controlled(row, place)
        if row.keys().isdisjoint(CONSTRAINTS):
            return Ask(query, image, control, self.needs)
        return Ask(query, image, control, self._joined(row, place))

    def _controlled(self, row: Mapping[str, Any], place: str) -> Control:
        """The control of a row, or the run's where it has none."""
        own: dict[str, Any] = {}
        for field, name in CONTROLS.items():
            if (value := row.get(field)) is not None:
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise DataError(f"{place}: {field} is {value!r}; expected a number, or null")
                own[name] = float(value)
        if not own:
            return self.control
        if "quality" in own:
            own["confidence"] = self.control.confidence
        try:
            control = Control(**own)
            self.pipeline.policy_for(control)
        except ConfigError as error:
            raise DataError(f"{place}: {error}") from error
        return control

    def _joined(self, row: Mapping[str, Any], place: str) -> Needs:
        try:
            own = _needs_of(row)
            self._check(own)
        except ConfigError as error:
            raise DataError(f"{place}: {error}") from error
        return self.needs.joined(own)

    def _check(self, needs: Needs) -> None:
        """Raise ConfigError for a name of no model."""
        removed_by(needs, self.pipeline.models, self.pipeline.model_facts)

    def _found(self, row: Mapping[str, Any]) -> str:
        """Describe what was found in place of a text."""
        if self.text in row:
            return f"{self.text} is {row[self.text]!r:.60}"
        names = ", ".join(map(repr, row))
        return f"no {self.text} among the fields {names:.200}" if row else "the object is empty"


def decided_at(places: Sequence[str], asks: Sequence[Ask], decide: Decide) -> list[Decision]:
    """Decide the questions of a block of rows.

    Raises DataError that names the place of a row that cannot be decided; where no text at all can
    be, because of weights, a key or a device, the encoder's own error.
    """
    try:
        return decide(asks)
    except (ConfigError, DataError):
        with suppress(UnreadableError):
            decide([Ask("one word")])
        for place, ask in zip(places, asks, strict=True):
            try:
                decide([ask])
            except (ConfigError, DataError) as error:
                raise DataError(f"{place}: {error}") from error
        raise


def _needs_of(row: Mapping[str, Any]) -> Needs:
    named: dict[str, frozenset[str] | None] = {}
    for field in ("exclude", "needs", "region"):
        value = row.get(field)
        if value is not None and not (isinstance(value, list) and all(map(_is_text, value))):
            raise ConfigError(f"{field} is {value!r}; expected a list of names, or null")
        named[field] = None if value is None else frozenset(value)
    return Needs(
        exclude=named["exclude"] or frozenset(),
        context_tokens=row.get("context_tokens"),
        abilities=named["needs"] or frozenset(),
        regions=named["region"],
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str)
