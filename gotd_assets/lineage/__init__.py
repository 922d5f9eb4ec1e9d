"""What was made out of what, by which run, with which parameters, and which documents it took: in DuckDB."""

from gotd_assets.lineage.audits import Audit, Parameter
from gotd_assets.lineage.materialisation import Materialisation, SourceFile, Training
from gotd_assets.lineage.store import DATABASE, LineageStore

__all__ = ["DATABASE", "Audit", "LineageStore", "Materialisation", "Parameter", "SourceFile", "Training"]
