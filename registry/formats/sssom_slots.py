"""What SSSOM knows: its slots, in the order of the standard, what each takes, and a mapping set as a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

RULE = "sssom_is_well_formed"
NO_TERM_FOUND = "sssom:NoTermFound"

SET_SLOTS = (
    "sssom_version",
    "mapping_set_id",
    "mapping_set_version",
    "mapping_set_source",
    "mapping_set_title",
    "mapping_set_description",
    "mapping_set_confidence",
    "creator_id",
    "creator_label",
    "license",
    "subject_type",
    "subject_source",
    "subject_source_version",
    "object_type",
    "object_source",
    "object_source_version",
    "predicate_type",
    "mapping_provider",
    "cardinality_scope",
    "mapping_tool",
    "mapping_tool_id",
    "mapping_tool_version",
    "mapping_date",
    "publication_date",
    "subject_match_field",
    "object_match_field",
    "subject_preprocessing",
    "object_preprocessing",
    "similarity_measure",
    "curation_rule",
    "curation_rule_text",
    "see_also",
    "issue_tracker",
    "other",
    "comment",
)
"""The slots of a mapping set, in the order of the standard (version 1.1)."""

ROW_SLOTS = (
    "record_id",
    "subject_id",
    "subject_label",
    "subject_category",
    "predicate_id",
    "predicate_label",
    "predicate_modifier",
    "object_id",
    "object_label",
    "object_category",
    "mapping_justification",
    "author_id",
    "author_label",
    "reviewer_id",
    "reviewer_label",
    "creator_id",
    "creator_label",
    "license",
    "subject_type",
    "subject_source",
    "subject_source_version",
    "object_type",
    "object_source",
    "object_source_version",
    "predicate_type",
    "mapping_provider",
    "mapping_source",
    "mapping_cardinality",
    "cardinality_scope",
    "mapping_tool",
    "mapping_tool_id",
    "mapping_tool_version",
    "mapping_date",
    "publication_date",
    "review_date",
    "confidence",
    "curation_rule",
    "curation_rule_text",
    "subject_match_field",
    "object_match_field",
    "match_string",
    "subject_preprocessing",
    "object_preprocessing",
    "similarity_score",
    "similarity_measure",
    "see_also",
    "issue_tracker_item",
    "other",
    "comment",
)
"""The slots of a row, in the order of the standard."""

PROPAGATED = frozenset(
    {
        "subject_type",
        "subject_source",
        "subject_source_version",
        "object_type",
        "object_source",
        "object_source_version",
        "predicate_type",
        "mapping_provider",
        "cardinality_scope",
        "mapping_tool",
        "mapping_tool_id",
        "mapping_tool_version",
        "mapping_date",
        "subject_match_field",
        "object_match_field",
        "subject_preprocessing",
        "object_preprocessing",
        "similarity_measure",
        "curation_rule",
        "curation_rule_text",
    }
)
"""The slots that stand in the metadata where all rows share their value."""

SEVERAL = frozenset(
    {
        "mapping_set_source",
        "author_id",
        "author_label",
        "reviewer_id",
        "reviewer_label",
        "creator_id",
        "creator_label",
        "cardinality_scope",
        "subject_match_field",
        "object_match_field",
        "match_string",
        "subject_preprocessing",
        "object_preprocessing",
        "curation_rule",
        "curation_rule_text",
        "see_also",
    }
)
REFERENCES = frozenset(
    {
        "record_id",
        "subject_id",
        "predicate_id",
        "object_id",
        "mapping_justification",
        "author_id",
        "reviewer_id",
        "creator_id",
        "subject_source",
        "object_source",
        "mapping_source",
        "mapping_tool_id",
        "curation_rule",
        "subject_match_field",
        "object_match_field",
        "subject_preprocessing",
        "object_preprocessing",
        "issue_tracker_item",
    }
)
DAYS = frozenset({"mapping_date", "publication_date", "review_date"})
SHARES = frozenset({"confidence", "similarity_score", "mapping_set_confidence"})
_ENTITY_TYPES = (
    "owl class",
    "owl object property",
    "owl data property",
    "owl annotation property",
    "owl named individual",
    "skos concept",
    "rdfs resource",
    "rdfs class",
    "rdfs literal",
    "rdfs datatype",
    "rdf property",
    "composed entity expression",
)
ONE_OF: dict[str, tuple[str, ...]] = {
    "sssom_version": ("1.0", "1.1"),
    "subject_type": _ENTITY_TYPES,
    "object_type": _ENTITY_TYPES,
    "predicate_type": _ENTITY_TYPES,
    "predicate_modifier": ("Not",),
    "mapping_cardinality": ("1:1", "1:n", "n:1", "n:n", "1:0", "0:1", "0:0"),
}
REQUIRED = ("subject_id", "predicate_id", "object_id", "mapping_justification")
REQUIRED_OF_SET = ("mapping_set_id", "license")

BUILT_IN = {
    "linkml": "https://w3id.org/linkml/",
    "owl": "http://www.w3.org/2002/07/owl#",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "semapv": "https://w3id.org/semapv/vocab/",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "sssom": "https://w3id.org/sssom/",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
"""The prefixes that need not be declared, and may not be declared otherwise."""


Value = str | tuple[str, ...]
"""A slot's value: a text, or several where the standard allows several."""


class Extension(NamedTuple):
    """A slot that is not of the standard: its name, the property that it stands for, the type of its values."""

    slot_name: str
    property: str = ""
    type_hint: str = ""


@dataclass(frozen=True, slots=True)
class MappingSet:
    """A mapping set: its prefixes, its slots, the slots that are not of the standard, and its rows, slot by slot."""

    prefixes: Mapping[str, str]
    slots: Mapping[str, Value]
    rows: Sequence[Mapping[str, Value]]
    extensions: Sequence[Extension] = ()

    def iri(self, curie: str) -> str:
        """The IRI that a CURIE stands for; its prefix is declared, or built in."""
        prefix, _, reference = curie.partition(":")
        return (BUILT_IN.get(prefix) or self.prefixes[prefix]) + reference
