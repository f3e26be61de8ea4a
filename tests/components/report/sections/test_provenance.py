"""Where the model comes from, as the page shows it."""

from components.contract import features
from components.contract.gates import Check, Gate, Override
from components.report.inputs import ReportInputs
from components.report.pictures import Pictures
from components.report.sections import provenance
from components.report.sections.provenance import list_entries
from tests.components.report.conftest import SERVED
from tests.components.report.show import show

SUMMARY = {
    "run_id": "20260131-120000-abcd",
    "served": 8,
    "model": {"version": 8, "path": "/pets/serving/8", "weights_sha256": "f" * 64},
}


def test_the_lineage_leads_from_the_data_to_the_version(made_run):
    html = show(provenance, made_run.inputs(), {"summary": SUMMARY, "command": "", "serving": "/my pets/serving"})
    steps = provenance.gather(made_run.inputs(), Pictures())["steps"]
    assert [step["title"] for step in steps] == ["Data", "Examples", "Features", "Model", "Evaluation", "Gates"]
    assert [step["digest"][:3] for step in steps] == ["ddd", "eee", "bbb", "aaa", "", ""]
    assert steps[4]["lines"] == ["6 images", f"against version {SERVED}"]
    assert f'<code title="{"d" * 64}">dddddddddddd</code>' in html
    assert "<strong>Version 8</strong>" in html
    assert f"<span>after version {SERVED}</span>" in html
    assert "graft models reproduce &#39;/my pets/serving&#39; 8</code>" in html


def test_a_run_without_a_version_says_so_and_gives_its_command(made_run):
    run = {"summary": SUMMARY | {"model": None}, "command": "graft run <pets>.yaml"}
    html = show(provenance, made_run.inputs(), run)
    assert "the model was not pushed" in html
    assert "graft run &lt;pets&gt;.yaml</code>" in html
    assert "reproduce" not in html


def test_a_task_on_a_cluster_does_not_know_the_version_yet(made_run):
    html = show(provenance, made_run.inputs())
    assert "if every gate let the model through" in html
    assert "graft models reproduce WORKDIR VERSION" in html


def test_the_passport_of_the_version_stands_before_that_of_the_plan(made_run):
    plan = show(provenance, made_run.inputs(), {"summary": SUMMARY, "command": "", "passport": []})
    assert "As the run planned it" in plan
    entries = list_entries({"version": 8, "libraries": {"tfx": "1.16.0"}, "class_map": {"a": 0}})
    pushed = show(provenance, made_run.inputs(), {"summary": SUMMARY, "command": "", "passport": entries})
    assert "As it lies in the version" in pushed
    assert '<th scope="row" class="name">libraries.tfx</th><td>1.16.0</td>' in pushed


def test_of_digests_the_beginning_is_shown_and_classes_are_no_rows():
    passport = {"model_key": "a" * 64, "class_map": {"cats": 0}, "model": {"classes": ["cats"], "image_size": [96, 96]}}
    rows = {row["name"]: row for group in list_entries(passport) for row in group["rows"]}
    assert rows.keys() == {"model_key", "model.image_size"}
    assert rows["model_key"]["digest"]
    assert rows["model.image_size"] == {"name": "model.image_size", "text": "96, 96", "digest": False}


def test_the_configuration_is_yaml(made_run):
    made_run.passport["config"]["name"] = "été: <b>"
    html = show(provenance, made_run.inputs())
    assert "trainer: epochs: 2 name: &#39;été: &lt;b&gt;&#39;" in html
    typed = show(provenance, made_run.inputs(), {"summary": SUMMARY, "command": "", "config": "name: as typed"})
    assert '<pre tabindex="0">name: as typed</pre>' in typed


def test_who_overrode_a_gate_and_what_corrected_labels_is_told(made_run):
    gate = Gate((Check("unusable", 0.5, 0.1, "fail", "too many", True),))
    verdict = gate.overridden_by(Override(("data",), "ann@lab", "2026-01-31T12:00:00Z", "known <bad> scans")).to_dict()
    corrections = {"corrections_sha256": "9" * 64, "corrected": 2, "excluded": 1, "lost_corrections": ["line 3: x"]}
    known = {features.DATASET_FILE: {"found": 3, **corrections}, "gates": {"data": verdict}}
    passport = {"config": {"data": {"corrections": "fixes.csv"}}}
    html = show(provenance, ReportInputs({}, passport=passport, known=known))
    assert "The data gate said no and was overridden by ann@lab: known &lt;bad&gt; scans" in html
    assert f'Corrections of <code>fixes.csv</code> (<code title="{"9" * 64}">999999999999</code>)' in html
    assert "gave 2 images another class and left 1 out; 1 rows name no image of the data." in html


def test_a_run_of_which_nothing_is_known_says_so():
    assert provenance.gather(ReportInputs({}), Pictures()).startswith("The run ended before")
