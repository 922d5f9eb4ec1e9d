"""A vector for every candidate, one partition per source."""

from gotd_assets.checks.vectors import VECTORS
from gotd_assets.stations import first_look
from gotd_assets.stations.embedding import TUNED_ENCODER, embedding_of, embedding_table
from gotd_assets.stations.reads import One
from gotd_assets.stations.station import Recipe, Station
from gotd_assets.stations.work import Work

_DOCUMENTS = One("raw_candidates")


def candidate_embeddings(work: Work) -> Recipe:
    """Sentence vectors of one source's documents.

    Vectors are kept by `doc_id` and encoder version, so only documents never seen before pass through the
    encoder, and a killed run continues where it stopped.
    """
    return embedding_of(work, work.open(_DOCUMENTS).path)


STATION = Station(
    prepare=candidate_embeddings,
    verb="embed",
    division="source",
    group="candidates",
    kinds=frozenset({"pytorch", "huggingface"}),
    code_version="1",
    reads=(_DOCUMENTS, TUNED_ENCODER),
    looks=(first_look.encoder,),
    checks=VECTORS,
    table=embedding_table("raw_candidates"),
    is_heavy=True,
)
