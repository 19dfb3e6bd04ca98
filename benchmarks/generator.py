"""A made-up nomenclature of any size, always the same for the same size: three levels, French texts, lineage.

Its texts follow the habits of social services (an act, an object, a public, a place), so that labels share words as
real ones do and stay distinct. One concept in a hundred is deprecated, with its successor.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from registry import keys
from registry.crosswalks import LocalCode, Mapping, Relation
from registry.keys import Keys
from registry.model import Concept, Link, Nomenclature, Release, french, texts
from registry.store import Store

SLUG = "banc-d-essai"
FIRST_DAY = date(2020, 1, 1)
LEAVES = 20
"""How many concepts stand under one of the second level, and how many of these under one of the first."""

_ACTS = (
    ("Aide", "Soutien"),
    ("Accompagnement", "Suivi"),
    ("Hébergement", "Accueil avec nuitée"),
    ("Orientation", "Aiguillage"),
    ("Évaluation", "Bilan"),
    ("Médiation", "Conciliation"),
    ("Information", "Renseignement"),
    ("Placement", "Prise en charge"),
    ("Allocation", "Prestation"),
    ("Intervention", "Action"),
    ("Coordination", "Mise en réseau"),
    ("Instruction", "Traitement du dossier"),
    ("Prévention", "Action précoce"),
    ("Protection", "Sauvegarde"),
    ("Insertion", "Intégration"),
    ("Garde", "Surveillance"),
    ("Formation", "Apprentissage"),
    ("Secours", "Aide d'urgence"),
    ("Tutelle", "Représentation"),
    ("Visite", "Passage"),
)
_OBJECTS = (
    "au logement",
    "à la parentalité",
    "à l'emploi",
    "à la mobilité",
    "budgétaire",
    "éducative",
    "alimentaire",
    "ménagère",
    "aux soins",
    "à l'accès aux droits",
    "à la scolarité",
    "juridique",
    "psychologique",
    "au numérique",
    "à l'autonomie",
    "à la vie quotidienne",
    "au répit des aidants",
    "à la réinsertion",
    "d'urgence",
    "au transport",
    "à l'énergie",
    "à la citoyenneté",
    "à la santé mentale",
    "aux vacances",
    "à la culture",
)
_PUBLICS = (
    "des personnes âgées",
    "des mineurs confiés",
    "des familles monoparentales",
    "des adultes handicapés",
    "des jeunes majeurs",
    "des bénéficiaires du RSA",
    "des aidants familiaux",
    "des femmes victimes de violences",
    "des personnes sans domicile",
    "des assistants familiaux",
    "des mineurs non accompagnés",
    "des parents séparés",
    "des enfants handicapés",
    "des demandeurs d'asile",
    "des travailleurs pauvres",
    "des personnes sous main de justice",
    "des gens du voyage",
    "des étudiants",
    "des ménages surendettés",
)
_PLACES = (
    "à domicile",
    "en établissement",
    "en accueil de jour",
    "en milieu ouvert",
    "en famille d'accueil",
    "en résidence sociale",
    "au CCAS",
    "à la maison des solidarités",
    "en milieu scolaire",
    "en centre d'hébergement",
    "à l'hôpital",
    "par téléphone",
    "en ligne",
    "sur le lieu de travail",
    "dans la rue",
    "au tribunal",
    "en zone rurale",
)
_COMBINATIONS = len(_ACTS) * len(_OBJECTS) * len(_PUBLICS) * len(_PLACES)
_RELATIONS: tuple[Relation, ...] = ("exactMatch", "broadMatch", "closeMatch", "narrowMatch")


def nomenclature(slug: str = SLUG) -> Nomenclature:
    """The heading of the made-up nomenclature."""
    return Nomenclature(
        slug=slug,
        iri=f"https://socle.example/{slug}",
        title=french("Banc d'essai"),
        description=french("Concepts inventés, pour mesurer."),
        publisher="https://socle.example/organisations/banc-d-essai",
        license="https://www.etalab.gouv.fr/licence-ouverte-open-licence",
        level_titles=("Domaines", "Familles", "Prestations"),
    )


def keys_of(store: Store) -> Keys:
    """The keys of a registry, in its data folder; made if it has none."""
    folder = store.blobs.folder.with_name("keys")
    return Keys.opened(folder) if folder.exists() else keys.generate(folder, "https://socle.example/")


def release(size: int, *, version: str = "1.0", slug: str = SLUG) -> Release:
    """A release of ``size`` concepts."""
    concepts = {concept.code: concept for concept in map(_concept, range(size))}
    links = frozenset(Link(_code(number), _code(number - 1), FIRST_DAY, "wider") for number in range(99, size, 100))
    return Release(nomenclature(slug), version, FIRST_DAY, dict(sorted(concepts.items())), links)


def changed(before: Release, version: str, count: int) -> tuple[Release, tuple[str, ...]]:
    """The next release, in which ``count`` concepts have another definition, and the codes of these."""
    codes = [code for code, concept in before.concepts.items() if concept.status == "active"]
    start = sum(version.encode()) % max(1, len(codes) // count)
    touched = tuple(codes[start :: max(1, len(codes) // count)][:count])
    concepts = dict(before.concepts)
    for code in touched:
        text = concepts[code].definition[0][1].partition(" Précisé")[0]
        concepts[code] = replace(concepts[code], definition=french(f"{text} Précisé en {version}."))
    return replace(before, version=version, concepts=concepts), touched


def crosswalk(size: int, target: Release) -> tuple[list[LocalCode], list[Mapping]]:
    """A local list of ``size`` codes and one mapping for each of them to a concept of ``target``."""
    codes = list(target.concepts)
    local = [LocalCode(f"L{number:07d}", f"{_label(number)[0]}, usage local {number}") for number in range(size)]
    mappings = [
        Mapping(item.code, codes[number * 7 % len(codes)], _RELATIONS[number % len(_RELATIONS)])
        for number, item in enumerate(local)
    ]
    return local, mappings


def _concept(number: int) -> Concept:
    code, (label, synonym), parent = _code(number), _label(number), _parent(number)
    definition = (
        f"{label} : prestation décidée par le service social du département après évaluation de la situation, "
        f"pour une durée limitée et renouvelable. Référence interne {number}."
    )
    return Concept(
        code=code,
        status="deprecated" if number % 100 == 99 else "active",
        pref_label=french(label),
        alt_label=french(synonym) if number % 2 else (),
        definition=texts([("fr", definition)]),
        scope_note=french("À n'employer qu'une fois par dossier et par période.") if number % 3 == 0 else (),
        broader=(parent,) if parent else (),
        legal_basis=(f"CASF, art. L{111 + number % 400}-{number % 9 + 1}",) if number % 4 == 0 else (),
        valid_from=FIRST_DAY,
    )


def _code(number: int) -> str:
    family, leaf = divmod(number, LEAVES)
    domain, second = divmod(family, LEAVES)
    return f"D{domain:04d}" + (f"-{second:02d}" if second or leaf else "") + (f"-{leaf:02d}" if leaf else "")


def _parent(number: int) -> str:
    """The first of each twenty stands over the others, and the first of each four hundred over these."""
    family, leaf = divmod(number, LEAVES)
    if leaf:
        return _code(number - leaf)
    second = family % LEAVES
    return _code((family - second) * LEAVES) if second else ""


def _label(number: int) -> tuple[str, str]:
    """A label and a synonym, which no other number gives: the prime only shuffles the order in which they come."""
    series, number = divmod(number, _COMBINATIONS)
    rest, place = divmod(number * 7_919 % _COMBINATIONS, len(_PLACES))
    rest, public = divmod(rest, len(_PUBLICS))
    act, thing = divmod(rest, len(_OBJECTS))
    tail = f"{_OBJECTS[thing]} {_PUBLICS[public]} {_PLACES[place]}" + (f", série {series + 1}" if series else "")
    label, synonym = _ACTS[act]
    return f"{label} {tail}", f"{synonym} {tail}"
