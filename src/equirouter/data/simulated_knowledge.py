"""Knowledge questions of the simulated data set: terms of twelve subjects, from common to rare."""

from functools import cache
from typing import NamedTuple

from equirouter.data.simulated_draft import Draft, Pick, lettered

__all__ = ["knowledge"]

# One block per subject; 0 = a word everybody meets, 1 = a word of a first course, 2 = a rare word.
_TERMS = """
# biology
0 leaf: the flat green part of a plant that catches light
0 heart: the muscle that pumps blood through the body
0 seed: the part of a plant from which a new plant grows
0 bone: the hard tissue that holds the body upright
1 mitosis: the division of a cell into two with the same genes
1 enzyme: a protein that speeds up a reaction in a living thing
1 habitat: the surroundings in which a species normally lives
1 hormone: a messenger that travels from a gland through the blood
2 apoptosis: the orderly self-destruction of a cell
2 epistasis: the masking of one gene's effect by another gene
2 heterochrony: an evolutionary shift in the timing of development
2 plasmodesma: a channel through the wall between two plant cells
# physics
0 speed: the distance covered in a unit of time
0 magnet: a body that attracts iron
0 echo: a sound that comes back from a wall
0 weight: the pull of the Earth on a body
1 momentum: the product of mass and velocity
1 refraction: the bending of light where it enters another medium
1 resistance: the opposition of a conductor to a current
1 torque: the turning effect of a force about an axis
2 birefringence: a refractive index that depends on polarisation
2 ergodicity: the equality of time averages and ensemble averages
2 magnetostriction: a change of shape caused by magnetisation
2 helicity: the projection of a particle's spin on its momentum
# chemistry
0 ice: water in its solid form
0 rust: the brown layer that forms on iron left in the rain
0 salt: the white crystals left when sea water dries
0 smoke: fine solid particles that rise from a fire
1 catalyst: a substance that speeds up a reaction and is not used up
1 isotope: an atom of the same element with another number of neutrons
1 solvent: the liquid in which another substance is dissolved
1 polymer: a long molecule made of many equal units
2 chirality: the property of differing from one's own mirror image
2 azeotrope: a mixture that boils without changing its composition
2 tautomerism: the rapid exchange between isomers that differ in a proton
2 peptisation: the dispersal of a precipitate into a colloid
# law
0 judge: the person who decides a case in court
0 contract: an agreement that both sides must keep
0 theft: taking another person's things without permission
0 witness: a person who tells the court what was seen
1 negligence: a failure to take the care that the law expects
1 plaintiff: the side that brings a civil action
1 statute: a written law passed by a parliament
1 perjury: a deliberate lie told under oath
2 estoppel: a bar to denying what one's own conduct has asserted
2 usufruct: the right to use and enjoy the property of another
2 replevin: an action to recover goods wrongfully taken
2 cestui que trust: the beneficiary for whom a trust is held
# economics
0 price: the money paid for one piece of a good
0 wage: the money paid for an hour of work
0 tax: the money that citizens owe to the state
0 saving: the part of an income that is not spent
1 inflation: a lasting rise of the general level of prices
1 monopoly: a market with a single seller
1 subsidy: a payment by the state to support a producer
1 tariff: a duty charged on imported goods
2 monopsony: a market with a single buyer
2 seigniorage: the profit a state makes by issuing money
2 hysteresis: the persistence of unemployment after its cause is gone
2 tatonnement: the groping of prices towards an equilibrium
# medicine
0 fever: a body temperature that is too high
0 cough: a sudden push of air out of the lungs
0 bandage: a strip of cloth that covers a wound
0 allergy: a strong reaction of the body to harmless things
1 anaemia: a lack of red blood cells
1 insulin: the hormone that lowers the sugar in the blood
1 biopsy: the removal of a small piece of tissue for a test
1 placebo: a treatment without an active substance
2 dysphagia: difficulty in swallowing
2 haemoptysis: the coughing up of blood from the airways
2 amaurosis: a loss of sight without visible damage to the eye
2 steatorrhoea: an excess of fat in the stool
# history
0 castle: a strong stone house that protected a lord
0 king: a man who ruled a country by birth
0 trade: the exchange of goods between regions
0 war: an armed fight between states
1 armistice: an agreement to stop fighting for a time
1 feudalism: an order in which land was given for service
1 colony: a land ruled by a distant state
1 treaty: a written agreement between states
2 condottiere: a leader of hired soldiers in Italian city states
2 manumission: the formal release of a person from slavery
2 satrapy: a province under a Persian governor
2 interregnum: the period between two reigns
# geography
0 river: fresh water that flows towards the sea
0 island: land with water on all sides
0 desert: a region with hardly any rain
0 harbour: a sheltered place where ships lie
1 delta: the fan of land built where a river meets the sea
1 monsoon: a wind that turns with the season and brings rain
1 plateau: a high and level stretch of land
1 estuary: the tidal mouth of a river
2 isostasy: the floating balance of the crust on the mantle
2 katabatic wind: cold air that drains down a slope by its weight
2 endorheic basin: a drainage area without an outlet to the sea
2 drumlin: a hill of debris shaped by moving ice
# computing
0 mouse: the device that moves the pointer on a screen
0 password: a secret word that opens an account
0 printer: the machine that puts a document on paper
0 folder: a place that holds files
1 compiler: a program that turns source text into machine code
1 recursion: a definition that refers to itself
1 router: a device that passes packets between networks
1 cache: a small fast store for what is needed again
2 idempotence: giving the same result when applied again
2 trampolining: running tail calls in a loop instead of on the stack
2 linearisability: making concurrent operations look instantaneous
2 memoisation: keeping a function's results by its arguments
# philosophy
0 truth: the agreement of a statement with the facts
0 duty: what a person ought to do
0 doubt: not being sure that something is so
0 virtue: a good trait of character
1 empiricism: the view that knowledge comes from experience
1 utilitarianism: the view that the best act makes most people happy
1 dualism: the view that mind and body are two things
1 fallacy: an argument that looks valid and is not
2 supervenience: a dependence in which no change above goes without one below
2 haecceity: the property of being this very thing
2 akrasia: acting against one's own better judgement
2 mereology: the study of parts and wholes
# psychology
0 memory: keeping what one has learned
0 habit: something done again and again without thinking
0 dream: pictures and stories in sleep
0 fear: the feeling that warns of a danger
1 conditioning: learning that one event announces another
1 empathy: sharing the feelings of another person
1 attachment: the lasting bond between child and parent
1 anchoring: a pull of the first number heard on a later estimate
2 anosognosia: not being aware of one's own illness
2 prosopagnosia: not being able to recognise faces
2 reactance: resistance to a felt loss of freedom
2 confabulation: filling gaps of memory with invented events
# mathematics
0 triangle: a figure with three sides
0 sum: the result of adding numbers
0 half: one of two equal parts
0 circle: all the points at one distance from a centre
1 prime: a whole number with exactly two divisors
1 derivative: the rate of change of a function at a point
1 median: the middle of the values in order
1 vector: a quantity with a size and a direction
2 homeomorphism: a continuous bijection with a continuous inverse
2 nilpotence: becoming zero when raised to some power
2 semicontinuity: a one-sided form of continuity
2 idempotent: an element that equals its own square
"""

_LEVELS = ("school", "first-year university", "graduate")
_OPENINGS = (
    "Which of the following best describes {term}?",
    "What is meant by {term}?",
    "A dictionary of {subject} explains the word {term}. What does it say?",
    "Choose the best explanation of {term}.",
    "How would a textbook of {subject} define {term}?",
    "In {subject}, {term} is",
)
_NAMINGS = (
    "Which term of {subject} means: {meaning}?",
    "What do we call {meaning}?",
    "One word for {meaning} is",
    'Which word fits the description "{meaning}"?',
    "A lecture in {subject} introduces {meaning}. Under what name?",
)
_SCENES = (
    "Notes for a {level} exam in {subject} list {terms}. Which of these is {meaning}?",
    "A {level} reader on {subject} has chapters on {terms}. Which chapter treats {meaning}?",
    "Four students present {terms} in a {subject} seminar. Whose topic is {meaning}?",
)
_DENIALS = (
    "All of these statements are correct EXCEPT",
    "Which of these statements is NOT correct?",
    "Only one line below is wrong. Which one?",
)
_TRUTHS = ("True, True", "False, False", "True, False", "False, True")


@cache
def _terms() -> dict[str, list[list[tuple[str, str]]]]:
    """Subject -> tier -> (term, meaning)."""
    table: dict[str, list[list[tuple[str, str]]]] = {}
    subject = ""
    for line in _TERMS.strip().splitlines():
        if line.startswith("# "):
            subject = line[2:]
            table[subject] = [[], [], []]
        else:
            term, meaning = line[2:].split(": ")
            table[subject][int(line[0])].append((term, meaning))
    return table


class _Asked(NamedTuple):
    """What a question is about: a term with its meaning, and three that serve as wrong answers."""

    subject: str
    tier: int
    term: str
    meaning: str
    others: list[tuple[str, str]]


def knowledge(pick: Pick) -> Draft:
    """Multiple choice on a term; harder with rarer words, near distractors and denials."""
    near = pick.chance(0.6)
    asked = _chosen(pick, near=near)
    form, extra = pick.one(
        ((_define, 0.0), (_name, 0.2), (_scene, 0.3), (_statements, 0.8), (_except, 1.0))
    )
    return Draft(form(pick, asked), asked.tier + extra + 0.4 * near)


def _chosen(pick: Pick, *, near: bool) -> _Asked:
    """A term and three others of its tier: of the same subject if near, else of other subjects."""
    subject, tier = pick.one(list(_terms())), pick.number(0, 2)
    (term, meaning), *others = pick.some(_terms()[subject][tier], 4)
    if not near:
        subjects = pick.some([other for other in _terms() if other != subject], 3)
        others = [pick.one(_terms()[other][tier]) for other in subjects]
    return _Asked(subject, tier, term, meaning, others)


def _define(pick: Pick, asked: _Asked) -> str:
    opening = pick.one(_OPENINGS).format(term=asked.term, subject=asked.subject)
    meanings = [asked.meaning, *(meaning for _, meaning in asked.others)]
    return f"{opening}\n{lettered(pick.some(meanings, 4))}"


def _name(pick: Pick, asked: _Asked) -> str:
    naming = pick.one(_NAMINGS).format(meaning=asked.meaning, subject=asked.subject)
    return f"{naming}\n{lettered(_names(pick, asked))}"


def _scene(pick: Pick, asked: _Asked) -> str:
    names = _names(pick, asked)
    return pick.one(_SCENES).format(
        level=_LEVELS[asked.tier],
        subject=asked.subject,
        terms=", ".join(names[:3]) + f" and {names[3]}",
        meaning=asked.meaning,
    )


def _statements(pick: Pick, asked: _Asked) -> str:
    lines = [f"Two statements on {asked.subject}."]
    for place, (name, meaning) in enumerate([(asked.term, asked.meaning), asked.others[0]], 1):
        said = meaning if pick.chance(0.5) else asked.others[place][1]
        lines.append(f"Statement {place}: {name} means {said}.")
    return "\n".join([*lines, lettered(_TRUTHS)])


def _except(pick: Pick, asked: _Asked) -> str:
    opening = pick.one(_DENIALS)
    wrong = (asked.term, asked.others[2][1])
    pairs = pick.some([*asked.others[:2], wrong], 3)
    return f"{opening}\n{lettered([f'{name}: {said}' for name, said in pairs])}"


def _names(pick: Pick, asked: _Asked) -> list[str]:
    return pick.some([asked.term, *(name for name, _ in asked.others)], 4)
