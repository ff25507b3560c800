"""The texts of the simulated data set: eight families of templates, no text twice.

A text gets harder with the tier of its words, from common to rare, with every further sentence,
with what it asks and with larger numbers.
"""

import random
from dataclasses import dataclass
from operator import mul

import numpy as np

from equirouter.arrays import FloatArray
from equirouter.errors import ConfigError

_NAMES = "Amara Bela Chidi Dana Elif Farid Greta Hana Ivo Jana Kofi Lena Milo Nadia Otto Priya Uma"
_TRIES = 200  # for each text


@dataclass(frozen=True)
class Family:
    """Templates of one task family, each field several of them with " | " between.

    Gaps: words {a}, {b} of the text's tier, {c}, {d} of any; names {p}, {q}; numbers {n}, {k}.
    """

    openings: str
    common: str
    less_common: str
    rare: str
    asks: str
    """The last sentence, from the easiest question to the hardest."""
    further: str = (
        "{q} heard of it on day {n}. | It has little to do with the {c}. | Nobody had expected it. "
        "| A lecture names it together with the {d}. | It came up {n} times."
    )
    """Sentences, of which a text has 0 to most_further."""
    most_further: int = 3
    most_digits: int = 3
    """Of the first {n}, which no other exceeds."""
    weights: tuple[float, float, float, float] = (1.0, 0.45, 0.5, 0.0)
    """Difficulty of a tier, of a further sentence, of a step in `asks`, and of a digit."""

    def draft(self, draw: random.Random) -> tuple[str, float]:
        """A text and the difficulty that shows in it, on any scale; larger is harder."""
        tier = draw.randrange(3)
        further = draw.sample(self.further.split(" | "), draw.randint(0, self.most_further))
        asks = self.asks.split(" | ")
        ask = draw.randrange(len(asks))
        digits = draw.uniform(1, self.most_digits)
        tiers = [words.split(", ") for words in (self.common, self.less_common, self.rare)]
        a, b = draw.sample(tiers[tier], 2)
        c, d = (draw.choice(draw.choice(tiers)) for _ in range(2))
        p, q = draw.sample(_NAMES.split(), 2)
        parts = [draw.choice(self.openings.split(" | ")), *further, asks[ask]]
        numbers = [round(10**digits), *(draw.randint(3, round(10**digits)) for _ in parts[1:])]
        text = " ".join(
            part.format(a=a, b=b, c=c, d=d, p=p, q=q, n=number, k=draw.randint(2, 9))
            for part, number in zip(parts, numbers, strict=True)
        )
        return text, sum(map(mul, self.weights, (tier, len(further), ask, digits)))


FAMILIES = {
    "knowledge": Family(
        "What is meant by {a}? | Which line describes {a} best? | How do textbooks define {a}?",
        "leaf, heart, seed, bone, magnet, echo, rust, salt, judge, price, fever, king, river",
        "mitosis, enzyme, momentum, isotope, polymer, statute, inflation, anaemia, monsoon",
        "apoptosis, epistasis, birefringence, azeotrope, estoppel, usufruct, dysphagia, akrasia",
        "Is it {b} or {c}? | Give an example. | How does {b} differ? | Which is NOT true of {c}?",
    ),
    "chat": Family(
        "Write a short poem about {a} for {p}. | Write an email to {p} on {a}. | {p}, review {a}.",
        "the beach, my cat, a birthday, breakfast, school, soup, the park, a new bicycle",
        "saving for retirement, city noise, renewable energy, public libraries, team meetings",
        "gene drives, Nash bargaining, Renaissance motets, quantum error correction, dark pools",
        "Be kind. | Compare it with {b}. | Rewrite it in the third person. | Then grade it.",
        "Use {n} words. | Mention {k} numbers. | Refute a counterargument. | Add {k} metaphors.",
    ),
    "code": Family(
        "Write a Python function to {a}. | Implement `task_{n}`: it should {a}. | Help {p} to {a}.",
        "add up a list, count the vowels, reverse a string, square every number, join words",
        "merge sorted lists, balance brackets, group anagrams, rotate a matrix, list factors",
        "find components, count topological orderings, build a suffix array, solve congruences",
        "Give an example. | Add a test with {n}. | Use it to {b}. | Prove that it is right.",
        "Use no library. | Run in O(n log n). | Expect {n} items. | Raise ValueError below {k}.",
    ),
    "continuation": Family(
        "{p} starts with {a}. | In a bright room {p} is busy with {a}. | {q} films {p}, {a}.",
        "washing a car, making tea, cleaning windows, baking bread, wrapping a present",
        "waxing a snowboard, throwing a clay bowl, grooming a horse, fencing, laying tiles",
        "gilding a frame, binding a quarto, rigging a gaff cutter, falconry, assaying ore",
        "What comes next? | Does {p} stop? | Is {b} next, or {c}? | Which step can NOT follow?",
    ),
    "pronouns": Family(
        "{p} asked {q} about the {a}, as _ was in doubt. | {p} lent {q} the {a}, but _ lost it.",
        "map, lamp, rope, knife, spoon, coat, hat, drum, kite, ball, cup, table, book",
        "antenna, gasket, trellis, almanac, bellows, cistern, turbine, metronome, funnel",
        "escapement, trunnion, triptych, incunabulum, samovar, astrolabe, hornblende, armoire",
        "Who is _? | Fill the gap. | Could it also be the {d}? | Who can _ NOT be, given the {c}?",
    ),
    "arithmetic": Family(
        "{p} has {n} {a}. | All of the {n} {a} belong to {p}. | On Monday {p} counts {n} {a}.",
        "apples, marbles, stickers, pencils, eggs, cookies, balloons, shells, buttons",
        "bricks, tickets, bottles, chairs, seedlings, tiles, stamps, loaves, lanterns",
        "kilowatt-hours, barrels, shares, vouchers, rivets, subscriptions, doses, tonnes",
        "How many are left? | At {k}.50 dollars each, how much? | In boxes of {k}, how many?",
        "Then {q} brings {n} more. | After that {n} {a} are lost. | {p} gives {n} away. | Every "
        "day for {k} days {n} are added. | {k}% are thrown away. | The rest is multiplied by {k}.",
        most_further=5,
        most_digits=5,
        weights=(0.2, 0.5, 0.4, 0.4),
    ),
    "science": Family(
        "{p} studies {a} for {n} hours. | {q} explains {a} to {p}. | {q} and {p} watch {a}.",
        "melting ice, sinking stones, roots, warm hands, shadows, puddles, rolling balls",
        "lamps in series, food webs, gas pressure, tilted layers, moonrise, pea plants, yeast",
        "enzyme saturation, genetic drift, galactic redshift, shear waves, superconductors",
        "What happens? | What does it need? | Is the cause {b} or {c}? | What would refute {d}?",
    ),
    "reading": Family(
        "The {a} of {p} had {n} visitors. | {p} wrote {n} lines about the {a} in {k} towns.",
        "club, fair, choir, garden, bakery, school, farm, kitchen, market, theatre",
        "audit, insurance, tender, survey, licence, brokerage, warranty, payroll",
        "assay, palynology, cryostat, codicology, stratigraphy, epigraphy, limnology",
        "Who is named first? | How many are given? | Who had more, {p} or {q}? | What is the mean?",
        "{q} counted {n} at the {b}. | {p} came {k} times. | The {c} closed. | The {d} had {n}.",
    ),
}


def make_texts(task: str, size: int, rng: np.random.Generator) -> tuple[list[str], FloatArray]:
    """Different texts of one family, and the difficulty that shows in each.

    Returns the texts and an array (size,) with mean 0 and standard deviation 1, larger is harder.
    Raises ConfigError if the family's templates do not have that many texts.
    """
    draw = random.Random(int(rng.integers(2**63)))  # noqa: S311  # no secret is drawn
    drafts: dict[str, float] = {}
    for _ in range(size * _TRIES):
        if len(drafts) == size:
            return list(drafts), standardised(np.array(list(drafts.values())))
        text, difficulty = FAMILIES[task].draft(draw)
        drafts.setdefault(text, difficulty)
    raise ConfigError(
        f"the simulated data set has no more than about {len(drafts)} different texts of the "
        f"family {task!r}, {size} were asked for: choose a smaller n_queries"
    )


def standardised(values: FloatArray) -> FloatArray:
    """The values with mean 0 and standard deviation 1, or 0 where they are all equal."""
    spread = values.std()
    return np.asarray((values - values.mean()) / (spread if spread > 0 else 1.0))
