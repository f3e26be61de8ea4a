"""`graft init` and `graft run` without a configuration: the two are equal; flags of `run` and `check`."""

import pytest
from typer.testing import CliRunner

from components.trainer.backbones.downloads import CACHE_VARIABLE
from pipeline import __main__ as console_script
from pipeline.cli import app
from pipeline.config.configuration import load_config
from pipeline.first_run import start
from pipeline.run import multi_worker
from tests import pictures

ODD = 'my "pets" صور'


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of images where the user stands; there is no internet, and no weights are kept."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(start, "can_reach", lambda url: False)
    for label in ("cats", "dogs"):
        (tmp_path / ODD / label).mkdir(parents=True)
        for number in range(3):
            content = pictures.encode(pictures.noise(20, 20, number, 0, 255), "png")
            (tmp_path / ODD / label / f"{number}.png").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ran(monkeypatch):
    """What `graft run` would have run: configuration, working directory, options."""
    calls = []

    def take(config, root, options):
        calls.append((config, root, options))
        return 0

    monkeypatch.setattr(multi_worker, "run_among_workers", take)
    return calls


def graft(*arguments):
    return CliRunner().invoke(app, list(arguments))


SETTINGS = ["--set", "trainer.epochs=3", "--set", "data.classes=[cats, dogs]"]


@pytest.mark.parametrize("settings", [[], SETTINGS])
@pytest.mark.parametrize("target", [ODD, f"{ODD}/", f"./{ODD}", "sample:digits"])
def test_what_init_prints_is_what_run_uses(here, ran, target, settings):
    printed = graft("init", target, *settings)
    assert (printed.exit_code, printed.stderr) == (0, "")
    (here / "config.yaml").write_text(printed.stdout, "utf-8")
    for arguments in ([target, *settings], ["config.yaml"]):
        done = graft("run", *arguments)
        assert done.exit_code == 0, done.output
    (images, place, _), (written, same_place, _) = ran
    assert images == written == load_config("config.yaml")
    assert place == same_place


def test_init_writes_a_new_file_and_says_what_to_type(here, ran, monkeypatch):
    done = graft("init", ODD, "--output", "my config.yaml")
    assert done.exit_code == 0, done.output
    assert "No configuration: EfficientNetLite0" in done.stdout
    assert done.stdout.endswith("next     graft run 'my config.yaml'\n")
    assert graft("run", "my config.yaml").exit_code == 0
    monkeypatch.setattr("sys.argv", ["graft", "init", ODD, "--output", "my config.yaml"])
    with pytest.raises(SystemExit) as ended:
        console_script.main()
    assert ended.value.code == 2


def test_a_run_says_first_what_was_chosen_and_how_to_keep_it(here, ran):
    lines = graft("run", ODD).stdout.splitlines()
    assert lines[0].startswith("No configuration: EfficientNetLite0, images 192x192")
    assert lines[1] == f"  keep it  graft init '{ODD}' > config.yaml"
    assert ran[0][1].as_posix() == "work/my-pets"


def test_a_configuration_needs_no_such_lines(here, ran):
    (here / "a.yaml").write_text("name: mine\n", "utf-8")
    assert graft("run", "a.yaml", "--data", ODD).stdout == ""
    assert ran[0][1].as_posix() == "work/mine"


@pytest.mark.parametrize(("flags", "detail"), [([], "normal"), (["-q"], "quiet"), (["--verbose"], "verbose")])
def test_flags_say_how_much_is_shown(here, ran, flags, detail):
    done = graft("run", ODD, *flags)
    assert ran[0][2].detail == detail
    assert bool(done.stdout) is (detail != "quiet")


def test_search_is_among_what_is_kept(here, ran):
    assert "graft init" in graft("run", ODD, "--tune").stdout
    assert ran[0][0].tuner.enabled
    assert "--set tuner.enabled=true > config.yaml" in graft("run", ODD, "--tune").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run"], "Expected the folder of the images, or a configuration."),
        (["run", ODD, "-v", "-q"], "--verbose, --quiet: expected one of them, got both."),
        (["run", ODD, "--data", ODD], "--data: the images are given already"),
        (["check", ODD, "--data", ODD], "--data: the images are given already"),
        (["check", "gone"], "Expected images or a configuration at gone: nothing is there."),
        (["init", "gone"], "Expected images or a configuration at gone: nothing is there."),
    ],
)
def test_what_cannot_be_is_said_with_code_2(here, ran, monkeypatch, capsys, arguments, words):
    monkeypatch.setattr("sys.argv", ["graft", *arguments])
    with pytest.raises(SystemExit) as ended:
        console_script.main()
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
    assert ran == []


def test_a_quiet_check_shows_no_progress(here):
    done = graft("check", ODD, "-q")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "6 files" in done.stdout
