"""The page in headless Chromium: several images, examples, maps, camera, snippets, corrections, another version."""

import base64
import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from components.registry.find import find_model
from components.registry.publish import publish_model
from pipeline.serve.host import Host
from tests import pictures
from tests.chromium import in_chromium, wait
from tests.conftest import CLASSES, picture_of
from tests.pipeline.serve.conftest import (
    choose,
    element,
    has_map,
    open_page,
    pixels,
    severe_messages,
    show_evidence,
)
from tests.pipeline.serve.fakes import running

pytestmark = in_chromium
ODD_NAME = "<img src=x onerror=alert(1)>.png"


@pytest.fixture
def page(browser, full_server):
    """The page, freshly opened; in the end, no error may stand in the browser's log."""
    browser.get_log("browser")
    open_page(browser, full_server[0])
    yield browser
    assert severe_messages(browser) == []


@pytest.fixture
def files(tmp_path):
    """One picture a class, and what is none under a name that would be a tag."""
    names = ("dark.png", "light.png", "green.png")
    good = [pictures.write(tmp_path / name, picture_of(label, 9)) for label, name in enumerate(names)]
    return [*good, pictures.write(tmp_path / ODD_NAME, b"words")]


def choose_option(page, name, text):
    from selenium.webdriver.support.ui import Select

    Select(element(page, name)).select_by_visible_text(text)


def ask_all(page, files):
    choose(page, *files)
    wait(page, lambda: "3 answered, 1 without an answer" in element(page, "strip-text").text)


def test_several_images_are_asked_and_each_can_be_shown(page, files):
    ask_all(page, files)
    rows = page.find_elements("css selector", "#items button")
    assert [row.find_element("class name", "name").text for row in rows] == [path.name for path in files]
    assert [row.find_element("class name", "what").text for row in rows] == [*CLASSES, "no answer"]
    rows[1].click()
    assert element(page, "label").text == CLASSES[1]
    assert rows[1].get_attribute("aria-current") == "true"
    rows[1].send_keys("\ue014")  # arrow to the right
    assert element(page, "label").text == CLASSES[2]
    rows[2].send_keys("\ue014")
    assert element(page, "error").text.startswith(f"{ODD_NAME} got no answer: not_an_image: starts with")
    element(page, "clear").click()
    assert element(page, "invitation").is_displayed()
    assert element(page, "empty").is_displayed()
    assert page.find_elements("css selector", "#items button") == []


def test_pasted_images_are_all_taken_and_text_is_left_alone(page, files):
    contents = [base64.b64encode(path.read_bytes()).decode() for path in files[:2]]
    page.execute_script(
        """
        const transfer = new DataTransfer();
        for (const content of arguments[0]) {
            const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
            transfer.items.add(new File([bytes], "image.png", { type: "image/png" }));
        }
        document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer }));""",
        contents,
    )
    wait(page, lambda: "2 answered" in element(page, "strip-text").text)


def test_what_is_dropped_and_is_no_file_is_said(page):
    page.execute_script(
        """
        const transfer = new DataTransfer();
        transfer.setData("text/uri-list", "https://example.org/x.png");
        document.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, cancelable: true }));"""
    )
    assert element(page, "strip-text").text == "That was no file. Save the image first, then drop the file."


def test_an_example_is_asked_and_held_against_its_class(page):
    wait(page, lambda: len(page.find_elements("css selector", "#examples img")) == 9)
    captions = [found.text for found in page.find_elements("css selector", "#examples figcaption")]
    assert captions == CLASSES
    page.find_elements("css selector", "#examples button")[4].click()
    wait(page, lambda: element(page, "truth").is_displayed())
    said, label = element(page, "truth").text, element(page, "label").text
    assert said == ("as in the data" if label == CLASSES[1] else f"in the data: {CLASSES[1]}")
    assert f"example 2 of {CLASSES[1]}" in element(page, "facts").text


def test_the_map_is_that_of_the_class_that_is_chosen(page, files):
    choose(page, files[2])
    show_evidence(page)
    assert has_map(page, CLASSES[2])
    assert f"speaks for {CLASSES[2]}" in element(page, "legend-text").text
    predicted = pixels(page)
    choose_option(page, "map-class", CLASSES[1])
    wait(page, lambda: CLASSES[1] in element(page, "legend-text").text)
    assert np.abs(pixels(page).astype(int) - predicted).max() > 20
    element(page, "evidence").click()
    assert not element(page, "map").is_displayed()
    assert not has_map(page)


def test_a_version_of_an_older_graft_gives_the_map_of_its_answer_alone(browser, older_model, files):
    host = Host(str(older_model), "shades", 8)
    host.start()
    with running(host) as (url, _):
        open_page(browser, url)
        choose(browser, files[2])
        show_evidence(browser)
        assert has_map(browser, CLASSES[2])
        assert not element(browser, "map-class").is_enabled()
        assert "This version gives the map of its answer alone." in element(browser, "legend-text").text
        assert "not recorded" in element(browser, "about-facts").text
        assert not element(browser, "gallery").is_displayed()
        assert not element(browser, "wrong").is_displayed()
        browser.get("about:blank")
    host.close()


def test_the_facts_and_the_card_of_the_version_are_shown(page, full_workdir):
    facts = element(page, "about-facts").text
    assert "75.0 % (50.0 % to 90.0 %), on 9 images that it did not learn from" in facts
    assert find_model(str(full_workdir)).name in facts
    element(page, "card-open").click()
    card = element(page, "card-text")
    assert "Intended use" in card.text
    assert "<img src=x onerror=alert(1)> tells shades." in card.text
    assert card.find_elements("tag name", "img") == []
    page.execute_script("document.querySelector('#card [data-close]').click()")
    assert not card.is_displayed()


def test_the_camera_gives_an_image(page):
    element(page, "camera").click()
    wait(page, lambda: element(page, "snap").is_enabled())
    element(page, "snap").click()
    wait(page, lambda: element(page, "result").is_displayed())
    assert element(page, "facts").text.startswith("camera-")
    assert not element(page, "camera-dialog").is_displayed()


def test_a_page_that_gets_no_camera_says_why(page):
    page.execute_script("Object.defineProperty(navigator, 'mediaDevices', { value: undefined, configurable: true })")
    page.execute_script("Object.defineProperty(window, 'isSecureContext', { value: false })")
    element(page, "camera").click()
    wait(page, lambda: element(page, "camera-error").is_displayed())
    assert "only to pages of https or of this machine (localhost)" in element(page, "camera-error").text
    assert not element(page, "snap").is_enabled()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_snippets_run_as_they_are_shown(page, files, tmp_path):
    element(page, "code").find_element("tag name", "summary").click()
    large = pictures.encode(pictures.noise(400, 400, 1))  # over what one argument of a program may hold
    assert len(large) > 1 << 18
    pictures.write(tmp_path / "photo.jpg", large)
    curl, python = (element(page, name).text for name in ("curl", "python"))
    said = subprocess.run(["sh", "-c", curl], cwd=tmp_path, capture_output=True, text=True, check=True)
    prediction = json.loads(said.stdout)["predictions"][0]
    done = subprocess.run([sys.executable, "-c", python], cwd=tmp_path, capture_output=True, text=True, check=True)
    label, probability = done.stdout.split()
    assert label == prediction["label"]
    assert float(probability) == pytest.approx(prediction["probability"], abs=1e-5)


def test_a_wrong_answer_is_corrected_and_corrected_again(page, files, full_server):
    _, folder = full_server
    choose(page, files[0])
    element(page, "wrong").find_element("tag name", "summary").click()
    element(page, "save").click()  # nothing is chosen: the browser asks for it
    choose_option(page, "right", CLASSES[2])
    element(page, "save").click()
    wait(page, lambda: element(page, "saved").text == f"Saved as {CLASSES[2]}. 1 image is kept for the next run.")
    choose_option(page, "right", "another class ...")
    element(page, "new-class").send_keys("<b>قطة</b>")
    element(page, "save").click()
    wait(page, lambda: "Saved as the new class <b>قطة</b> in the place of" in element(page, "saved").text)
    with open(folder / "manifest.csv", encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["label"], row["predicted"]) == ("<b>قطة</b>", CLASSES[0])
    assert (folder / row["path"]).read_bytes() == files[0].read_bytes()
    element(page, "new-class").clear()
    element(page, "new-class").send_keys("  ")
    element(page, "save").click()
    wait(page, lambda: "Not saved: label: expected the name of a class" in element(page, "saved").text)


def test_an_answer_is_marked_where_another_version_takes_over_and_is_asked_again(
    browser, pushed, stubborn_model, files, tmp_path
):
    shutil.copytree(pushed, tmp_path / "work")
    host = Host(str(tmp_path / "work"), "", 8)
    host.start()
    with running(host) as (url, _):
        open_page(browser, url)
        choose(browser, files[1])
        first = find_model(str(tmp_path / "work")).name
        assert element(browser, "label").text == CLASSES[1]
        assert not element(browser, "stale").is_displayed()
        passport = {"model_key": "s", "name": "shades", "parent": int(first)}
        publish_model(stubborn_model / "Format-Serving", tmp_path / "work" / "serving", passport)
        second = find_model(str(tmp_path / "work")).name
        wait(browser, lambda: element(browser, "stale").is_displayed())
        said = f"This answer is of version {first}; version {second} answers now."
        assert element(browser, "stale-text").text == said
        wait(browser, lambda: second in element(browser, "about-facts").text)
        element(browser, "again").click()
        wait(browser, lambda: element(browser, "label").text == CLASSES[0])
        assert not element(browser, "stale").is_displayed()
    wait(browser, lambda: "The server does not answer" in element(browser, "state-text").text)
    choose(browser, files[2])
    said = "green.png got no answer: The server does not answer. Is graft serve still running?"
    assert element(browser, "error").text == said
    browser.get("about:blank")
    host.close()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_and_text_stands_out(page, files, width, scheme):
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    try:
        assert not element(page, "empty").is_displayed() or width > 500  # an empty half would be all that a phone shows
        ask_all(page, files)
        page.find_elements("css selector", "#items button")[0].click()
        show_evidence(page)
        page.execute_script("for (const found of document.querySelectorAll('details')) found.open = true")
        assert page.execute_script("return document.documentElement.scrollWidth") <= width
        ground, ink = (
            page.execute_script(f"return getComputedStyle(document.body).{name}")
            for name in ("backgroundColor", "color")
        )
        assert contrast(ground, ink) > 7
        focusable = (
            "return [...document.querySelectorAll('button, select, input, summary, a')].every((e) => e.tabIndex >= 0)"
        )
        assert page.execute_script(focusable)
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def contrast(*colours):
    """WCAG 2.1's contrast of two colours, each `rgb(r, g, b)`."""
    lightness = []
    for colour in colours:
        parts = np.array(colour.removeprefix("rgb(").removesuffix(")").split(","), float) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        lightness.append(float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)
    return max(lightness) / min(lightness)
