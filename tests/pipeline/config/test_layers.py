"""Configuration files as people write them: YAML's traps, keys given twice, one file on another."""

import pytest
import yaml

from components.errors import InputError
from pipeline.config.configuration import Config, load_config


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes configurations below the folder that the test stands in."""
    monkeypatch.chdir(tmp_path)

    def call(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return name

    return call


def refusal(path, *settings):
    with pytest.raises(InputError) as caught:
        load_config(path, list(settings))
    return str(caught.value)


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        *((word, "a yes or no") for word in ("yes", "No", "on", "OFF", "true", "False")),
        *((word, "a number") for word in ("0", "12", "1.5", "007", "0x1F", "1_000", "12:30", ".inf")),
        *((word, "a date") for word in ("2024-01-01", "2024-01-01 10:00:00")),
        *((word, "nothing") for word in ("null", "~")),
    ],
)
def test_words_that_yaml_reads_otherwise_are_to_be_quoted(write, written, kind):
    text = refusal(write("my.yaml", f"name: pets\ndata:\n  classes: [{written}, cats, 'dogs']\n"))
    assert text == (
        "The configuration of my.yaml is not usable:\n"
        f"  data.classes: expected text, and YAML reads {written} as {kind}; put it in quotes: "
        f'["{written}", "cats", "dogs"] (line 3 of my.yaml)'
    )
    assert load_config(write("my.yaml", f"data:\n  classes: ['{written}', cats]\n")).data.classes == [written, "cats"]


@pytest.mark.parametrize(
    "form", ["  classes: [yes, no]\n", "  classes:\n  - yes\n  - no\n", "  classes: &c [yes, no]\n"]
)
def test_a_list_is_refused_once_with_all_its_words(write, form):
    text = refusal(write("my.yaml", "data:\n" + form))
    assert 'YAML reads yes, no as a yes or no; put it in quotes: ["yes", "no"] (line' in text
    assert len(text.splitlines()) == 2


def test_a_long_list_is_shown_in_part(write):
    words = "".join(f"  - {number}\n" for number in range(200))
    text = refusal(write("my.yaml", "data:\n  classes:\n" + words))
    assert '"6", "7", ...]' in text
    assert len(text) < 400


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("name: 2024-01-01", 'name: expected text, and YAML reads 2024-01-01 as a date; put it in quotes: "2024'),
        ("name: no", 'put it in quotes: "no" (line 1 of my.yaml)'),
        ("trainer: {weights: off}", 'trainer.weights: expected text, and YAML reads off as a yes or no; put it'),
        ("kubeflow: {node_selector: {gpu: true}}", 'kubeflow.node_selector.gpu: expected text, and YAML reads true as'),
        ("kubeflow: {node_selector: {on: here}}", 'kubeflow.node_selector.on: expected text, and YAML reads on as'),
        ("beam: {args: [8]}", 'beam.args: expected text, and YAML reads 8 as a number; put it in quotes: ["8"]'),
        ("evaluator: {slices: [1, 2]}", 'put it in quotes: ["1", "2"]'),
    ],
)  # fmt: skip
def test_any_text_is_treated_alike(write, text, part):
    assert part in refusal(write("my.yaml", text))


def test_settings_are_treated_alike():
    assert """put it in quotes: --set 'data.classes=["yes", "no"]' (--set data.classes)""" in refusal(
        None, "data.classes=[yes, no]"
    )
    assert load_config(None, ['data.classes=["yes", "no"]']).data.classes == ["yes", "no"]
    assert "'low' is given twice, in line 1" in refusal(None, "tuner.space={dropout: {low: 0, low: 1}}")


@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        ("trainer: {epochs: 1}\ndata: {}\ntrainer: {seed: 1}\n", "trainer", (1, 3)),
        ("trainer:\n  epochs: 1\n  seed: 2\n  epochs: 1\n", "epochs", (2, 4)),
        ("name: a\n'name': a\n", "name", (1, 2)),
        ("trainer:\n  backbone_args:\n    alpha: 1\n    alpha: 1\n", "alpha", (3, 4)),
        ("kubeflow:\n  volumes:\n  - claim: a\n    mount_path: /a\n    claim: b\n", "claim", (3, 5)),
        ("extends: a.yaml\nextends: b.yaml\n", "extends", (1, 2)),
        ("x: &x\n  a: 1\n  a: 2\ny: *x\n", "a", (2, 3)),
    ],
)
def test_a_key_that_is_given_twice_is_refused_with_both_lines(write, text, key, lines):
    expected = f"my.yaml: '{key}' is given twice, in line {lines[0]} and in line {lines[1]}.\nKeep one"
    assert refusal(write("my.yaml", text)).startswith(expected)


def test_anchors_and_merges_still_work(write):
    text = "trainer: {backbone_args: &a {alpha: 0.35}}\ntuner: {space: {dropout: [0.1]}}\n"
    assert load_config(write("my.yaml", text)).trainer.backbone_args == {"alpha": 0.35}
    text = "trainer:\n  <<: {epochs: 3, seed: 4}\n  epochs: 5\n"
    config = load_config(write("my.yaml", text))
    assert (config.trainer.epochs, config.trainer.seed) == (5, 4)


@pytest.mark.parametrize("text", ["a: &a [*a]\n", "data: &d\n  path: *d\n", "[" * 5000])
def test_yaml_without_an_end_is_refused(write, text):
    assert refusal(write("my.yaml", text)).startswith("my.yaml")


def test_a_file_extends_another(write):
    write(
        "base.yaml",
        "name: base\ntrainer: {epochs: 3, seed: 4, backbone_args: {alpha: 0.35}}\ndata: {classes: [a, b]}\n",
    )
    text = "extends: base.yaml\nname: mine\ntrainer: {epochs: 5}\ndata: {classes: [c]}\n"
    config = load_config(write("my.yaml", text))
    assert config == Config.model_validate(
        {
            "name": "mine",
            "trainer": {"epochs": 5, "seed": 4, "backbone_args": {"alpha": 0.35}},
            "data": {"classes": ["c"]},
        }
    )


def test_an_empty_section_leaves_what_it_extends(write):
    write("base.yaml", "trainer: {epochs: 3, weights_sha256: '" + "0" * 64 + "'}\n")
    assert load_config(write("my.yaml", "extends: base.yaml\ntrainer:\n")).trainer.epochs == 3
    assert (
        load_config(write("my.yaml", "extends: base.yaml\ntrainer: {weights_sha256: null}\n")).trainer.weights_sha256
        is None
    )


def test_a_chain_goes_on_from_folder_to_folder_and_paths_are_meant_from_their_file(write, tmp_path):
    write("top/a.yaml", "data: {path: photos}\ntrainer: {weights: w.h5, epochs: 2}\n")
    write("top/w.h5", "")
    write("top/team/b.yaml", "extends: ../a.yaml\ntrainer: {epochs: 3}\n")
    write("mine/c.yaml", f"extends: {tmp_path}/top/team/b.yaml\ntrainer: {{seed: 7}}\n")
    config = load_config("mine/c.yaml", ["trainer.epochs=9"])
    trainer = config.trainer
    assert (trainer.epochs, trainer.seed) == (9, 7)
    assert config.data.path.endswith("/top/team/../photos")
    assert (tmp_path / trainer.weights).resolve() == tmp_path / "top" / "w.h5"


@pytest.mark.parametrize("texts", [["a"], ["b", "a"], ["b", "c", "a"]])
def test_a_circle_is_refused_with_its_files(write, texts):
    for name, parent in zip("abc", texts, strict=False):
        write(f"{name}.yaml", f"extends: {parent}.yaml\n")
    chain = " -> ".join(f"{name}.yaml" for name in ["a", *texts])
    assert refusal("a.yaml") == f"extends: expected a chain of files that ends, found {chain}.\nBreak it."


@pytest.mark.parametrize("value", ["[a.yaml]", "7", "''", "yes"])
def test_what_is_extended_is_one_file(write, value):
    assert "my.yaml: extends: expected the path of one file" in refusal(write("my.yaml", f"extends: {value}\n"))


def test_a_file_that_is_not_there_is_named_with_the_one_that_extends_it(write):
    text = refusal(write("my.yaml", "extends: gone.yaml\n"))
    assert text.startswith("Expected a configuration file at gone.yaml, which my.yaml extends: No such file")


def test_errors_name_the_file_and_the_line_that_they_are_from(write):
    write("base.yaml", "trainer:\n  epoch: 3\n  dropout: 2\n")
    text = refusal(write("my.yaml", "extends: base.yaml\ntrainer: {seed: -1}\n"), "trainer.l2=-1", "data.pth=x")
    lines = dict(line.strip().split(": ", 1) for line in text.splitlines()[1:])
    assert lines["trainer.epoch"] == "unknown key. Did you mean 'trainer.epochs'? (line 2 of base.yaml)"
    assert lines["trainer.dropout"].endswith("(line 3 of base.yaml)")
    assert lines["trainer.seed"].endswith("(line 2 of my.yaml)")
    assert lines["trainer.l2"].endswith("(--set trainer.l2)")
    assert lines["data.pth"].endswith("(--set data.pth)")
    assert "unknown key. Did you mean 'extends'?" in refusal(write("my.yaml", "extend: base.yaml\n"))


def test_what_is_recorded_is_one_whole_configuration(write):
    write("base.yaml", "trainer: {epochs: 3}\n")
    config = load_config(write("my.yaml", "extends: base.yaml\nname: mine\n"))
    assert "extends" not in yaml.safe_load(config.to_yaml())
    assert load_config(write("whole.yaml", config.to_yaml())) == config


def test_a_section_whose_lines_are_all_comments_is_as_if_it_were_not_there(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("trainer:\n  #epochs: 3\ngates:\n  quality:\n    #min_accuracy: 0.9\n  data:\n    on_drift: stop\n")
    config = load_config(str(path))
    assert config.trainer == Config().trainer
    assert config.gates.quality == Config().gates.quality
    assert config.gates.data.on_drift == "stop"
    path.write_text("trainer:\n  weights:\n")  # an option is no section
    with pytest.raises(InputError, match=r"trainer.weights: Input should be a valid string"):
        load_config(str(path))
