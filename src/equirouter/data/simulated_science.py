"""School science questions of the simulated data set."""

from functools import cache

from equirouter.data.simulated_draft import NAMES, Draft, Pick, lettered, phrases

__all__ = ["science"]

# Lines that start with two spaces go on with the line above.
# tier | stem | the right answer first, then three others
_STEMS = """
0 | {name} leaves {n} grams of ice on a plate in the sun. What happens to it? | It melts. | It
  burns. | It grows. | It turns to salt.
0 | {name} sees that {thing} sinks in water. Why? | It is denser than water. | It is wet. | It is
  old. | It is larger than the glass.
0 | Which part of the plant that {name} waters every {n} hours takes up the water? | The roots |
  The flower | The fruit | The bark
0 | {name} rubs both hands for {n} seconds. What makes them warm? | Friction | Light | Magnetism |
  Sound
0 | What does {name} need most to see {thing} in a dark room? | A source of light | A louder sound
  | More air | A warmer floor
0 | {name} pushes {thing} along the floor for {n} metres and lets go. Why does it stop? | Friction
  slows it. | It loses its weight. | The air pulls it. | It runs out of mass.
0 | {name} counts {n} animals near a pond. Which of them is a mammal? | The otter | The frog | The
  heron | The carp
0 | Which tool should {name} use to find the mass of {thing}? | A balance | A ruler | A clock | A
  thermometer
0 | {name} puts {thing} behind a closed window and it is warmer after {n} minutes. What carried
  the energy? | Sunlight | Sound | Rain | Gravity
0 | A puddle of {n} millimetres is gone by noon, writes {name}. Where is the water? | In the air |
  In the clouds' shadow | In the light | In the iron
1 | {name} connects {n} equal lamps in series instead of one. What happens to the current? | It
  falls. | It rises. | It is the same. | It changes direction.
1 | In a food web with {n} species, {name} removes all the plants. What is lost first? | The plant
  eaters | The top hunters | The sunlight | The minerals
1 | {name} heats a sealed can of gas by {n} degrees. What happens to the pressure? | It rises. |
  It falls. | It stays the same. | It becomes zero.
1 | {name} measures a wave with a period of {n} milliseconds. Which other quantity follows at
  once? | The frequency | The amplitude | The colour | The energy
1 | Rock {n} metres down shows layers tilted by a fault. What does {name} conclude about the
  fault? | It is younger than the layers. | It is older than the layers. | It melted the layers. |
  It made the layers.
1 | {name} mixes {n} millilitres of acid with as much base and the mixture warms up. What kind of
  change is this? | An exothermic reaction | A change of state | Sublimation | Diffusion
1 | The moon rises later each day in the log that {name} kept for {n} days. Why? | It moves along
  its orbit. | The Earth slows down. | The sun is nearer. | The air bends its light.
1 | {name} weighs {thing} on a mountain {n} metres high. Which property is unchanged? | Its mass |
  Its weight | The air pressure on it | The boiling point of water
1 | {name} crosses two pea plants and gets {n} tall ones and no short ones. What does that
  suggest? | Tallness is dominant. | Tallness is recessive. | The soil was poor. | The plants were
  clones.
1 | {name} keeps yeast and sugar warm for {n} minutes, and bubbles rise. Which gas is it? | Carbon
  dioxide | Oxygen | Hydrogen | Nitrogen
2 | {name} raises the substrate concentration {n}-fold, but the rate of the enzyme reaches a
  plateau. Why? | The active sites are saturated. | The substrate is denatured. | The equilibrium
  constant falls. | The activation energy rises.
2 | {name} finds that {n} generations of isolation changed allele frequencies in a tiny island
  population without selection. Which mechanism explains it? | Genetic drift | Stabilising
  selection | Convergent evolution | Polyploidy
2 | The spectrum of a galaxy studied by {name} is shifted by {n} nanometres towards the red. What
  does that indicate? | It recedes from us. | It approaches us. | It rotates faster. | It has no
  hydrogen.
2 | {name} dissolves {n} millimoles of a sparingly soluble salt and then adds a common ion. What
  happens to its solubility? | It decreases. | It increases. | It is unchanged. | It oscillates.
2 | Shear waves never cross the outer core in {n} seismograms read by {name}. What does that
  imply? | It is liquid. | It is hollow. | It is colder. | It is magnetised.
2 | {name} cools {n} grams of a superconductor and it expels the field. Which effect
  is observed? | The Meissner effect | The Doppler effect | The Hall effect | The photoelectric
  effect
2 | A lake with {n} micrograms of phosphate per litre turns green, and {name} finds dead fish.
  What is the chain of causes called? | Eutrophication | Biomagnification | Nitrogen fixation |
  Desalination
2 | {name} lets {n} litres of an ideal gas expand isothermally. What happens to its entropy? | It
  increases. | It decreases. | It stays constant. | It vanishes.
2 | {name} inhibits the proton gradient of isolated mitochondria for {n} minutes. Which product
  falls first? | ATP | Glucose | Lactate | Urea
2 | Red light fails to eject electrons from a metal at any of {n} intensities, notes {name}. Why?
  | Its photons are below the work function. | Its amplitude is too small. | The
  metal is too thick. | The electrons are already free.
"""
_THINGS = phrases(
    "a wooden block, an iron nail, a glass marble, a small stone, a copper coin, a rubber ball, "
    "a clay pot, a steel spoon, a wet sponge, a paper boat"
)
_CONTROLS = (
    "The temperature of the room is kept the same.",
    "The experiment is repeated {n} times with the same result.",
    "A second group changes only the mass and sees no difference.",
    "A control sample is left untouched for {n} hours.",
    "The instrument was calibrated against a known standard before.",
    "An earlier report had found the opposite in a larger sample of {n}.",
    "The uncertainty of each reading is {n} units.",
)
_OPENINGS = (
    "",
    "Science class, {place}. ",
    "From a worksheet for {place}: ",
    "On a trip to {place}, the teacher asks this. ",
)
_PLACES = phrases(
    "the coast, the mountains, a farm, the museum, the harbour, the forest, the old quarry, "
    "the weather station, the greenhouse, the workshop"
)


@cache
def _stems() -> list[list[list[str]]]:
    """Tier -> [stem, right answer, three others]."""
    tiers: list[list[list[str]]] = [[], [], []]
    for line in _STEMS.strip().replace("\n  ", " ").splitlines():
        tier, *parts = line.split(" | ")
        tiers[int(tier)].append(parts)
    return tiers


def science(pick: Pick) -> Draft:
    """Multiple choice on an observation; harder with rarer terms and more stated conditions."""
    tier = pick.number(0, 2)
    stem, *answers = pick.one(_stems()[tier])
    n_controls = pick.one((0, 0, 1, 1, 2, 3))
    controls = [c.format(n=pick.number(2, 40)) for c in pick.some(_CONTROLS, n_controls)]
    opening = pick.one(_OPENINGS).format(place=pick.one(_PLACES))
    asked = stem.format(name=pick.one(NAMES), n=pick.number(3, 400), thing=pick.one(_THINGS))
    body = " ".join([opening + asked, *controls])
    return Draft(f"{body}\n{lettered(pick.some(answers, 4))}", tier + 0.45 * n_controls)
