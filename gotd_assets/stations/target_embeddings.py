"""A vector for every target document."""

from gotd_assets.checks.vectors import VECTORS
from gotd_assets.stations import first_look
from gotd_assets.stations.embedding import TUNED_ENCODER, embedding_of, embedding_table
from gotd_assets.stations.reads import One
from gotd_assets.stations.station import Recipe, Station
from gotd_assets.stations.work import Work

_DOCUMENTS = One("target_documents")


def target_embeddings(work: Work) -> Recipe:
    """Sentence vectors of the target's documents, without the held-out ones."""
    return embedding_of(work, work.open(_DOCUMENTS).path / "train")


STATION = Station(
    prepare=target_embeddings,
    verb="embed",
    division="target",
    group="target",
    kinds=frozenset({"pytorch", "huggingface"}),
    code_version="1",
    reads=(_DOCUMENTS, TUNED_ENCODER),
    looks=(first_look.encoder,),
    checks=VECTORS,
    table=embedding_table("target_documents"),
    is_heavy=True,
)
