"""Plans of three models, of which every number is written by hand."""

from dataclasses import replace

import numpy as np

from equirouter.policy.plans import Check, Gains, Plans

SCORES = np.array([0.6, 0.5, 0.9])
COSTS = np.array([0.01, 0.02, 1.0])


def check(n_features: int, level: float, *on: tuple[int, float]) -> Check:
    """One whose log odds are the level plus the given features times their weights."""
    weights = np.zeros((n_features + 1, 1))
    weights[0] = level
    for feature, weight in on:
        weights[feature + 1] = weight
    return Check(np.zeros(n_features), np.ones(n_features), weights)


def of_both(first: Check, second: Check) -> Check:
    return replace(first, weights=np.hstack([first.weights, second.weights]))


def by_hand(gain: float = 0.1) -> Plans:
    """Models 0 and 1 are cheap: alone right with 0.5, with 0.88 where they agree (odds of e^2).

    With the third, an answer that another model gives too is right with 0.98, else with 0.5.
    """
    agree, three = 8, 12  # features 0 to 7 are of the two replies, 0 to 11 of the three
    pair = of_both(check(11, 0.0, (agree, 2.0)), check(11, 0.0, (agree, 2.0)))
    of_three = [  # pairs (0, 1), (0, 2), (1, 2) stand in 12, 15 and 18
        check(21, 0.0, (three, 4.0), (three + 3, 4.0)),
        check(21, 0.0, (three, 4.0), (three + 6, 4.0)),
        check(21, -0.1, (three + 3, 4.0), (three + 6, 4.0)),
    ]
    return Plans(
        3,
        members=(0, 1, 2),
        pairs=((0, 1),),
        checks={(0, 1): pair, (0, 1, 2): of_both(of_both(*of_three[:2]), of_three[2])},
        more={((0, 1), 2): check(13, 3.0)},  # 0.95
        gains=Gains(
            np.array([10.0, 0.0]),
            np.zeros((3, 1, 2, 6)),
            np.array([[[gain, gain]], [[0.25, 0.25]], [[0.3, 0.3]]]),
        ),
    )


def by_signal(name: str) -> Plans:
    """As by_hand, but a signal alone says who is right: with 0.88 at 1, 0.12 at 0, else with 0.5.

    Agreement says nothing.
    """
    pair = _of_signals(13, (8, 9))
    three = _of_signals(24, (12, 13, 14))
    plans = by_hand()
    return replace(
        plans,
        signals=(name,),
        checks={(0, 1): pair, (0, 1, 2): three},
        more={((0, 1), 2): check(15, 3.0)},
    )


def _of_signals(n_features: int, places: tuple[int, ...]) -> Check:
    """Log odds of 4 times what each of these features is above 0.5."""
    centre = np.zeros(n_features)
    centre[list(places)] = 0.5
    weights = np.zeros((n_features + 1, len(places)))
    for target, place in enumerate(places):
        weights[place + 1, target] = 4.0
    return Check(centre, np.ones(n_features), weights)
