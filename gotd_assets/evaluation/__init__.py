"""What a selection did for a model: perplexity, labelled tasks, toxicity, and the report."""
