"""Writes the README's picture of a page: what headless Chromium shows of it, as a PNG under 150 kB.

    python scripts/page_pictures.py serve [--workdir work/sample] [--output docs/pictures/serve.png]
    python scripts/page_pictures.py report

`serve` is the page of `graft serve` with example images of the working directory; `report` is `report.html` of its
newest run. Needs Chromium and its driver (apt-get install chromium-driver) and a finished run (`make run`).
"""

from __future__ import annotations

import argparse
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

WIDTH, HEIGHT = 1180, 940  # px
LARGEST = 150_000  # bytes
STEPS = (1, 2, 4, 8, 16)  # between values of a channel, in 0..255
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")
SECONDS = 120  # that a page may take
GRAFT = (sys.executable, "-m", "pipeline")


@contextmanager
def chromium() -> Iterator[Any]:
    """Gives a driver of headless Chromium with a light page of fixed size."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for flag in FLAGS:
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    light = {"features": [{"name": "prefers-color-scheme", "value": "light"}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", light)
    try:
        yield driver
    finally:
        driver.quit()


def wait(driver: Any, condition: Callable[[], object]) -> None:
    """Waits until a condition of the page holds."""
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(driver, SECONDS).until(lambda _: condition())


def show_serve(driver: Any, workdir: Path) -> bytes:
    """Opens the page of `graft serve`, asks it an example of each class, and shows the map over the last one."""
    with served(workdir) as url:
        driver.get(url)
        wait(driver, lambda: driver.find_elements("css selector", "#examples figure"))
        figures = driver.find_elements("css selector", "#examples figure")[:6]
        for count, figure in enumerate(figures, 1):
            driver.execute_script("arguments[0].querySelector('button').click()", figure)
            wait(driver, partial(answered, driver, count))
        driver.execute_script("document.getElementById('evidence').click(); scrollTo(0, 0)")
        wait(driver, lambda: "evidence for" in driver.find_element("id", "canvas").get_attribute("aria-label"))
        driver.execute_script("for (const image of document.images) image.loading = 'eager'")
        wait(driver, lambda: driver.execute_script("return [...document.images].every((image) => image.complete)"))
        return bytes(driver.get_screenshot_as_png())


def answered(driver: Any, count: int) -> bool:
    """Whether so many images have their answers."""
    labels = driver.find_elements("css selector", "#items .what")
    return len(labels) == count and all(label.text != "asking ..." for label in labels)


@contextmanager
def served(workdir: Path) -> Iterator[str]:
    """Runs `graft serve` on a working directory; gives its URL."""
    command = [*GRAFT, "serve", str(workdir), "--port", "0", "--examples"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        found = re.search(r"http://\S+/", line)
        if found is None:
            sys.exit(f"graft serve {workdir} did not start.")
        yield found[0]
    finally:
        process.terminate()
        process.wait()


def show_report(driver: Any, workdir: Path) -> bytes:
    """Opens the page of the newest run from the disk, where it shows which class is taken for which."""
    page = workdir / "runs" / "latest" / "report.html"
    if not page.is_file():
        sys.exit(f"{page} is not there: graft report {workdir} writes it.")
    driver.get(page.resolve().as_uri())
    driver.execute_script("document.documentElement.style.scrollBehavior = 'auto'")
    driver.execute_script("document.getElementById('confusion').scrollIntoView()")
    return bytes(driver.get_screenshot_as_png())


PICTURES: dict[str, Callable[[Any, Path], bytes]] = {"serve": show_serve, "report": show_report}


def compress(png: bytes) -> bytes:
    """Writes a PNG with as fine steps of colour as fit; smooth pictures of a page are what takes room.

    Raises:
        SystemExit: it does not fit with the coarsest.
    """
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for step in STEPS:
        buffer = io.BytesIO()
        values = [min(255, round(value / step) * step) for value in range(256)]
        picture.point(values * 3).save(buffer, "PNG", optimize=True)
        if buffer.tell() <= LARGEST:
            return buffer.getvalue()
    sys.exit(f"The picture takes {buffer.tell():,} bytes with {256 // step} steps; {LARGEST:,} are allowed.")


def main() -> None:
    """Reads the command line and writes the picture."""
    parser = argparse.ArgumentParser(description="Writes the README's picture of a page.")
    parser.add_argument("name", choices=PICTURES)
    parser.add_argument("--workdir", type=Path, default=Path("work/sample"))
    parser.add_argument("--output", type=Path, help="default: docs/pictures/<name>.png")
    options = parser.parse_args()
    output = options.output or Path("docs", "pictures", f"{options.name}.png")
    with chromium() as driver:
        content = compress(PICTURES[options.name](driver, options.workdir))
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(content)
    print(f"{output}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
