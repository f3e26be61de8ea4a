"""Pages in headless Chromium, from disk and without a network: what opens, what a click shows, what does not break."""

import numpy as np
import pytest

from components.contract import features
from components.report import pictures as room
from components.report.inputs import ReportInputs
from components.report.page import FAILED, gather_content, load_sections, render
from tests import pictures
from tests.chromium import NO_NETWORK, in_chromium, is_scrolled_sideways, open_chromium, show_as, wait
from tests.components.report.evaluated import HOSTILE, digest, make_run
from tests.components.report.test_page import gates, summary

pytestmark = in_chromium


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_chromium(tmp_path_factory.mktemp("chromium"), NO_NETWORK) as driver:
        yield driver


def evaluate(root, labels, images, name="{}.png"):
    """Inputs of a run over `images` eval images, each seventh of them wrong, with their pictures and features."""
    import tensorflow as tf

    classes = len(labels)
    actual = [n % classes for n in range(images)]
    predicted = [(label + (n % 7 == 0)) % classes for n, label in enumerate(actual)]
    train = [n % classes for n in range(2 * images)]
    rng = np.random.default_rng(0)
    names = {name.format(f"eval-{n}"): label for n, label in enumerate(actual)}
    names |= {name.format(f"train-{n}"): label for n, label in enumerate(train)}
    centres = rng.normal(size=[classes, 16])
    kept = {file: centres[label] + 0.3 * rng.normal(size=16) for file, label in names.items()}
    probability = rng.uniform(0.4, 1.0, images).tolist()
    inputs = make_run(root, labels, actual, predicted, probability, kept=kept, train=train, name=name)
    for split in features.SPLITS:
        (root / "examples" / f"Split-{split}").mkdir(parents=True)
        with tf.io.TFRecordWriter(str(root / "examples" / f"Split-{split}" / "data_tfrecord-00000-of-00001")) as writer:
            for number, file in enumerate(file for file in names if split in file):
                values = {features.SHA256: digest(file).encode(), features.IMAGE: PICTURES[number % len(PICTURES)]}
                rows = {key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for key, v in values.items()}
                example = tf.train.Example(features=tf.train.Features(feature=rows))
                writer.write(example.SerializeToString())
    return ReportInputs({**inputs.uris, "examples": str(root / "examples")}, inputs.features_dir)


PICTURES = [pictures.encode(pictures.scene(48, 64, seed)) for seed in range(9)]
CASES = {
    "hostile names": (HOSTILE, 120, "<img src=x onerror=alert(1)> {}.png"),
    "300 classes": ([f"class {number:03}" for number in range(300)], 900, "{}.png"),
    "one image a class": ([f"c{number}" for number in range(30)], 30, "{}.png"),
}


@pytest.fixture(scope="module", params=[*CASES, "refused"])
def page(request, tmp_path_factory):
    """The path of a page, and whether its run was evaluated."""
    root = tmp_path_factory.mktemp("page")
    run = {"summary": summary(reasons=[HOSTILE[0]]), "command": "graft run", "config": "a: 1", **PUSHED_NOTHING}
    if request.param == "refused":
        row = '{"name": "<img src=x onerror=alert(1)>.jpg", "label": "cats", "reason": "truncated", "detail": "early"}'
        known = {features.LEDGER_FILE: row + "\n", features.DATASET_FILE: {"classes": ["cats"]}, "gates": gates()}
        inputs = ReportInputs({}, known=known)
    else:
        inputs = evaluate(root / "run", *CASES[request.param])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "load_explain", lambda model: None)  # no model was made
        html = render(gather_content(inputs, tolerant=False), run)
    assert FAILED not in html
    assert len(html) < 15_000_000
    path = root / "report.html"
    path.write_text(html, "utf-8")
    return path, request.param != "refused"


PUSHED_NOTHING = {"serving": "", "passport": []}


def messages(browser):
    return [row["message"] for row in browser.get_log("browser")]


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_section_opens_without_an_error(browser, page, width, scheme):
    show_as(browser, width, scheme)
    browser.get(page[0].as_uri())
    wait(browser, lambda: browser.execute_script("return document.readyState") == "complete")
    for name in load_sections():
        assert browser.find_element("id", name).is_displayed(), name
    assert not is_scrolled_sideways(browser)
    assert messages(browser) == []
    assert browser.execute_script("return getComputedStyle(document.body).colorScheme") in ("light dark", "normal")


def test_a_click_on_a_cell_shows_its_images(browser, page):
    show_as(browser, 1280, "light")
    browser.get(page[0].as_uri())
    if not page[1]:  # nothing was evaluated
        assert not browser.find_elements("css selector", "a[href^='#cell-']")
        return
    link = browser.find_element("css selector", "#quality a[href^='#cell-']")
    cell = browser.find_element("id", link.get_attribute("href").partition("#")[2])
    assert not cell.is_displayed()
    browser.execute_script("arguments[0].focus()", link)
    link.send_keys("\ue007")  # Enter
    wait(browser, cell.is_displayed)
    shown = cell.find_elements("tag name", "img")
    assert shown
    assert all(browser.execute_script("return arguments[0].naturalWidth", image) > 0 for image in shown)
    assert messages(browser) == []
