"""The text of a card: what people read, and what the Hub reads on top."""

import re

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData
from markdown_it import MarkdownIt

from components.options.card import CardOptions
from components.registry.card.facts import Sources, gather_facts
from components.registry.card.fields import PERSON_FIELDS
from components.registry.card.markdown import one_line
from components.registry.card.metadata import LICENSES
from components.registry.card.render import render_card
from tests.components.registry.card.test_facts import HELD
from tests.components.registry.card.test_markdown import HOSTILE

PARSER = MarkdownIt("commonmark").enable("table")


def rendered(card):
    """The texts of a card's body as a reader sees them, and the kinds of what is in it."""
    tokens = PARSER.parse(card.split("\n---\n", 1)[1])
    inlines = [child for token in tokens if token.type == "inline" for child in token.children]
    texts = ["".join(child.content for child in token.children) for token in tokens if token.type == "inline"]
    return texts, {token.type for token in [*tokens, *inlines]}


def test_the_hub_reads_the_metadata(facts):
    options = {"license": "Apache-2.0", "datasets": ["ann/pets"], "base_model": "google/mobilenet", "tags": ["pets"]}
    card = ModelCard(render_card(facts(card=options)))
    assert isinstance(card.data, ModelCardData)
    assert card.data.license == "apache-2.0"
    assert (card.data.library_name, card.data.pipeline_tag) == ("tensorflow", "image-classification")
    assert card.data.datasets == ["ann/pets"]
    assert card.data.base_model == "google/mobilenet"
    assert {"image-classification", "transfer-learning", "mobilenetv2", "pets"} <= set(card.data.tags)
    assert card.data.model_name == "pets"
    found = {row.metric_type: (row.metric_value, row.task_type, row.dataset_type) for row in card.data.eval_results}
    assert found == {
        "accuracy": (0.9, "image-classification", "ann/pets"),
        "f1": (0.875, "image-classification", "ann/pets"),
    }
    assert card.data.metrics == ["accuracy", "f1"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"license": "MIT"}, {"license": "mit"}),
        (
            {"license": "Our House Licence, v2", "license_link": "LICENSE"},
            {"license": "other", "license_name": "our-house-licence-v2", "license_link": "LICENSE"},
        ),
        ({"license": "رخصة"}, {"license": "other", "license_name": "other"}),
    ],
)
def test_a_licence_is_one_that_the_hub_knows_or_has_a_name(facts, options, expected):
    data = yaml.safe_load(render_card(facts(card=options)).split("---\n")[1])
    assert {name: value for name, value in data.items() if name.startswith("license")} == expected
    assert data.get("license", "other") in LICENSES


def test_without_an_evaluation_there_are_no_results():
    card = ModelCard(render_card(gather_facts({"name": "pets", "version": 7, "created": "x"}, Sources())))
    assert card.data.eval_results is None
    assert "Not evaluated." in card.text


def test_open_fields_are_marked_and_counted(facts):
    text = render_card(facts(card={"owner": "Ann", "intended_use": "For vets."}))
    assert "6 of 8 fields for a person are open: `card.out_of_scope_use`" in text
    assert text.count("**open**: `card.") == 6
    assert "**open**: `card.license` in the configuration fills it" in text
    assert "### Intended use\n\nFor vets.\n" in text


def test_a_card_without_open_fields_says_so(facts):
    text = render_card(facts(card=dict.fromkeys(PERSON_FIELDS, "said")))
    assert "0 of 8 fields for a person are open.\n" in text
    assert "**open**" not in text


def test_every_field_for_a_person_is_an_option():
    assert set(PERSON_FIELDS) <= set(CardOptions.model_fields)


def test_hostile_names_are_shown_and_nothing_else_happens(facts):
    names = [name for name in HOSTILE if name.strip()]
    hostile, person = "".join(HOSTILE), "<script>a</script> | b\n| c"
    text = render_card(
        facts(
            names,
            {"title": hostile, "tags": ["a\n---\nb: c"], **dict.fromkeys(("owner", "contact", "license"), person)},
            verdicts={"data": {"passed": True, "checks": [{"verdict": "warn", "reason": hostile, "stops": False}]}},
            dataset={"reasons": {hostile: 1}, "flags": {hostile: 1}, "formats": {hostile: 1}, "layout": hostile},
            override={"gates": ["data"], "who": "ann@lab", "when": "x", "reason": hostile},
            libraries={"tfx": hostile},
            git={"graft": {"revision": hostile, "dirty": True}, "directory": None},
        )
    )
    texts, kinds = rendered(text)
    assert not kinds & {"html_block", "html_inline", "image", "fence", "code_block", "s_open"}
    for name in names:
        assert one_line(name).strip() in texts
    assert "<script" not in text.split("\n---\n", 1)[1]
    assert ModelCard(text).data.tags[-1] == "a\\n---\\nb: c"
    rows = [token for token in PARSER.parse(text.split("\n---\n", 1)[1]) if token.type == "tr_open"]
    written = [line for line in text.splitlines() if line.startswith("| ") and not re.fullmatch(r"\|( --- \|)+", line)]
    assert len(rows) == len(written)


def test_a_thousand_classes_are_fifty_rows_and_a_count(facts):
    text = render_card(facts([f"class {number:04}" for number in range(1000)]))
    assert sum(line.startswith("| class 0") for line in text.splitlines()) == 50
    assert "950 of 1,000 classes, none of them worse than these, are left out here." in text
    assert len(text) < 20_000


def test_corrected_labels_are_counted(facts):
    dataset = {"corrected": 7, "excluded": 2, "corrections_sha256": "c" * 64}
    assert "| corrections of labels | 7 corrected, 2 excluded |" in render_card(facts(dataset=dataset))
    assert "corrections of labels" not in render_card(facts())


def test_the_comparison_says_the_difference_with_its_interval(facts):
    text = render_card(facts(metrics={"held_against": {"baseline": HELD}}, baseline={"accuracy": 0.88}, parent=6))
    assert "Version 6 had an accuracy of 0.8800 on the same images; that of this one differs by +0.0200" in text
    assert "(interval -0.0100 to 0.0500): 5 images gained, 3 lost." in text


def test_provenance_is_there(facts):
    revision = {"revision": "a" * 40, "dirty": True}
    override = {"gates": ["quality"], "who": "ann@lab", "when": "2026-01-31", "reason": "the fair is today"}
    text = render_card(facts(git={"graft": revision, "directory": None}, override=override, same_model_as=5))
    assert f"| code of Graft, git | {'a' * 40}, with changes that are not committed |" in text
    assert "| directory of the run, git | unknown (no git repository) |" in text
    assert "by an override of quality on 2026-01-31: the fair is today" in text
    assert "ann" not in text  # who it was is for those to say who want to
    assert "| the very model of version | 5, with another card |" in text
    assert "2 processors (A Processor), 8.0 GB of memory, GPUs: A GPU" in text
    assert "12.5 in all, 3.2 of them for the pass through the backbone" in text
    assert "apache-2.0 (says K)" in text
    assert "resized inside of the model to 96 x 128 pixels" in text


def test_a_model_without_maps_explains_nothing(facts):
    assert "| `explain` |" in render_card(facts())
    assert "| `explain` |" not in render_card(facts(model={"classes": ["a"], "pooling": None}))


def test_a_model_says_that_it_tells_outliers_where_it_does(facts):
    model = {"classes": ["a"], "pooling": "avg", "outliers": {"max_refused": 0.05}}
    text = render_card(facts(model=model, metrics={"refused": 0.04}))
    assert "`known` bool [batch]: whether that is above 0.05" in text
    assert "good images that are called outliers" in text
    assert "`known`" not in render_card(facts())
