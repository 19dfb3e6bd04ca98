"""Queries that nobody asks but to do harm, generated: twenty of each kind, the same at each run."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

COUNT = 20

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_CONTROLS = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0), 0x200B, 0x200E, 0x202E, 0x2066, 0xFEFF)))
_MARKS = "".join(map(chr, range(0x0300, 0x0370)))
_REGULAR = ("(a+)+$", "(.*)*x", "^(([a-z])+.)+[A-Z]([a-z])+$", "(a|a)*b", "(?:x{1,999}){1,999}", r"(\w+\s?)*!")
_OPERATORS = ("AND", "OR", "NOT", "NEAR/9", "label:", '"', "+", "-", "^9", "\\", "&&", "||", "code:*", "ANDMAYBE")


def _long(chance: random.Random, _: Sequence[str]) -> str:
    letters = chance.choices(_LETTERS, k=chance.randint(1, len(_LETTERS)))
    return "".join(chance.choices(letters, k=100_000))


def _ranges(chance: random.Random, words: Sequence[str]) -> str:
    ends = ("*", "a", "z", chance.choice(words), "")
    opened, closed = chance.choice("[{"), chance.choice("]}")
    one = f"{opened}{chance.choice(ends)} TO {chance.choice(ends)}{closed}"
    return " ".join(chance.choice(("[a TO z]", one)) for _ in range(chance.choice((1, 10, 1_000))))


def _wildcards(chance: random.Random, _: Sequence[str]) -> str:
    stars = ("*{}*", "?{}*", "*{}", "{}*", "*{}?*{}*")
    return " ".join(chance.choice(stars).replace("{}", chance.choice(_LETTERS)) for _ in range(200))


def _fuzzies(chance: random.Random, words: Sequence[str]) -> str:
    return " ".join(f"{chance.choice((chance.choice(words), ''))}~{chance.randint(2, 9)}" for _ in range(200))


def _terms(chance: random.Random, words: Sequence[str]) -> str:
    return " ".join(chance.choices(words, k=20_000))


def _parentheses(chance: random.Random, words: Sequence[str]) -> str:
    count = chance.randint(1_000, 9_000)
    shape = chance.choice(("(" * count + "{}" + ")" * count, "()" * count + "{}", "(" * count + "{}", "({}" * count))
    return shape.replace("{}", chance.choice(words))


def _letters(chance: random.Random, _: Sequence[str]) -> str:
    return chance.choice(_LETTERS + "éœ0*")


def _controls(chance: random.Random, words: Sequence[str]) -> str:
    return "".join(chance.choice(_CONTROLS) + chance.choice(("", "", chance.choice(words))) for _ in range(2_000))


def _marks(chance: random.Random, words: Sequence[str]) -> str:
    many = chance.randint(1, 5_000)
    return "".join(letter + "".join(chance.choices(_MARKS, k=many)) for letter in chance.choice(words))


def _surrogates(chance: random.Random, words: Sequence[str]) -> str:
    return "".join(chr(chance.randint(0xD800, 0xDFFF)) + chance.choice(words) for _ in range(chance.randint(1, 200)))


def _regular(chance: random.Random, words: Sequence[str]) -> str:
    return " ".join(f"{chance.choice(_REGULAR)}{'a' * chance.randint(1, 40)}!" for _ in range(chance.choice((1, 50))))


def _operators(chance: random.Random, words: Sequence[str]) -> str:
    return " ".join(f"{chance.choice(_OPERATORS)} {chance.choice(words)}" for _ in range(chance.choice((2, 10, 500))))


def _joined(chance: random.Random, words: Sequence[str]) -> str:
    joint = chance.choice(("'", "-", ".", "_", "/"))
    return joint.join(chance.choice(("a", "d", chance.choice(words))) for _ in range(5_000))


def _misspelt(chance: random.Random, words: Sequence[str]) -> str:
    return " ".join(_with_errors(chance, chance.choice(words)) for _ in range(12))


def _with_errors(chance: random.Random, word: str) -> str:
    for _ in range(2):
        place = chance.randrange(len(word) + 1)
        word = word[:place] + chance.choice(_LETTERS) + word[place + chance.randint(0, 1) :]
    return word


def _glued(chance: random.Random, words: Sequence[str]) -> str:
    return "".join(chance.choices(words, k=chance.randint(2, 40)))


def _beginnings(chance: random.Random, words: Sequence[str]) -> str:
    return " ".join([*chance.choices(words, k=9), chance.choice(words)[: chance.randint(1, 3)]])


def _everywhere(chance: random.Random, words: Sequence[str]) -> str:
    text = "".join(
        chr(chance.choice((0x20, 0x1F600, 0x5D0, 0x4E00, 0xFB00)) + chance.randint(0, 60)) for _ in range(500)
    )
    return f"{text} {chance.choice(words)}"


KINDS: dict[str, Callable[[random.Random, Sequence[str]], str]] = {
    "100,000 letters": _long,
    "ranges": _ranges,
    "200 wildcards": _wildcards,
    "200 fuzzy terms": _fuzzies,
    "20,000 terms": _terms,
    "parentheses": _parentheses,
    "one letter": _letters,
    "control characters": _controls,
    "combining accents": _marks,
    "lone surrogates": _surrogates,
    "regular expressions": _regular,
    "operators": _operators,
    "joined words": _joined,
    "misspelt words": _misspelt,
    "glued words": _glued,
    "common words and a beginning": _beginnings,
    "other scripts": _everywhere,
}


def queries(kind: str, words: Sequence[str]) -> Iterator[str]:
    """Twenty queries of a kind; ``words`` are words that the index knows, which some are made of."""
    for number in range(COUNT):
        yield KINDS[kind](random.Random(f"{kind} {number}"), words)
