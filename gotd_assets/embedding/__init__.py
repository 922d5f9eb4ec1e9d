"""Text to vectors: encoders and the vector store."""

from gotd_assets.embedding.classifier import KeptToxicity, ToxicityClassifier, toxicity_version
from gotd_assets.embedding.embed import EmbeddingProgress, EmbeddingReport, embed_documents
from gotd_assets.embedding.model_files import encoder_version
from gotd_assets.embedding.vectors import VectorShard, VectorShards, open_vectors

__all__ = [
    "EmbeddingProgress",
    "EmbeddingReport",
    "KeptToxicity",
    "ToxicityClassifier",
    "VectorShard",
    "VectorShards",
    "embed_documents",
    "encoder_version",
    "open_vectors",
    "toxicity_version",
]
