"""`gotd`, a file per command or kind of commands."""
