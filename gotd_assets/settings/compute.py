"""Section `compute`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from gotd_assets.settings.section import Section


class ComputeSettings(Section):
    """Where heavy stations work. What they make does not depend on it."""

    engine: Literal["local", "ray"] = Field(
        "local", description="'local' is processes and threads of this machine; 'ray' needs the extra of that name."
    )
    address: str | None = Field(
        None,
        min_length=1,
        description="The Ray cluster: 'host:port' of its head, or 'auto' on one of its nodes; by default a Ray of this machine is started for the step.",
    )
    actors: int | None = Field(
        None, ge=1, description="Workers at a time; by default as many as the cluster has room for."
    )
    cpus_per_actor: float = Field(1, gt=0, description="Processors of a worker.")
    gpus_per_actor: float = Field(0, ge=0, description="GPUs of a worker; a fraction lets several share one.")
    memory_gb: float | None = Field(None, gt=0, description="Memory that Ray keeps free for a worker, in GiB.")

    @model_validator(mode="after")
    def _is_of_the_engine(self) -> Self:
        changed = [name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default]
        if self.engine == "local" and changed:
            raise ValueError(f"{changed[0]} is for engine 'ray': set engine to 'ray', or leave it out")
        return self
