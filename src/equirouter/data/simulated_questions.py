"""The questions of the multimodal simulated data set: what is asked about a picture.

What makes a question hard is in its words, whatever the picture shows.
"""

from collections.abc import Mapping
from types import MappingProxyType

from equirouter.data.simulated_draft import Draft, Family, Pick, phrases, words

__all__ = ["QUESTIONS"]

_COLOURS = words("red green blue purple brown black")
_SHAPES = words("circles triangles squares pentagons")
_OPENINGS = ("", "", "", "Look at the picture. ", "See the image. ", "In the picture: ")
_ENDINGS = (
    "",
    "",
    "",
    " Answer with a number only.",
    " Answer in one word.",
    " Give the answer alone.",
)
# per task: (hardness, question), from one look to several steps that rest on each other
_COUNTING = (
    (0.0, "How many {shapes} are there?"),
    (0.0, "How many shapes are there in all?"),
    (0.4, "How many {colour} {shapes} are there?"),
    (0.6, "How many shapes are neither {colour} nor {other}?"),
    (0.9, "How many {colour} {shapes} lie above the largest of the {others}?"),
    (1.1, "How many more {colour} {shapes} than {other} {others} are there?"),
    (1.5, "Which colour has the second largest number of {shapes}, and how many fewer {others}?"),
    (
        1.8,
        "If every {colour} shape and each shape it touches is removed, how many {shapes} remain?",
    ),
)
_READING = (
    (0.0, "What number is shown on the {thing}?"),
    (0.0, "Read the {thing}."),
    (0.4, "What are the last two digits on the {thing}?"),
    (0.7, "Add all digits on the {thing}. What is the sum?"),
    (1.0, "Which digit occurs most often on the {thing}, and how often?"),
    (1.3, "Write the number on the {thing} backwards and subtract it from the original."),
    (1.6, "Is the number on the {thing} divisible by {k}? Give the remainder."),
    (1.9, "Take the number on the {thing}, multiply it by {k} and give the sum of its digits."),
)
_CHARTS = (
    (0.0, "Which bar of the chart of {topic} is the highest?"),
    (0.1, "How many bars has the chart of {topic}?"),
    (0.5, "What is the value of bar number {k} in the chart of {topic}?"),
    (0.8, "What is the difference between the highest and the lowest bar of {topic}?"),
    (1.1, "How many bars of {topic} are above the mean of all bars?"),
    (1.4, "By how many percent does {topic} fall between the highest bar and the one after it?"),
    (1.7, "What is the median of {topic}, and which bars lie within {k} units of it?"),
    (2.0, "Fit a straight line to {topic} by least squares: what value does it give {k} bars on?"),
)
_GEOMETRY = (
    (0.0, "How many corners has the figure?"),
    (0.2, "Is the outline convex?"),
    (0.6, "How many lines are drawn inside the outline?"),
    (0.9, "Into how many regions do the inner lines cut the figure?"),
    (1.2, "Estimate the sum of the inner angles of the outline in degrees."),
    (1.5, "How many triangles, of any size, are there in the figure?"),
    (1.8, "Find the area of the figure if its longest side is {k} cm. Show each step."),
    (
        2.1,
        "The figure is turned about its leftmost corner by {k}0 degrees: which corner is lowest?",
    ),
)
_LOCATING = (
    (0.0, "Is there a {colour} shape on the board?"),
    (0.2, "How many rows has the board?"),
    (0.5, "In which row is the topmost of the {shapes}?"),
    (0.8, "What is in the cell to the right of the first {colour} shape?"),
    (1.1, "Which column holds the most {colour} shapes?"),
    (1.4, "How many {shapes} have an empty cell on all four sides?"),
    (1.7, "A rook stands on the topmost {colour} shape. Which shapes can it reach in {k} moves?"),
    (2.0, "What is the shortest way from corner to corner that crosses no {colour} shape?"),
)
_THINGS = phrases(
    "meter, ticket, number plate, receipt, display, label, door, parcel, clock, badge"
)
_TOPICS = phrases(
    "rainfall, exports, visitors, sales, exam results, births, traffic, prices, wages, harvests"
)


def _question(pick: Pick, questions: tuple[tuple[float, str], ...]) -> Draft:
    hard, question = pick.one(questions)
    colour, other = pick.some(_COLOURS, 2)
    shapes, others = pick.some(_SHAPES, 2)
    text = question.format(
        colour=colour,
        other=other,
        shapes=shapes,
        others=others,
        thing=pick.one(_THINGS),
        topic=pick.one(_TOPICS),
        k=pick.number(3, 9),
    )
    return Draft(f"{pick.one(_OPENINGS)}{text}{pick.one(_ENDINGS)}", hard)


def _family(questions: tuple[tuple[float, str], ...]) -> Family:
    return lambda pick: _question(pick, questions)


QUESTIONS: Mapping[str, Family] = MappingProxyType(
    {
        "counting": _family(_COUNTING),
        "reading": _family(_READING),
        "charts": _family(_CHARTS),
        "geometry": _family(_GEOMETRY),
        "locating": _family(_LOCATING),
    }
)
"""Task -> what makes a question of it, with the difficulty that its words show."""
