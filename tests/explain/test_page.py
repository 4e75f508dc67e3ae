"""A report at the width of a telephone: nothing makes the page scroll sideways."""

import shutil
from pathlib import Path

import pytest

from whyrec.explain.page import Page


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_long_titles_and_words_stay_within_a_narrow_page(tmp_path: Path, lang: str) -> None:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install playwright)")
    page = Page("Why would they buy it?", lang)
    page.section("What does a retail discount change in the units that a product sells in a week?")
    page.text("a_column_of_a_very_long_name_" * 8, "key warn")
    page.items(["assumed by DoCalib: " + "nothing_unmeasured" * 12])
    page.table("A table", ["name", *(f"figure {k}" for k in range(9))], [["a", *("1234.567",) * 9]])
    path = tmp_path / "page.html"
    path.write_text(page.render(), encoding="utf-8")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--headless", "--no-sandbox", "--disable-gpu"])
        seen = browser.new_page(viewport={"width": 390, "height": 800})
        seen.goto(path.as_uri())
        assert seen.evaluate("document.documentElement.scrollWidth") == 390
        assert seen.locator("nav a").first.bounding_box()["width"] <= 390  # it wraps and is whole
        browser.close()
