"""French text as a search sees it: folded, cut into words, stemmed. Pure functions, the same for documents and queries.

``words`` is the centre: it lower-cases and strips accents (``œ`` is ``oe``), drops elided articles (``l'aide`` is
``aide``), joins dotted acronyms (``A.P.A.`` is ``apa``), gives hyphenated compounds whole and in parts
(``socio-professionnel`` also answers to ``socioprofessionnel``), marks French stop words and stems lightly: plural
and feminine only, so that two different words seldom meet. Offsets are those of the text as it was given,
so that what matched can be shown. Nothing here ever raises, whatever the text: lone surrogates, NUL, any script.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

STOP_WORDS = frozenset(
    "a ai ainsi alors an apres as au aucun aucune aussi autre autres aux avec avoir avant c ca car ce ceci cela celle"
    " celles celui ces cet cette ceux chaque chez ci combien comme comment d dans de depuis des devant doit doivent"
    " donc dont du elle elles en entre es est et etc etre eu eux faire fait faut g il ils j je jusque l la le les leur"
    " leurs lors lorsque lui m ma mais me meme memes mes moi mon n ne ni nos notre nous on ont ou par parce pas"
    " pendant peu peut peux plus pour pourquoi puis puisque qu quand que quel quelle quelles quels qui quoi rien s sa"
    " sans se selon sera ses si soit son sont sous suis sur t ta te tes toi ton tous tout toute toutes tres trop tu un"
    " une va vais vers veut veux voici voila vos votre vous vu y".split()
)
"""Folded words that say nothing by themselves; single letters stand here because elision leaves them behind."""

WEAK_WORDS = frozenset(
    "actuellement aimer aller an annee annees ans arrive arriver assez attendre aujourd autour autre avant avoir"
    " beaucoup besoin bien bientot bon bonjour bonne ca cas cause cela certain certains chaque cher cherche"
    " chercher chose choses comprendre comprends concernant connaitre continuer debut deja demain demander depuis"
    " dernier derniere dessous dessus deux devenir devient devoir dire disent dois donner durant encore enfin"
    " ensuite envie envoie envoye envoyer exemple facon faudrait faut fera fin fini fois font gens grand grande"
    " gros grosse hier histoire hui ici ils jamais jour jours juste laisser loin longtemps madame maintenant"
    " manque mauvais merci mettre mieux moins mois moment monde monsieur nombreux obtenir parfois partir pas"
    " passer petit petite petits plusieurs plutot possible pouvoir prendre presque probleme problemes prochain"
    " promis propre puisse quelqu quelque quelques quelquun question quotidien raison rapidement refuse rendre"
    " rester retour retrouver savoir semaine seulement situation soir souvent temps tenir toucher toujours"
    " tranquille tres trois trop trouver type utiliser venir vit vite vivre voir voudrais vouloir vrai vraiment".split()
)
"""Folded words of ordinary sentences that say little of what is meant: they count for little, and are not corrected."""

TELLING = frozenset("elle il ils j je m ma me mes moi mon n ne nos notre nous on qu que qui sa se ses son".split())
"""Folded stop words that a sentence holds and the name of a thing does not: somebody tells what happens."""

ELISIONS = frozenset("c d j jusqu l lorsqu m n presqu puisqu qu quelqu quoiqu s t".split())
"""What may stand before an apostrophe and be dropped."""

_UNITS = {"h": "heure", "j": "jour"}
"""Letters glued to a number: ``72h`` is ``72 heures``."""

_APOSTROPHES = "'’‘ʼ´`′＇"
_ONE_FOR_ONE = re.compile(r"[\x00-\x7fÀ-ÅÇ-Ýà-åç-ý’«»–—]*")
"""Texts in which each character folds to one: offsets need no table."""

_CHUNK = re.compile(r"[^\W_]+(?:[-'.][^\W_]+)*")
_PIECE = re.compile(r"[^\W_]+")
_DOTTED = re.compile(r"(?<![^\W_])[^\W\d_](?:\.[^\W\d_])+(?![^\W_])")
_NUMBER_AND_LETTERS = re.compile(r"([0-9]+)([a-z]+)")


class Word(NamedTuple):
    """One word of a text: how it is written once folded, its stem, and where it stands in the text as given.

    ``whole`` is the compound of which this word is a part, in one word (``socioprofessionnel``), or empty.
    """

    text: str
    stem: str
    start: int
    end: int
    stop: bool = False
    whole: str = ""


class _Folds(dict[int, str]):
    """What each character becomes. Only the scripts in daily use are remembered: memory stays bounded."""

    def __missing__(self, point: int) -> str:
        folded = _fold_character(chr(point))
        if point < 0x3000:
            self[point] = folded
        return folded


def _fold_character(character: str) -> str:
    if character in _APOSTROPHES:
        return "'"
    before, text = "", character
    # Compatibility forms can hide capitals and capitals can hide marks, so fold until nothing changes.
    while text != before:
        before = text
        text = unicodedata.normalize("NFKD", text.casefold()).replace("œ", "oe").replace("æ", "ae").replace("ø", "o")
        text = "".join("'" if part in _APOSTROPHES else part for part in text if not unicodedata.combining(part))
    if len(text) > 1 and any(part.isalnum() for part in text):
        # One character stays within one word: ¼ is 14, not 1 then 4 in the same place.
        text = "".join(part for part in text if part.isalnum())
    kinds = {unicodedata.category(part) for part in text}
    if kinds == {"Cf"}:
        return ""
    return " " if kinds & {"Cc", "Zs", "Zl", "Zp"} else text


_FOLDS = _Folds()


def fold(text: str) -> str:
    """The text in lower case, without accents, ligatures, invisible characters or typographic apostrophes.

    Folding twice changes nothing more.
    """
    return text.translate(_FOLDS)


def key(text: str) -> str:
    """The text reduced to its folded letters and digits with single spaces between: what an exact match compares."""
    folded = _DOTTED.sub(lambda match: match[0].replace(".", ""), fold(text))
    return " ".join(_PIECE.findall(folded))


def squeezed(text: str) -> str:
    """The folded letters and digits alone: ``TA-AUT-100``, ``ta aut 100`` and ``taaut100`` are one."""
    return "".join(_PIECE.findall(fold(text)))


def words(text: str) -> tuple[Word, ...]:
    """The words of a text in order, stop words included and marked, with their offsets in the text as given."""
    return _remembered(text) if len(text) <= 500 else _words(text)


@lru_cache(maxsize=512)
def _remembered(text: str) -> tuple[Word, ...]:
    # Building asks four times in a row for the words of a label; long notes are not worth their memory.
    return _words(text)


def _words(text: str) -> tuple[Word, ...]:
    folded = fold(text)
    origins = None if _ONE_FOR_ONE.fullmatch(text) else _origins(text)
    found: list[Word] = []
    for chunk in _CHUNK.finditer(folded):
        at = chunk.start()
        for word, stem, start, end, stop, whole in _words_of(chunk[0]):
            if origins is None:
                found.append(Word(word, stem, at + start, at + end, stop, whole))
            else:
                # The character after the last one of the word ends it, so that a combining accent is inside.
                last = _end(text, origins[at + end - 1])
                found.append(Word(word, stem, origins[at + start], last, stop, whole))
    return tuple(found)


def stems(text: str) -> list[str]:
    """The stems under which a text is found: of its words but the stop words, then of its compounds."""
    found = words(text)
    parts = [word.stem for word in found if not word.stop]
    return parts + list(dict.fromkeys(stem(word.whole) for word in found if word.whole))


def _origins(text: str) -> list[int]:
    return [index for index, character in enumerate(text) for _ in _FOLDS[ord(character)]]


def _end(text: str, last: int) -> int:
    end = last + 1
    while end < len(text) and unicodedata.combining(text[end]):
        end += 1
    return end


def _words_of(chunk: str) -> Sequence[Word]:
    """The words of what stands between spaces, with their offsets in it; most chunks come again and again."""
    return _remembered_chunk(chunk) if len(chunk) <= 40 else _cut(chunk)


@lru_cache(maxsize=16384)
def _remembered_chunk(chunk: str) -> Sequence[Word]:
    return _cut(chunk)


def _cut(chunk: str) -> Sequence[Word]:
    if chunk.isalnum():
        return _word(chunk, 0)
    if _DOTTED.fullmatch(chunk):
        acronym = chunk.replace(".", "")
        return [Word(acronym, stem(acronym), 0, len(chunk))]
    found: list[Word] = []
    for run in re.finditer(r"[^']+", chunk):
        elided = run.end() < len(chunk) and run[0] in ELISIONS
        found += [Word(run[0], run[0], run.start(), run.end(), True)] if elided else _parts(run)
    return found


def _parts(run: re.Match[str]) -> list[Word]:
    """The parts of a run of words joined by hyphens or dots."""
    pieces = list(_PIECE.finditer(run[0]))
    if len(pieces) == 1:
        return _word(run[0], run.start())
    hyphenated = "." not in run[0] and not any(piece[0].isdigit() for piece in pieces)
    whole = "".join(piece[0] for piece in pieces) if hyphenated else ""
    return [
        Word(piece[0], stem(piece[0]), start, start + len(piece[0]), piece[0] in STOP_WORDS, whole)
        for piece in pieces
        for start in (run.start() + piece.start(),)
    ]


def _word(text: str, start: int) -> list[Word]:
    measure = text[:1].isdigit() and _NUMBER_AND_LETTERS.fullmatch(text)
    if measure and measure[2] in _UNITS:
        middle = start + len(measure[1])
        unit = _UNITS[measure[2]]
        return [
            Word(measure[1], measure[1], start, middle, whole=text),
            Word(unit, stem(unit), middle, start + len(text), whole=text),
        ]
    return [Word(text, stem(text), start, start + len(text), text in STOP_WORDS)]


_ENDINGS = (
    # (ending, what takes its place, least length of the word): the first that fits is applied, once.
    ("eaux", "eau", 5),
    ("aux", "al", 6),
    ("trices", "teu", 8),
    ("trice", "teu", 7),
    ("euses", "eu", 7),
    ("euse", "eu", 6),
    ("eurs", "eu", 7),
    ("eur", "eu", 6),
    ("eux", "eu", 4),
    ("elles", "el", 7),
    ("elle", "el", 6),
    ("ennes", "en", 7),
    ("enne", "en", 6),
    ("onnes", "on", 7),
    ("onne", "on", 6),
    ("ettes", "et", 7),
    ("ette", "et", 6),
    ("ives", "if", 6),
    ("ive", "if", 5),
    ("ifs", "if", 5),
    ("iques", "ic", 7),
    ("ique", "ic", 6),
    ("es", "", 5),
    ("e", "", 4),
    ("s", "", 4),
    ("x", "", 4),
)
_IRREGULAR = {"travaux": "travail", "baux": "bail", "yeux": "oeil", "ans": "an", "annees": "an", "annee": "an"}


@lru_cache(maxsize=16384)
def stem(word: str) -> str:
    """A folded word without the marks of plural and feminine; words of three letters, and with digits, stay whole."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or not word.isalpha():
        return word
    if word.endswith("ss"):
        return word
    if word.endswith(("ee", "ees")):
        # A feminine participle is its masculine: âgée is âgé, whatever becomes of âgé.
        return stem(word[: word.rindex("e")])
    for ending, instead, least in _ENDINGS:
        if len(word) >= least and word.endswith(ending):
            return word[: -len(ending)] + instead
    return word


_DERIVATIONS = sorted(
    (
        "issement ement ment ation ition ion ateu iteu teu eu ier er ir ant anc enc abl ibl atif itif if"
        " ag at al el e i"
    ).split(),
    key=lambda ending: (-len(ending), ending),
)


@lru_cache(maxsize=16384)
def root(stem: str) -> str:
    """What a stem shares with words of its family (``ménage``, ``ménager``; ``logement``, ``loger``), else itself.

    Far rougher than a stem: only good for finding something where stems find too little.
    """
    for ending in _DERIVATIONS:
        if stem.endswith(ending) and len(stem) - len(ending) >= 4:
            return stem[: -len(ending)]
    return stem


def initials(label: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The acronym that a label makes, with the places of its letters; empty unless it has three to eight words.

    A label that already holds an acronym (``PCH aide humaine``) or a number makes none.
    """
    if re.search(r"[A-Z]{2}|[0-9]", label):
        return "", ()
    kept = [word for word in words(label) if not word.stop]
    if not 3 <= len(kept) <= 8:
        return "", ()
    return "".join(word.text[0] for word in kept), tuple((word.start, word.start + 1) for word in kept)


def is_acronym(text: str) -> bool:
    """Whether a label is written as an acronym: two to eight capitals or digits, perhaps with dots or hyphens."""
    if not text.isupper():
        return False
    bare = re.sub(r"[.\s-]", "", text)
    return 2 <= len(bare) <= 8 and bare.isalnum() and len(text.split()) == 1
