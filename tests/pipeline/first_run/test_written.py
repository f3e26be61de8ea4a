"""A written configuration is the same when it is read, and what it lists as comments are the defaults."""

import re

import pytest

from pipeline.config.configuration import Config, known_keys, load_config
from pipeline.first_run.start import choose_start
from pipeline.first_run.written import ELSEWHERE, write_config

SETTINGS = [
    "kubeflow.image=registry/graft:1",
    "beam.runner=PortableRunner",
    'data.classes=["yes", "no", "0"]',
    "gates.quality.min={macro_f1: 0.5}",
    "trainer.backbone_args={alpha: 1.3}",
]


def take_up_comments(text):
    """What a user does: takes `#` away before keys."""
    return re.sub(r"^( *)#(?! )", r"\1", text, flags=re.MULTILINE)


@pytest.mark.parametrize("settings", [[], SETTINGS])
@pytest.mark.parametrize(
    "data", ["photos", 'صور "x" $HOME it\'s\nnew # line', "s3://bucket/$x/~", "sample:digits", "\udcff", "~"]
)
def test_it_is_the_same_configuration_from_wherever_it_is_read(machine, monkeypatch, data, settings):
    if not data.startswith(("s3", "sample")):
        (machine / "here" / data).mkdir(exist_ok=True)
    config = choose_start(data.replace("$", "$$") if data.startswith("s3") else data, settings).config
    path = machine / "elsewhere.yaml"
    for text in (write_config(config), take_up_comments(write_config(config))):
        path.write_text(text, "utf-8")
        monkeypatch.chdir("/")
        assert load_config(str(path)) == config


def test_every_option_is_there_with_what_it_means(machine):
    text = write_config(choose_start("photos").config)
    for key in known_keys():
        if key.partition(".")[0] not in ELSEWHERE:
            assert re.search(rf"^ *#?{key.rpartition('.')[2]}:", text, re.MULTILINE), key
    assert "# Share of images for evaluation, where the data does not give the split.\n  #eval_fraction: 0.2\n" in text
    assert "\nname: photos\n" in text
    assert "\n# kubeflow: see docs/kubeflow.md\n" in text


def test_lines_at_the_top_are_comments_whatever_is_in_them(machine):
    config = choose_start("photos").config
    text = write_config(config, ["Made by: graft init 'a\nb: c'", "\x07 \udcff", ""])
    assert text.startswith("# Made by: graft init 'a\\nb: c'\n# \\x07 \\udcff\n#\n")
    (machine / "a.yaml").write_text(text, "utf-8")
    assert load_config(str(machine / "a.yaml")) == config


def test_defaults_alone_are_written_as_comments():
    live = [line for line in write_config(Config()).splitlines() if line and not line.lstrip().startswith("#")]
    keys = {line.strip().partition(":")[0] for line in live if not line.endswith(":")}
    assert keys == {"name", "path", "image_size", "backbone", "backbone_args", "weights"}
