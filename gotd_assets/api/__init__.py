"""Selecting from Python: texts in, a frame out, by the same stations as the pipeline and without an orchestrator."""
