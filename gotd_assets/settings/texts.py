"""Sections `sources`, `targets`, `targets_folder`, `preparation` and `duplicates`."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema

from gotd_assets.settings.secrets import refuse_secrets
from gotd_assets.settings.section import UNVERSIONED, Name, Section

# A path would lose one of the two slashes of a URL.
Url = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9+.-]*://")]
Location = Annotated[Url | Path, Field(union_mode="left_to_right")]
Paths = Annotated[Location | list[Location], BeforeValidator(refuse_secrets)]
TextFormat = Literal["auto", "jsonl", "json", "csv", "tsv", "parquet", "arrow", "text", "text-lines", "hf-dataset"]

_FOLLOW_LINKS = (
    "Read also what links in a folder (or below a glob's fixed part) lead to outside it; else such links are left out, "
    "counted and named."
)


class FieldSettings(Section):
    """Where the parts of a document stand in a record."""

    text: str = Field(
        "text",
        description="Field that holds the text; dots reach into nested fields ('meta.body'), braces put several together "
        "('{title}\\n{body}'), and a list of messages becomes its turns ('messages').",
    )
    keep: list[str] = Field(default_factory=list, description="Further fields to carry along to the selected subset.")


class TextInputSettings(Section):
    """Text files of one kind."""

    name: Name = Field(
        description="Name of the source or target: lower case letters, digits, '-' and '_'.", examples=["web"]
    )
    path: Annotated[Paths, UNVERSIONED] = Field(
        description="File, folder, glob ('data/*.jsonl.gz') or a list of them; also as URL ('s3://bucket/data/*.jsonl.gz': "
        "s3, gs, hf, http, https), fetched again when it changes, with credentials from the environment.",
        examples=["data/web/*.jsonl"],
    )
    format: TextFormat = Field("auto", description="File format; 'auto' goes by the file name's ending.")
    follow_links: Annotated[bool, UNVERSIONED] = Field(False, description=_FOLLOW_LINKS)
    fields: FieldSettings = Field(default=FieldSettings(), description="Which fields to read.")
    filter: str | None = Field(
        None,
        description="SQL condition on a record's fields (\"lang = 'en' and score > 3\"); others are left out, counted.",
    )
    limit: int | None = Field(
        None, ge=1, description="Read at most this many records; the number left unread is shown."
    )
    max_record_bytes: int = Field(
        16 * 2**20, ge=1024, description="A record larger than this many bytes is quarantined, not read into memory."
    )


class SourceSettings(TextInputSettings):
    """One source of candidates."""

    path: Annotated[Paths, UNVERSIONED] = Field(
        default_factory=list, description="Files, as for a target; or give an asset in their place."
    )
    asset: Annotated[str | None, UNVERSIONED] = Field(
        None,
        description="Key of an asset in your own Dagster project ('crawl/clean') whose rows are the source: a file or folder "
        "that its metadata names as path, or the table that it returns. Read again when it is materialized.",
    )

    @model_validator(mode="after")
    def _has_files_or_an_asset(self) -> Self:
        if (self.asset is None) == (not self.path):
            raise ValueError("give a path, or the key of an asset, one of both")
        return self


class HoldoutSettings(Section):
    """Target text that is kept away from selection, for honest evaluation."""

    share: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="Share of the target's documents held out; the split is by document, by hash of doc_id.",
    )
    path: Paths | None = Field(None, description="Files to evaluate on instead of splitting the target.")


class DrawSettings(Section):
    """A part of a target's texts, drawn at random: as if another sample of the task had been at hand."""

    share: float = Field(gt=0, le=1, description="Share of the texts that guide the selection; held-out ones all stay.")
    seed: int = Field(0, ge=0, lt=10**10, description="Seed of the draw.")


class TargetSettings(TextInputSettings):
    """One target: a small sample of the task the model is to be prepared for."""

    direction: Literal["toward", "away"] = Field(
        "toward",
        description="'toward' selects what brings the pool closer to the target, 'away' what takes it farther.",
    )
    holdout: HoldoutSettings = Field(default=HoldoutSettings(), description="What is kept for evaluation.")
    draw: DrawSettings | None = Field(
        None,
        description="Guide the selection by a random part of the texts only; `gotd compare` draws one for each seed.",
    )


class TargetsFolderSettings(Section):
    """A folder whose subfolders and files are targets by themselves, named as they are."""

    path: Path | None = Field(
        None,
        description="Folder in which every subfolder and every file is a target; new ones are taken up while it runs.",
    )
    format: TextFormat = Field("auto", description="File format of all of them.")
    follow_links: Annotated[bool, UNVERSIONED] = Field(False, description=_FOLLOW_LINKS)
    fields: FieldSettings = Field(default=FieldSettings(), description="Which fields to read.")
    filter: str | None = Field(None, description="SQL condition on a record's fields.")
    direction: Literal["toward", "away"] = Field("toward", description="As for a declared target.")
    holdout: HoldoutSettings = Field(default=HoldoutSettings(), description="What is kept for evaluation.")

    @model_validator(mode="before")
    @classmethod
    def _a_path_alone_will_do(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str | Path) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [handler(core), {"type": "string", "format": "path"}]}

    @field_validator("path", mode="before")
    @classmethod
    def _is_on_this_machine(cls, value: Any) -> Any:
        if isinstance(value, str) and "://" in value:
            raise ValueError("a folder of targets cannot be a URL: declare each remote target under targets")
        return value


class PreparationSettings(Section):
    """From records to clean documents."""

    unicode: Literal["NFC", "NFKC", "none"] = Field("NFC", description="Unicode normal form of the text.")
    strip_html: bool = Field(False, description="Remove HTML tags and entities.")
    chunk_by: Literal["none", "characters", "tokens"] = Field(
        "none",
        description="Cut long texts and join short ones of one source into chunks, as the paper does (1000 characters).",
    )
    chunk_size: int = Field(1000, ge=16, description="Length of a chunk in characters, or in tokens of the encoder.")
    join_short: bool = Field(False, description="Join consecutive short texts of one source up to chunk_size.")
    min_chars: int = Field(1, ge=1, description="Texts shorter than this many characters are left out, counted.")


class DuplicateSettings(Section):
    """Which documents count as the same."""

    near: bool = Field(True, description="Also find near-duplicates by MinHash and locality-sensitive hashing.")
    jaccard: float = Field(
        0.8, gt=0, le=1, description="Similarity of word shingles from which two texts are duplicates."
    )
    cosine: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Also leave out documents whose vector has at least this cosine similarity (0.95, say) to one that stays, "
        "found by faiss: exactly among 50,000 documents, approximately among more. Off unless set.",
    )
    contamination: bool = Field(
        True, description="Keep candidates that duplicate target or held-out text out of selections for that target."
    )
