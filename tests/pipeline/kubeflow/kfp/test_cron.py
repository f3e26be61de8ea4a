from __future__ import annotations

import pytest

from components.errors import InputError
from pipeline.kubeflow.kfp.cron import check_cron, to_five_fields


@pytest.mark.parametrize(
    "text", ["0 0 3 * * *", "0  */15 8-17 ? * MON-FRI", "0,30 0 0 1 JAN,jul *", "59 59 23 31 12 6", "0 0 0/6 * * ?"]
)
def test_what_kubeflow_takes(text: str) -> None:
    assert check_cron(text) == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 3 * * *", "got five: '0 3 * * *'.\nMeant is probably --cron \"0 0 3 * * *\"."),
        ("@daily", "expected six fields"),
        ("", "expected six fields"),
        ("0 60 3 * * *", "'60' is no minute.\nExpected 0 to 59."),
        ("0 0 24 * * *", "'24' is no hour"),
        ("0 0 3 0 * *", "'0' is no day of the month"),
        ("0 0 3 * 13 *", "'13' is no month"),
        ("0 0 3 * * 7", "'7' is no day of the week"),
        ("0 0 3 * mon *", "'mon' is no month"),
        ("0 0 9-8 * * *", "runs backwards"),
        ("0 */0 3 * * *", "a step of 0"),
        ("0 0 3 * * L", "'L' is no day of the week"),
    ],
)
def test_what_it_does_not(text: str, words: str) -> None:
    with pytest.raises(InputError) as error:
        check_cron(text)
    assert words in str(error.value)


def test_vertex_has_no_seconds() -> None:
    assert to_five_fields("0 30 4 ? * MON") == "30 4 * * MON"
    with pytest.raises(InputError, match="Vertex has no seconds; expected 0 as the first field, got '15'"):
        to_five_fields("15 0 3 * * *")
