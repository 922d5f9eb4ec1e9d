"""What turns texts into vectors: transformers, static embeddings, vectors that exist already."""
