"""Light training of language models and encoders."""
