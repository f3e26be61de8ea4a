"""Headless Chromium, for tests of pages. Skipped where Chromium and its driver are not installed."""

import shutil
from contextlib import contextmanager

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)
NO_NETWORK = "--host-resolver-rules=MAP * ~NOTFOUND"
in_chromium = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER),
        reason="chromium and chromedriver are not installed (apt-get install chromium-driver)",
    ),
]


@contextmanager
def open_chromium(profile, *flags):
    """A driver of a browser whose log holds every message; `profile` is a folder of its own."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, *flags, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def wait(browser, condition):
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 180).until(lambda _: condition())


def show_as(browser, width, scheme):
    """Sets the window's width in px, and whether the reader wants `light` or `dark`."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    wish = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wish})


def is_scrolled_sideways(browser):
    """Whether the page is wider than its window."""
    root = "document.documentElement"
    return browser.execute_script(f"return {root}.scrollWidth > {root}.clientWidth")
