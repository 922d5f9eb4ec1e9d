"""Text in: readers, normalising, chunking, duplicates, quarantine."""

from gotd_assets.corpus.documents import (
    ReadProgress,
    ReadReport,
    iter_documents,
    read_documents,
    sample_documents,
    scan_documents,
)
from gotd_assets.corpus.duplicates import ContaminationReport, DuplicateReport, find_contamination, find_duplicates
from gotd_assets.corpus.files import content_fingerprint
from gotd_assets.corpus.target import read_target

__all__ = [
    "ContaminationReport",
    "DuplicateReport",
    "ReadProgress",
    "ReadReport",
    "content_fingerprint",
    "find_contamination",
    "find_duplicates",
    "iter_documents",
    "read_documents",
    "read_target",
    "sample_documents",
    "scan_documents",
]
