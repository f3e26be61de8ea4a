"""The page in headless Chromium: one image. Skipped where Chromium and its driver are not installed."""

import json
import shutil

import numpy as np
import pytest

from components.contract import features
from components.registry.find import find_model
from pipeline.predict.answers import predict_files
from pipeline.serve.host import Host
from pipeline.serve.intake import IntakeLimits
from tests import pictures
from tests.chromium import in_chromium, wait
from tests.conftest import CLASSES, picture_of
from tests.pipeline.serve.conftest import (
    choose,
    element,
    open_page,
    pixels,
    severe_messages,
    show_evidence,
)
from tests.pipeline.serve.fakes import running

GREEN = (30, 220, 30)
pytestmark = in_chromium


@pytest.fixture(scope="module")
def server(pushed):
    host = Host(str(pushed), "", 8)
    host.start()
    with running(host, IntakeLimits(request_bytes=1 << 20)) as (url, _):
        yield url
    host.close()


@pytest.fixture
def page(browser, server):
    """The page, freshly opened; in the end, no error may stand in the browser's log."""
    browser.get_log("browser")
    open_page(browser, server)
    yield browser
    assert severe_messages(browser) == []


def test_the_model_and_its_version_are_named(page, pushed):
    assert (page.title, element(page, "model").text) == ("shades", "shades")
    assert element(page, "state-text").text.startswith("version 1")
    assert element(page, "invitation").is_displayed()


def test_a_chosen_image_gets_label_probabilities_and_an_overlay(page, pushed, tmp_path):
    path = pictures.write(tmp_path / "light.png", picture_of(1, 1))
    (expected,) = predict_files(str(pushed), [str(path)])
    choose(page, path)
    assert element(page, "label").text == expected.label
    assert element(page, "probability").text == f"probability {percent(expected.probability)}"
    rows = page.find_elements("css selector", "#classes li")
    assert [row.text.split("\n") for row in rows] == [[name, percent(value)] for name, value in expected.ranked()]
    bars = [float(row.find_element("tag name", "meter").get_attribute("value")) for row in rows]
    assert bars == pytest.approx([value for _, value in expected.ranked()], abs=1e-5)
    assert "light.png" in element(page, "canvas").get_attribute("aria-label")
    without = pixels(page)
    assert not element(page, "map").is_displayed()  # nobody asked for it
    show_evidence(page)
    with_map = pixels(page)
    assert np.abs(with_map.astype(int) - without).max() > 30
    page.execute_script(
        "const o = document.getElementById('opacity'); o.value = 0; o.dispatchEvent(new Event('input'))"
    )
    assert element(page, "opacity-value").text == "0 %"
    np.testing.assert_array_equal(pixels(page), without)


def percent(value):
    return f"{100 * value:.{2 if value > 0.9995 or value < 0.0005 else 1}f} %"


KNOWN_AS = """
    const send = window.fetch.bind(window);
    window.fetch = async (url, wish) => {
        const answer = await send(url, wish);
        if (!String(url).includes(":predict")) return answer;
        const body = await answer.json();
        for (const row of body.predictions ?? []) if (row.label !== undefined) Object.assign(row, arguments[0]);
        return new Response(JSON.stringify(body), { status: answer.status, headers: answer.headers });
    };"""


@pytest.mark.parametrize("says", [{"outlier": 0.002, "known": False}, {"outlier": 0.4, "known": True}, None])
def test_an_image_that_the_model_does_not_know_is_none_of_the_classes(page, tmp_path, says):
    older = {"outlier": None, "known": None}  # JSON drops nothing: as good as absent
    page.execute_script(KNOWN_AS.replace("arguments[0]", json.dumps(says or older)))
    choose(page, *(pictures.write(tmp_path / f"{n}.png", picture_of(1, n)) for n in (1, 2)))
    label, unknown = element(page, "label").text, element(page, "unknown")
    if not says or says["known"]:
        assert label in CLASSES
        assert not unknown.is_displayed()
        assert ("40.0 % of good images look less typical" in element(page, "facts").text) == bool(says)
        return
    assert label == "None of these"
    assert unknown.text == "It looks unlike the images of every class: 0.2 % of good images look less typical."
    assert element(page, "nearest").text.removeprefix("The nearest class is ").rstrip(",") in CLASSES
    assert element(page, "probability").text.startswith("probability ")
    wait(page, lambda: page.find_element("css selector", "#items .what").text == "unknown")
    assert "labelled None of these" in element(page, "canvas").get_attribute("aria-label")


def test_a_dropped_image_is_taken_too(page):
    script = """
        const canvas = document.createElement("canvas"); canvas.width = canvas.height = 40;
        canvas.toBlob((blob) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([blob], "dropped.png", { type: "image/png" }));
            const event = new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true });
            document.getElementById("drop").dispatchEvent(event);
        });"""
    page.execute_script(script)
    wait(page, lambda: element(page, "result").is_displayed())
    assert element(page, "label").text in CLASSES
    assert "dropped.png" in element(page, "facts").text


@pytest.fixture(scope="module")
def cropping_server(pushed, tmp_path_factory):
    """That of a model that says that it sees squares only."""
    model = tmp_path_factory.mktemp("cropping") / "model"
    shutil.copytree(find_model(str(pushed)), model, ignore=shutil.ignore_patterns("passport.json"))
    facts = model / "assets" / features.FACTS_ASSET
    facts.write_text(json.dumps(json.loads(facts.read_text("utf-8")) | {features.CROP_FACT: True}), "utf-8")
    host = Host(str(model), "", 8)
    host.start()
    with running(host) as (url, _):
        yield url
    host.close()


@pytest.mark.parametrize(("height", "width"), [(100, 300), (300, 100)])
def test_the_map_covers_only_what_a_model_that_crops_sees(browser, cropping_server, tmp_path, height, width):
    open_page(browser, cropping_server)
    picture = np.full([height, width, 3], GREEN, np.uint8)  # which this model has evidence for at every place
    choose(browser, pictures.write(tmp_path / "green.png", pictures.encode(picture)))
    show_evidence(browser)
    coloured = (np.abs(pixels(browser)[..., :3].astype(int) - GREEN) > 5).any(axis=-1)
    places = np.argwhere(coloured) / (np.array(coloured.shape) / [height, width])
    middle = (np.array([height, width]) - 100) / 2
    assert (places.min(axis=0) >= middle - 1).all()
    assert (places.max(axis=0) <= middle + 101).all()
    assert np.ptp(places, axis=0).min() > 30


def test_what_is_no_image_is_said_and_the_next_one_is_answered(page, tmp_path):
    choose(page, pictures.write(tmp_path / "words.jpg", b"some words"))
    assert element(page, "error").text.startswith("words.jpg got no answer: not_an_image: starts with")
    assert not element(page, "canvas").is_displayed()
    choose(page, pictures.write(tmp_path / "dark.png", picture_of(0, 1)))
    wait(page, lambda: element(page, "result").is_displayed())
    assert not element(page, "error").is_displayed()


def test_a_file_that_is_too_large_is_not_even_sent(page, tmp_path):
    choose(page, pictures.write(tmp_path / "large.jpg", b"x" * (1 << 20)))
    assert "larger than 0 MB, which this server takes" in element(page, "error").text


def test_a_format_that_the_browser_cannot_show_still_gets_its_answer(page, tmp_path):
    choose(page, pictures.write(tmp_path / "scan.tiff", pictures.encode(pictures.noise(40, 30, 5), "tiff")))
    assert element(page, "label").text in CLASSES
    assert "this browser cannot show the format" in element(page, "facts").text


def test_the_picture_stands_as_the_model_sees_it(page, tmp_path):
    content = pictures.oriented(np.zeros([40, 80, 3], np.uint8), "jpeg", 6)
    choose(page, pictures.write(tmp_path / "rotated.jpg", content))
    height, width, _ = pixels(page).shape
    assert height == 2 * width


def test_the_page_fits_a_phone_and_is_reached_by_the_keyboard(page, tmp_path):
    phone = {"width": 360, "height": 640, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        choose(page, pictures.write(tmp_path / "light.png", picture_of(1, 1)))
        assert page.execute_script("return document.documentElement.scrollWidth") <= 360
        label, canvas = element(page, "label").rect, element(page, "canvas").rect
        assert label["y"] > canvas["y"] + canvas["height"]
        page.execute_script("document.getElementById('file').focus()")
        assert page.switch_to.active_element.get_attribute("id") == "file"
        names = page.execute_script(
            "return [...document.querySelectorAll('input, select')].map((i) => i.labels.length + (i.ariaLabel ? 1 : 0))"
        )
        assert min(names) >= 1
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
