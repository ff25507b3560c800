"""Word problems of the simulated data set: more steps and larger numbers are harder."""

import math

from equirouter.data.simulated_draft import FRIENDS, NAMES, Draft, Pick

__all__ = ["arithmetic"]

# by size of the numbers: things that come in dozens, in hundreds, and in many thousands
_ITEMS = (
    "apples marbles stickers pencils eggs cookies balloons shells buttons oranges toys kites",
    "bricks tickets books bottles chairs seedlings tiles stamps letters loaves bulbs lanterns",
    "kilowatt-hours barrels shares vouchers rivets parcels subscriptions components tonnes doses",
)
_PLACES = (
    ("at home", "at school", "in the garden", "on the table", "in a basket", "in a drawer"),
    ("in the shop", "in the store room", "at the depot", "for the fair", "in the warehouse"),
    ("in the annual report", "on the ledger", "at the plant", "in the fund", "in the terminal"),
)
_STARTS = (
    "{p} has {n} {item} {place}.",
    "There are {n} {item} {place}, and all of them belong to {p}.",
    "{p} counts {n} {item} {place}.",
    "On Monday {p} starts with {n} {item} {place}.",
)
_GAINS = (
    "Then {p} gets {k} more from {friend}.",
    "{friend} brings {k} {item}.",
    "The next day {k} more {item} arrive.",
    "{p} finds another {k}.",
)
_LOSSES = (
    "{p} gives {k} of them to {friend}.",
    "After that {k} {item} are lost.",
    "{friend} takes {k} {item} away.",
    "{p} uses {k} {item}.",
)
_GROWTHS = (
    "A week later there are {k} times as many {item}.",
    "{p} then orders {k} times what is there and adds nothing else.",
    "The stock is multiplied by {k} before the weekend.",
)
_RATES = (
    "Every day for {d} days, {p} adds {k} more {item}.",
    "{p} collects {k} {item} an hour during {d} hours.",
    "For {d} weeks, {friend} sends {k} {item} a week.",
)
_SHARES = (
    "{q}% of the {item} turn out to be useless and are thrown away.",
    "{p} sells {q}% of the remaining {item}.",
    "Then {q}/{r} of what is left is put aside.",
    "The number falls by {q}% and afterwards {p} adds back {k}.",
)
_ENDS = (
    "How many {item} does {p} have now?",
    "How many {item} are left?",
    "What is the final number of {item}?",
)
_MONEY_ENDS = (
    "{p} sells the rest at {c} dollars each. How much money is that?",
    "If each is worth {c} dollars and the tax is {q}%, how much does {p} keep?",
    "Packed in boxes of {r}, how many boxes are full, and how many {item} remain?",
)
_ASIDES = (
    "{friend} is {d} years older than {p}.",
    "It takes {d} minutes to walk there.",
    "The house has {d} windows.",
    "Last year there were {k} {item}, but they are gone.",
)


def arithmetic(pick: Pick) -> Draft:
    """A word problem of one to seven steps with numbers of two to seven digits."""
    size = pick.number(0, 2)
    n_steps = pick.one((1, 2, 2, 3, 3, 4, 5, 6))
    start = round(10 ** (1.1 + 1.6 * size + 1.4 * pick.number(0, 100) / 100))
    words = {
        "p": pick.one(NAMES),
        "item": pick.one(_ITEMS[size].split()),
        "place": pick.one(_PLACES[size]),
    }
    sentences = [pick.one(_STARTS).format(n=start, **words)]
    n_hard = 0
    for _ in range(n_steps - 1):
        bank, hard = pick.one(((_GAINS, 0), (_LOSSES, 0), (_GROWTHS, 0), (_RATES, 1), (_SHARES, 1)))
        n_hard += hard
        sentences.append(_filled(pick, pick.one(bank), start, words))
    n_asides = pick.one((0, 0, 0, 1))
    if n_asides:
        sentences.insert(
            pick.number(1, len(sentences)), _filled(pick, pick.one(_ASIDES), 99, words)
        )
    money = pick.chance(0.4)
    sentences.append(_filled(pick, pick.one(_MONEY_ENDS if money else _ENDS), start, words))
    hardness = 0.45 * n_steps + 0.3 * n_hard + 0.35 * math.log10(start) + 0.3 * n_asides
    return Draft(" ".join(sentences), hardness + 0.4 * money)


def _filled(pick: Pick, sentence: str, start: int, words: dict[str, str]) -> str:
    """The sentence with numbers of a size that goes with the first one."""
    few = "times" in sentence or "multiplied" in sentence
    filled = sentence.format(
        k=pick.number(2, 6) if few else pick.number(2, max(3, start // 4)),
        d=pick.number(2, 12),
        q=pick.one((5, 10, 15, 20, 25, 35, 40, 60)),
        r=pick.one((70, 80, 90, 100)) if "/" in sentence else pick.one((6, 8, 12, 24)),
        c=pick.one((2, 3, 5, 7.5, 12, 19.95)),
        friend=pick.one(FRIENDS),
        **words,
    )
    return filled[0].upper() + filled[1:]
