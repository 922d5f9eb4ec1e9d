"""From a record to clean text of the right length."""
