"""Which files hold text, told by their names: one rule for a source's folder, a pattern and the targets folder."""

from pathlib import PurePath

FORMATS = {
    ".jsonl": "jsonl",
    ".jsonlines": "jsonl",
    ".jl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".parq": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".ipc": "arrow",
    ".feather": "arrow",
    ".txt": "text",
    ".text": "text",
    ".md": "text",
    ".markdown": "text",
}
COMPRESSIONS = {
    ".gz": ".gz",
    ".gzip": ".gz",
    ".zst": ".zst",
    ".zstd": ".zst",
    ".bz2": ".bz2",
    ".xz": ".xz",
}
HIDDEN = "hidden"
UNFINISHED = "not finished, by its name"
# What editors, browsers and copying programs call files that are not finished.
_ENDINGS_OF_UNFINISHED = ("~", ".tmp", ".part", ".partial", ".crdownload", ".swp")
# What systems and programs put beside data.
_OF_SYSTEMS = {"thumbs.db", "ehthumbs.db", "desktop.ini", "_success", "_metadata", "_common_metadata"}


def compression_of(name: str) -> str | None:
    """'.gz', '.zst', '.bz2', '.xz' or None, by the ending of `name` in any case."""
    return COMPRESSIONS.get(PurePath(name).suffix.lower())


def ending_of(name: str) -> str:
    """The ending of `name` that tells the format, in lower case; that of an archive aside."""
    path = PurePath(name)
    return (path.with_suffix("") if compression_of(name) else path).suffix.lower()


def why_left_out(inner: PurePath, declared_format: str) -> str | None:
    """Why a file is not read, by its path inside the folder or pattern that it was found by; None if it is."""
    name = inner.name.lower()
    if any(part.startswith(".") for part in inner.parts):
        return HIDDEN
    if name.endswith(_ENDINGS_OF_UNFINISHED):
        return UNFINISHED
    if name in _OF_SYSTEMS:
        return "put there by a program, by its name"
    if declared_format == "auto" and ending_of(name) not in FORMATS:
        return "its ending is that of no format"
    return None
