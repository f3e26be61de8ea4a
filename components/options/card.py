"""Options of the model card: what only a person knows of a model."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from components.options.base import Options

Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=20_000)]
# An address on the Hub: `name` or `owner/name`.
HubName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?$")]


class CardOptions(Options):
    """What `MODEL_CARD.md` of a pushed version says beside what the run knows; null: it says that this is open."""

    title: Words | None = Field(None, description="Heading of the card; null: the pipeline's `name`.")
    intended_use: Words | None = Field(None, description="What the model is for, and for whom, in Markdown.")
    out_of_scope_use: Words | None = Field(None, description="What the model must not be used for, in Markdown.")
    limitations: Words | None = Field(
        None, description="Risks and biases that a person knows of, in Markdown; those measured are there anyway."
    )
    owner: Words | None = Field(None, description="Who answers for the model: a person, team or company.")
    contact: Words | None = Field(None, description="Where questions go: a mail address or a page.")
    license: Words | None = Field(
        None, description="Of the model: an identifier of the Hub such as apache-2.0, or a name of your own."
    )
    license_link: Words | None = Field(None, description="Where the text of a licence of your own is.")
    data_source: Words | None = Field(None, description="Where the images come from, and who labelled them how.")
    data_license: Words | None = Field(None, description="Licence or consent under which the images are used.")
    weights_license: Words | None = Field(
        None, description="Licence of the backbone's weights, where Graft does not know it; it wins over what is known."
    )
    base_model: HubName | None = Field(None, description="Address on the Hub of the model that the backbone is of.")
    datasets: list[HubName] = Field(default_factory=list, description="Addresses on the Hub of the data sets used.")
    tags: list[Words] = Field(default_factory=list, description="Further tags for the Hub.")
    show_user: bool = Field(False, description="Name the user and the machine that pushed.")
