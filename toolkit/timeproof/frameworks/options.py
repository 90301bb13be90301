"""What a user says of a model beside the model: one typed record for each framework.

A framework's own record derives from `FrameworkOptions`, and its `FrameworkSpec` names it. It imports no
framework.
"""

from __future__ import annotations

from typing import Any, Literal, Self, TypeVar, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)

from timeproof.errors import BadRequest

GraphOptimization = Literal["disable", "basic", "extended", "all"]
_O = TypeVar("_O", bound="FrameworkOptions")


class FrameworkOptions(BaseModel):
    """What every framework can be told.

    Args:
        format: of the model's file; the framework's own default where None.
        graph_optimization: how far the runtime of a graph, or of an interchange copy, may rewrite it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    format: str | None = None
    graph_optimization: GraphOptimization = "basic"

    @model_validator(mode="wrap")
    @classmethod
    def _name_faults(cls, values: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Say what is wrong as a BadRequest, not as pydantic's own error."""
        try:
            return validate(values)
        except ValidationError as error:
            issues = [f"{'.'.join(map(str, i['loc']))}: {i['msg']}" for i in error.errors(include_url=False)]
            raise BadRequest(
                f"{cls.__name__}: {'; '.join(issues)}", advice=f"it takes {', '.join(cls.model_fields)}"
            ) from None

    @field_validator("graph_optimization", mode="before")
    @classmethod
    def _check_level(cls, level: object) -> object:
        if level not in get_args(GraphOptimization):
            raise BadRequest(
                f"the graph optimisation {level!r} is not known",
                advice=f"it is one of {', '.join(get_args(GraphOptimization))}",
            )
        return level


def options_of(kind: type[_O], options: FrameworkOptions) -> _O:
    """Give the options as a framework's own record.

    Raises:
        BadRequest: they are another framework's.
    """
    if isinstance(options, kind):
        return options
    if type(options) is FrameworkOptions:
        return kind(**dict(options))
    raise BadRequest(
        f"the options are {type(options).__name__}, which are another framework's",
        advice=f"give options={kind.__name__}(…), from {kind.__module__.rpartition('.')[0]}",
    )
