"""The pool as the transport problem sees it."""
