"""Fields of a card that only a person can fill, and which of them are open."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# Option below `card:`, and what it is called in the card.
PERSON_FIELDS = {
    "intended_use": "Intended use",
    "out_of_scope_use": "Out-of-scope use",
    "limitations": "Limitations known to people",
    "license": "Licence",
    "owner": "Owner",
    "contact": "Contact",
    "data_source": "Source of the images",
    "data_license": "Licence of the images",
    "weights_license": "Licence of the backbone's weights",
}
WEIGHTS_LICENSE = "weights_license"  # asked for only where Graft does not know it


def given_card(passport: Mapping[str, Any]) -> dict[str, Any]:
    """Gives what a passport's configuration says in `card:`, without what is empty; also of one from before cards."""
    card = (passport.get("config") or {}).get("card") or {}
    return {name: value for name, value in card.items() if value}


def list_fields(weights: Mapping[str, Any]) -> list[str]:
    """Lists the options of `card:` that a person is asked to fill.

    Args:
        weights: of the backbone, as `assets/graft.json` describes them; empty: nothing is known.
    """
    known = bool(weights.get("license")) or weights.get("source") == "none"
    return [name for name in PERSON_FIELDS if name != WEIGHTS_LICENSE or not known]


def list_open(card: Mapping[str, Any], weights: Mapping[str, Any]) -> list[str]:
    """Lists those fields that nobody has filled; `card` is that of `given_card`."""
    return [name for name in list_fields(weights) if not card.get(name)]
