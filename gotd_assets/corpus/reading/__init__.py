"""From files of every format to batches of records, bad ones set aside with a reason."""
