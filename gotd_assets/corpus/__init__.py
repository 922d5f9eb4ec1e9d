"""Text in: readers, normalising, chunking, duplicates, quarantine."""

from gotd_assets.corpus.copies import RemoteFiles
from gotd_assets.corpus.documents import read_documents, read_target
from gotd_assets.corpus.duplicates import ContaminationReport, DuplicateReport, find_contamination, find_duplicates
from gotd_assets.corpus.files import content_fingerprint
from gotd_assets.corpus.report import Progress, ReadReport
from gotd_assets.corpus.shards import iter_documents, sample_documents, scan_documents

__all__ = [
    "ContaminationReport",
    "DuplicateReport",
    "Progress",
    "ReadReport",
    "RemoteFiles",
    "content_fingerprint",
    "find_contamination",
    "find_duplicates",
    "iter_documents",
    "read_documents",
    "read_target",
    "sample_documents",
    "scan_documents",
]
