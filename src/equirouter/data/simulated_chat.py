"""Open requests of the simulated data set, in the manner of a judged chat: more asked is harder."""

from equirouter.data.simulated_draft import NAMES, Draft, Pick, phrases

__all__ = ["chat"]

_TOPICS = (
    phrases(
        "a day at the beach, my cat, a birthday party, breakfast, the first day of school, "
        "a rainy Sunday, my favourite soup, a walk in the park, learning to swim, a new bicycle"
    ),
    phrases(
        "working from home, the history of the bicycle, saving for retirement, city noise, "
        "teaching teenagers to budget, renewable energy, a museum at night, public libraries, "
        "a delayed train, team meetings"
    ),
    phrases(
        "the ethics of gene drives, Bayesian reasoning in court, the Nash bargaining solution, "
        "counterpoint in late Renaissance motets, quantum error correction, dark pools, "
        "the measurement problem, ergodic growth in economics, speech acts and irony, "
        "antimicrobial stewardship"
    ),
)
_FORMS = (
    ("a short poem", 0.0),
    ("an email", 0.0),
    ("a friendly message", 0.0),
    ("a blog post", 0.2),
    ("a list of tips", 0.1),
    ("a speech of two minutes", 0.3),
    ("a dialogue between two experts", 0.5),
    ("a product review", 0.2),
    ("a critical essay", 0.6),
    ("a sonnet", 0.8),
    ("a debate with arguments for both sides", 0.6),
    ("a step-by-step explanation", 0.4),
)
_ROLES = (
    "",
    "",
    "You are a travel guide. ",
    "Pretend to be a kind grandfather. ",
    "Act as a strict editor. ",
    "You are a physician who writes for newspapers. ",
    "Answer as a chess coach. ",
)
_READERS = (
    "a child of eight",
    "my manager",
    "new neighbours",
    "a board of directors",
    "readers of a local paper",
    "first-year students",
    "a sceptical reviewer",
    "my friend {name}",
)
_CONSTRAINTS = (
    "Use no more than {n} words.",
    "Every sentence must start with a different letter.",
    'Do not use the word "and".',
    "Mention exactly {k} numbers.",
    "End with a question.",
    "Cite {k} counterarguments and refute each.",
    "Give the answer as a table with {k} columns.",
    "Include one metaphor and explain it.",
    "Keep the tone formal.",
    "Write the first letters so that they spell {name}.",
)
_SECOND_TURNS = (
    "Then rewrite it in the third person.",
    "Afterwards translate the last paragraph into French.",
    "Finally grade your own answer and correct one flaw.",
    "Then shorten it to {k} sentences without losing a fact.",
    "After that, list the assumptions you made.",
)


def chat(pick: Pick) -> Draft:
    """An open request; harder with a rarer topic, a stricter form and more constraints."""
    tier = pick.number(0, 2)
    form, extra = pick.one(_FORMS)
    reader = pick.one(_READERS).format(name=pick.one(NAMES))
    verb = pick.one(("Write", "Compose", "Draft", "Please write", "Help me write"))
    parts = [f"{pick.one(_ROLES)}{verb} {form} about {pick.one(_TOPICS[tier])} for {reader}."]
    n_constraints = pick.one((0, 0, 1, 1, 2, 3, 4))
    n_turns = pick.one((0, 0, 1))
    asked = pick.some(_CONSTRAINTS, n_constraints) + pick.some(_SECOND_TURNS, n_turns)
    parts += [
        sentence.format(
            n=10 * pick.number(5, 40), k=pick.number(2, 6), name=pick.one(NAMES).upper()
        )
        for sentence in asked
    ]
    return Draft(" ".join(parts), 0.7 * tier + extra + 0.4 * n_constraints + 0.6 * n_turns)
