"""Text to vectors: encoders and the vector store."""
