"""Documents that are the same, or nearly."""
