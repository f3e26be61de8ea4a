"""A new user, an empty folder with images, no configuration, no internet: the network that is in the box."""

import shlex
import subprocess
from pathlib import Path

import pytest

from pipeline.sample import write_sample
from tests.e2e.conftest import ROOT, graft, read_summary, without_network

pytestmark = pytest.mark.e2e


def offline(folder: Path) -> tuple[str, ...]:
    """Starts a command where no weights are kept and none can be fetched."""
    return (
        *without_network(),
        "env",
        f"GRAFT_WEIGHTS={folder / 'none'}",
        "https_proxy=http://127.0.0.1:9",
        f"PYTHONPATH={ROOT}",
    )


def command_after(word: str, text: str) -> list[str]:
    """What a line tells to type."""
    (line,) = [line for line in text.splitlines() if line.split()[:1] == [word]]
    return shlex.split(line)[1:]


def test_a_first_run_ends_with_a_model_and_what_it_prints_next_works(tmp_path: Path) -> None:
    write_sample("sample:digits", tmp_path).rename(tmp_path / "my digits")
    finished = graft("run", "my digits", cwd=tmp_path, within=offline(tmp_path))
    assert finished.code == 0, finished.out + finished.err
    first, keep, *_ = finished.out.splitlines()
    assert first == "No configuration: EfficientNetLite0, images 192x192, packaged ImageNet weights"
    workdir = tmp_path / "work" / "my-digits"
    assert read_summary(workdir)["metrics"]["accuracy"] > 0.95
    assert (tmp_path / command_after("report", finished.out)[0]).is_file()
    written = shlex.split(keep)[2:]
    with open(tmp_path / written[-1], "w") as file:
        subprocess.run([*offline(tmp_path), *written[:-2]], cwd=tmp_path, stdout=file, check=True)
    again = graft("run", "config.yaml", "-q", cwd=tmp_path, within=offline(tmp_path))
    assert again.code == 0, again.out + again.err
    assert again.out.startswith("Unchanged: already serving version")
    *asked, image = command_after("next", again.out)
    assert image == "IMAGE..."
    picture = next((tmp_path / "my digits" / "7").iterdir())
    answer = subprocess.run(
        [*offline(tmp_path), *asked, str(picture)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert picture.name in answer.stdout
