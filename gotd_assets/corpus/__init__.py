"""Text in: readers, normalising, chunking, duplicates, quarantine."""
