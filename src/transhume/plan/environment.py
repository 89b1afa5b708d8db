"""`environments:` of a plan: other systems for the same migration, and which of them are protected."""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from transhume.plan.fields import flag


class Environment(BaseModel):
    """Source and target of one environment, where they differ; a protected one takes approved plans only."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    source: str | None = None
    target: str | None = None
    protected: Annotated[bool, BeforeValidator(flag)] = False
