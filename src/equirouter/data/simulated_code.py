"""Programming tasks of the simulated data set: harder tasks, more conditions, longer code."""

from equirouter.data.simulated_draft import Draft, Pick

__all__ = ["code"]

# by difficulty: what the function does, and a name for it
_TASKS: tuple[tuple[tuple[str, str], ...], ...] = (
    (
        ("add up the numbers in a list", "total"),
        ("return the largest number in a list", "largest"),
        ("count the vowels in a string", "count_vowels"),
        ("check whether a number is even", "is_even"),
        ("reverse a string", "reverse_text"),
        ("convert degrees Celsius to Fahrenheit", "to_fahrenheit"),
        ("find the length of the longest word in a sentence", "longest_word"),
        ("remove the duplicates from a list", "unique_items"),
        ("square every number in a list", "squares"),
        ("join a list of words with commas", "join_words"),
        ("count how often a letter occurs in a word", "count_letter"),
        ("compute the area of a rectangle", "area"),
    ),
    (
        ("merge two sorted lists into one sorted list", "merge_sorted"),
        ("check whether the brackets in a string are balanced", "is_balanced"),
        ("group words that are anagrams of each other", "group_anagrams"),
        ("convert a Roman numeral to an integer", "from_roman"),
        ("rotate a matrix by ninety degrees", "rotate_matrix"),
        ("find the longest common prefix of several strings", "common_prefix"),
        ("flatten a nested list of any depth", "flatten"),
        ("find all pairs of numbers with a given sum", "pairs_with_sum"),
        ("encode a string by run lengths", "run_length"),
        ("list the prime factors of an integer", "prime_factors"),
        ("search a sorted list by bisection", "bisect_search"),
        ("validate the checksum of a card number", "checksum_ok"),
    ),
    (
        ("find the minimum number of coins for an amount by dynamic programming", "min_coins"),
        ("return the strongly connected components of a directed graph", "components"),
        ("match a string against a pattern with wildcards by memoised recursion", "matches"),
        ("find the longest palindromic subsequence of a string", "longest_palindrome"),
        ("compute the edit distance with transpositions of two strings", "edit_distance"),
        ("find the shortest path in a weighted graph with a priority queue", "shortest_path"),
        ("count the topological orderings of an acyclic graph", "count_orderings"),
        ("maintain a least-recently-used cache in constant time", "lru_cache_step"),
        ("find the maximum flow between two nodes by augmenting paths", "max_flow"),
        ("build a suffix array and its longest common prefixes", "suffix_array"),
        ("solve a system of linear congruences", "solve_congruences"),
        ("find the convex hull of a set of points", "convex_hull"),
    ),
)
_CONDITIONS = (
    "Return None for an empty input.",
    "Do not use any library.",
    "It must run in O(n log n) time.",
    "Do not use recursion.",
    "Ignore upper and lower case.",
    "Keep the original order.",
    "Raise ValueError for a negative number.",
    "Use constant extra memory.",
    "Break ties by the smaller index.",
    "The input may hold up to {n} million items.",
    "Work for Unicode text as well.",
    "Return the result as a tuple of {k} parts.",
)
_OPENINGS = (
    "Write a Python function `{name}` to {task}.",
    "Write a function {name}({args}) that can {task}.",
    "Implement `{name}({args})` in Python: it should {task}.",
    "I need a short Python function called {name} to {task}.",
    "Please write `{name}` so that it will {task}.",
)
_ARGUMENTS = ("values", "items", "data", "x", "first, second", "text", "numbers, k", "rows", "seq")
_PREFIXES = ("", "", "get_", "my_", "find_", "compute_", "do_", "safe_", "fast_", "simple_")
_CODE_LINES = (
    "    result = []",
    "    seen = set()",
    "    for index, value in enumerate({args}):",
    "        if value in seen:",
    "            continue",
    "        seen.add(value)",
    "        while stack and stack[-1] > value:",
    "            best = max(best, stack.pop() * (index - {k}))",
    "        table[index][{k}] = min(table[index - 1][{k}], table[index][{k} - 1] + {n})",
    "        queue.append((value, index + {k}))",
    "    left, right = 0, len({args}) - {k}",
    "    return result",
)
_SNIPPETS = (
    "Complete this start:",
    "Find the bug in this attempt and fix it:",
    "Begin from this code:",
)


def code(pick: Pick) -> Draft:
    """A function to write; harder with a harder task, more conditions and code to start from."""
    tier = pick.number(0, 2)
    task, base = pick.one(_TASKS[tier])
    name = pick.one(_PREFIXES) + base
    args = pick.one(_ARGUMENTS)
    parts = [pick.one(_OPENINGS).format(name=name, task=task, args=args)]
    n_conditions = pick.one((0, 0, 1, 1, 2, 3))
    parts += [
        condition.format(n=pick.number(1, 90), k=pick.number(2, 5))
        for condition in pick.some(_CONDITIONS, n_conditions)
    ]
    n_lines = pick.one((0, 0, 0, 3, 5, 8))
    text = " ".join(parts)
    if n_lines:
        text += f" {pick.one(_SNIPPETS)}\n{_snippet(pick, name, args, n_lines)}"
    elif pick.chance(0.6):
        text += f"\nassert {name}({_example(pick)}) == {pick.number(0, 99)}"
    return Draft(text, 1.1 * tier + 0.35 * n_conditions + 0.12 * n_lines)


def _snippet(pick: Pick, name: str, args: str, n_lines: int) -> str:
    first = pick.number(0, len(_CODE_LINES) - n_lines)
    first_arg = args.split(",")[0]
    lines = [
        line.format(args=first_arg, k=pick.number(0, 3), n=pick.number(1, 9))
        for line in _CODE_LINES[first : first + n_lines]
    ]
    return "\n".join([f"def {name}({args}):", *lines])


def _example(pick: Pick) -> str:
    return str([pick.number(0, 60) for _ in range(pick.number(2, 5))])
