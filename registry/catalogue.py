"""What the registry offers, described for catalogues and crawlers: DCAT-AP 3, and VoID.

The registry is a ``dcat:Catalog``, a nomenclature a ``dcat:DatasetSeries`` that bears its own IRI, a release a
``dcat:Dataset`` that bears that IRI with ``@version``, a file of a release a ``dcat:Distribution``. No node is blank,
so that whoever harvests twice finds the same nodes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import NamedTuple

import pyoxigraph

from registry.errors import NotFound
from registry.formats.skos import PREFIXES as SKOS_PREFIXES
from registry.model import SKOS, XKOS, Edition, Nomenclature, Texts, mainline
from registry.signing import DCT, OWL, RDF, XSD, Statement, instant
from registry.store import Store
from registry.store.releases import Rendition

ADMS, DCAT, FOAF, SPDX, VCARD, VOID = (
    "http://www.w3.org/ns/adms#",
    "http://www.w3.org/ns/dcat#",
    "http://xmlns.com/foaf/0.1/",
    "http://spdx.org/rdf/terms#",
    "http://www.w3.org/2006/vcard/ns#",
    "http://rdfs.org/ns/void#",
)
_EUROPEAN = "http://publications.europa.eu/resource/authority/"
_THEME = f"{_EUROPEAN}data-theme/SOCI"
_MEDIA_TYPES = "https://www.iana.org/assignments/media-types/"
_W3C_FORMATS = "http://www.w3.org/ns/formats/"

PREFIXES = {
    **{name: iri for name, iri in SKOS_PREFIXES.items() if name != "schema"},
    "adms": ADMS,
    "dcat": DCAT,
    "foaf": FOAF,
    "spdx": SPDX,
    "vcard": VCARD,
    "void": VOID,
}

FORMATS: dict[str, tuple[str, pyoxigraph.RdfFormat]] = {
    "turtle": ("text/turtle", pyoxigraph.RdfFormat.TURTLE),
    "jsonld": ("application/ld+json", pyoxigraph.RdfFormat.JSON_LD),
    "rdfxml": ("application/rdf+xml", pyoxigraph.RdfFormat.RDF_XML),
    "ntriples": ("application/n-triples", pyoxigraph.RdfFormat.N_TRIPLES),
}
"""The syntaxes in which a description goes out, by name: media type, and how it is written."""

_FILE_TYPES = {
    "ntriples": "RDF_N_TRIPLES",
    "turtle": "RDF_TURTLE",
    "rdfxml": "RDF_XML",
    "jsonld": "JSON_LD",
    "json": "JSON",
    "csv": "CSV",
    "csv-excel": "CSV",
    "xlsx": "XLSX",
    "sdmx-ml": "XML",
    "sdmx-ml21": "XML",
    "sdmx-json": "JSON",
    "fhir": "JSON",
    "genericode": "XML",
    "jskos": "JSON",
}
"""What the Publications Office of the European Union calls the type of a file, by format, as far as it has a name."""

_RANGES = {
    DCT + "license": DCT + "LicenseDocument",
    DCT + "language": DCT + "LinguisticSystem",
    DCT + "format": DCT + "MediaTypeOrExtent",
    DCT + "conformsTo": DCT + "Standard",
    DCT + "accessRights": DCT + "RightsStatement",
    DCAT + "mediaType": DCT + "MediaType",
    DCAT + "theme": SKOS + "Concept",
    DCAT + "landingPage": FOAF + "Document",
    FOAF + "homepage": FOAF + "Document",
    SPDX + "algorithm": SPDX + "ChecksumAlgorithm",
}
"""What the shapes of DCAT-AP want to be told of the things that others describe: of what class they are."""

_RDF_FORMATS = {"ntriples": "N-Triples", "turtle": "Turtle", "rdfxml": "RDF_XML", "jsonld": "JSON-LD"}

_TITLE = "Socle : les nomenclatures partagées des services sociaux"
_ABOUT = (
    "Le registre public des nomenclatures partagées des services sociaux : leurs versions, signées et datées, dans "
    "plusieurs formats, et leurs correspondances avec les codes locaux."
)


class _Node:
    """A subject whose statements are gathered."""

    def __init__(self, iri: str, *types: str) -> None:
        self.iri = iri
        self.statements = [Statement(iri, RDF + "type", kind, "@id") for kind in types]

    def iris(self, predicate: str, *values: str) -> None:
        self.statements += [Statement(self.iri, predicate, value, "@id") for value in values if value]

    def texts(self, predicate: str, values: Texts) -> None:
        self.statements += [Statement(self.iri, predicate, text, f"@{language}") for language, text in values]

    def value(self, predicate: str, value: str, kind: str = "") -> None:
        self.statements.append(Statement(self.iri, predicate, value, kind and XSD + kind))


class _Held(NamedTuple):
    """A nomenclature with its releases, and the one that describes it: the last that stands."""

    heading: Nomenclature
    editions: list[Edition]
    last: Edition | None


def _held(store: Store) -> Iterator[_Held]:
    for created in store.nomenclatures():
        editions = [edition for edition in store.editions(created.slug) if edition.withdrawn_at is None]
        last = mainline(editions)
        yield _Held(store.heading(created.slug, last.version) if last else created, editions, last)


def catalogue(store: Store, address: str) -> Iterator[Statement]:
    """The registry in DCAT-AP 3: everything published and not withdrawn; ``address`` is where its service answers."""
    catalog = _Node(f"{address}catalog", DCAT + "Catalog")
    catalog.texts(DCT + "title", (("fr", _TITLE),))
    catalog.texts(DCT + "description", (("fr", _ABOUT),))
    catalog.iris(DCT + "publisher", _publisher_of_all(address))
    catalog.iris(DCT + "language", f"{_EUROPEAN}language/FRA")
    catalog.iris(FOAF + "homepage", address)
    service = _service(address)
    catalog.iris(DCAT + "service", service.iri)
    agents = {_publisher_of_all(address): "Socle", **publishers(store)}
    nodes: list[_Node] = []
    for held in _held(store):
        catalog.iris(DCAT + "dataset", held.heading.iri)
        service.iris(DCAT + "servesDataset", held.heading.iri)
        nodes.append(_series(held, address))
        for edition in held.editions:
            nodes += _release(store, edition, held.editions, address)
            catalog.iris(DCAT + "dataset", f"{held.heading.iri}@{edition.version}")
    issued = [edition.issued for held in _held(store) for edition in held.editions]
    if issued:
        catalog.value(DCT + "modified", instant(max(issued)), "dateTime")
    theme = _Node(_THEME)
    theme.texts(SKOS + "prefLabel", (("fr", "Population et société"),))
    named = [_agent(iri, name) for iri, name in agents.items()]
    types: dict[Statement, None] = {}
    for node in (catalog, service, *named, _contact(address), theme, *nodes):
        yield from node.statements
        for one in node.statements:
            if one.predicate in _RANGES:
                types[Statement(one.object, RDF + "type", _RANGES[one.predicate], "@id")] = None
    yield from types


def publishers(store: Store) -> dict[str, str]:
    """Who publishes the nomenclatures: IRI and name. Not each is an organisation that the registry knows."""
    iris = (held.heading.publisher for held in _held(store))
    return {iri: _name(store, iri) for iri in iris if iri}


def _publisher_of_all(address: str) -> str:
    return f"{address}catalog#publisher"


def _agent(iri: str, name: str) -> _Node:
    agent = _Node(iri, FOAF + "Agent")
    agent.texts(FOAF + "name", (("fr", name),))
    return agent


def _name(store: Store, publisher: str) -> str:
    """The name of an organisation by its IRI, as far as the registry knows it."""
    slug = publisher.rstrip("/").rpartition("/")[2]
    if slug == "comite":
        return "Comité de la nomenclature"
    try:
        return store.organisation(slug).name
    except NotFound:
        return publisher


def _contact(address: str) -> _Node:
    contact = _Node(f"{address}catalog#contact", VCARD + "Organization", VCARD + "Kind")
    contact.texts(VCARD + "fn", (("fr", "Socle"),))
    contact.iris(VCARD + "hasURL", address)
    return contact


def _service(address: str) -> _Node:
    service = _Node(f"{address}catalog#api", DCAT + "DataService")
    service.texts(DCT + "title", (("fr", "L'API de Socle"),))
    service.iris(DCAT + "endpointURL", f"{address}api/v1")
    service.iris(DCAT + "endpointDescription", f"{address}api/v1/openapi.json")
    return service


def _series(held: _Held, address: str) -> _Node:
    heading, last = held.heading, held.last
    series = _described(heading.iri, heading, address, DCAT + "DatasetSeries", SKOS + "ConceptScheme")
    if held.editions:
        series.value(DCT + "issued", _day(min(edition.issued.date() for edition in held.editions)), "date")
    if last:
        series.value(DCT + "modified", _day(max(edition.issued.date() for edition in held.editions)), "date")
        series.iris(DCAT + "last", f"{heading.iri}@{last.version}")
    series.iris(DCAT + "landingPage", f"{address}nomenclatures/{heading.slug}")
    return series


def _described(iri: str, heading: Nomenclature, address: str, *types: str) -> _Node:
    """What a series and its members say in the same words."""
    node = _Node(iri, *types)
    node.texts(DCT + "title", heading.title)
    # The standard asks for a description; some nomenclature may have none.
    node.texts(DCT + "description", heading.description or heading.title)
    node.iris(DCT + "publisher", heading.publisher)
    node.iris(DCAT + "contactPoint", f"{address}catalog#contact")
    node.iris(DCT + "language", f"{_EUROPEAN}language/FRA")
    node.iris(DCAT + "theme", _THEME)
    node.iris(DCT + "accessRights", f"{_EUROPEAN}access-right/PUBLIC")
    return node


def _day(day: date) -> str:
    return day.isoformat()


def _release(store: Store, edition: Edition, editions: Iterable[Edition], address: str) -> Iterator[_Node]:
    heading = store.heading(edition.nomenclature, edition.version)
    dataset = _described(f"{heading.iri}@{edition.version}", heading, address, DCAT + "Dataset")
    dataset.value(DCT + "identifier", f"{heading.iri}@{edition.version}")
    dataset.value(DCAT + "version", edition.version)
    dataset.value(DCT + "issued", instant(edition.issued), "dateTime")
    dataset.iris(DCAT + "inSeries", heading.iri)
    dataset.iris(DCAT + "isVersionOf", heading.iri)
    if any(other.version == edition.predecessor for other in editions):
        dataset.iris(DCAT + "prev", f"{heading.iri}@{edition.predecessor}")
        dataset.iris(DCAT + "previousVersion", f"{heading.iri}@{edition.predecessor}")
    dataset.iris(DCT + "conformsTo", SKOS[:-1])
    dataset.iris(DCAT + "landingPage", f"{address}nomenclatures/{heading.slug}?release={edition.version}")
    period = _Node(f"{dataset.iri}#period", DCT + "PeriodOfTime")
    period.value(DCAT + "startDate", _day(edition.valid_from), "date")
    dataset.iris(DCT + "temporal", period.iri)
    files = store.renditions(edition.nomenclature, edition.version)
    dataset.iris(DCAT + "distribution", *(f"{dataset.iri}#{file.format}" for file in files))
    yield dataset
    yield period
    for file in files:
        yield from _file(file, dataset.iri, edition, heading, address)


def _file(file: Rendition, dataset: str, edition: Edition, heading: Nomenclature, address: str) -> Iterator[_Node]:
    found = _Node(f"{dataset}#{file.format}", DCAT + "Distribution")
    place = _file_address(edition, file.format, address)
    found.texts(DCT + "title", (("fr", f"{heading.slug} {edition.version}, {file.format}"),))
    found.iris(DCAT + "accessURL", place)
    found.iris(DCAT + "downloadURL", place)
    found.iris(DCAT + "mediaType", _MEDIA_TYPES + file.media_type)
    if file.format in _FILE_TYPES:
        found.iris(DCT + "format", f"{_EUROPEAN}file-type/{_FILE_TYPES[file.format]}")
    found.iris(DCT + "license", heading.license)
    found.value(DCAT + "byteSize", str(file.blob.size), "nonNegativeInteger")
    checksum = _Node(f"{found.iri}-checksum", SPDX + "Checksum")
    checksum.iris(SPDX + "algorithm", SPDX + "checksumAlgorithm_sha256")
    checksum.value(SPDX + "checksumValue", file.blob.sha256, "hexBinary")
    found.iris(SPDX + "checksum", checksum.iri)
    yield found
    yield checksum


def _file_address(edition: Edition, format: str, address: str) -> str:
    return f"{address}api/v1/nomenclatures/{edition.nomenclature}/releases/{edition.version}?format={format}"


def linkset(store: Store, address: str) -> Iterator[Statement]:
    """The same for crawlers of linked data, in VoID: a data set a nomenclature, with its dumps and vocabularies."""
    here = _Node(f"{address}.well-known/void", VOID + "DatasetDescription")
    whole = _Node(f"{address}catalog", VOID + "Dataset")
    here.iris(FOAF + "primaryTopic", whole.iri)
    for node in (here, whole):
        node.texts(DCT + "title", (("fr", _TITLE),))
    whole.texts(DCT + "description", (("fr", _ABOUT),))
    whole.iris(FOAF + "homepage", address)
    whole.iris(VOID + "openSearchDescription", f"{address}opensearch.xml")
    parts = []
    for held in _held(store):
        if held.last is None:
            continue
        iri = held.heading.iri
        part = _Node(iri, VOID + "Dataset")
        part.texts(DCT + "title", held.heading.title)
        part.texts(DCT + "description", held.heading.description)
        part.iris(DCT + "publisher", held.heading.publisher)
        part.iris(DCT + "license", held.heading.license)
        part.iris(FOAF + "homepage", f"{address}nomenclatures/{held.heading.slug}")
        part.value(VOID + "uriSpace", f"{iri}/")
        part.value(VOID + "entities", str(held.last.concepts), "integer")
        part.iris(VOID + "rootResource", iri)
        part.iris(VOID + "vocabulary", SKOS, XKOS, DCT, OWL)
        part.iris(VOID + "dataDump", *(_file_address(held.last, format, address) for format in _RDF_FORMATS))
        part.iris(VOID + "feature", *(_W3C_FORMATS + name for name in _RDF_FORMATS.values()))
        whole.iris(VOID + "subset", iri)
        parts.append(part)
    for node in (here, whole, *parts):
        yield from node.statements


def written(statements: Iterable[Statement], format: str) -> bytes:
    """Statements in one of the syntaxes of ``FORMATS``, the same bytes for the same statements."""
    triples = (
        pyoxigraph.Triple(
            pyoxigraph.NamedNode(one.subject), pyoxigraph.NamedNode(one.predicate), _object(one.object, one.datatype)
        )
        for one in statements
    )
    found = pyoxigraph.serialize(triples, format=FORMATS[format][1], prefixes=PREFIXES)
    assert found is not None  # noqa: S101 -- without a place to write to, the bytes are given back.
    return found


def _object(value: str, kind: str) -> pyoxigraph.NamedNode | pyoxigraph.Literal:
    if kind == "@id":
        return pyoxigraph.NamedNode(value)
    if kind.startswith("@"):
        return pyoxigraph.Literal(value, language=kind[1:])
    return pyoxigraph.Literal(value, datatype=pyoxigraph.NamedNode(kind) if kind else None)
