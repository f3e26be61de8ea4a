"""The base of all options."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from typing_extensions import Self

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[int, Field(ge=1)]
MACHINE_PATH: JsonDict = {"path": "machine"}  # `json_schema_extra` of a field: `~` and variables are expanded
POD_PATH: JsonDict = {"path": "pod"}  # likewise; it has no `~`, since a pod's home is another one
PositiveLimit = Annotated[float, Field(gt=0.0)] | None


class Options(BaseModel):
    """Base of all options: immutable, unknown keys refused, JSON both ways."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)

    def to_json(self) -> str:
        """The options as JSON with sorted keys, the same text for the same options."""
        import json

        return json.dumps(self.model_dump(mode="json"), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`."""
        return cls.model_validate_json(text)
