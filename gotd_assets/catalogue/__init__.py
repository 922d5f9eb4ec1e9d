"""What an artifact says of itself to people: figures, tables, pictures, and what its columns mean."""
