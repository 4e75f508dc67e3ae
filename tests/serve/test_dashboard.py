"""The dashboard in Debian's Chromium: every page, both languages, light and dark, wide and at 390 px; by pointer and by keyboard."""

import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.serve.conftest import Running, whyrec

from whyrec import serve as package

PAGES = Path(str(next(iter(package.__path__)))) / "pages"
SOURCES = Path(__file__).parents[2] / "dashboard"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
PATHS = ("", "data", "model", "effects", "graph", "policies", "user")


@pytest.fixture(scope="module")
def dash(serve: Callable[..., Running], shop_case: Path) -> Running:
    """A service with pages, a saved causal model, a model of notes in force and another in its shadow, and some traffic."""
    running = serve(cases=[shop_case.parent], pages=PAGES, explore=0.3, random_state=3)
    with httpx.Client(base_url=running.url, timeout=60) as http:
        http.post("/v1/models/second/role", json={"role": "primary", "force": True}).raise_for_status()
        http.post("/v1/models/first/role", json={"role": "shadow"}).raise_for_status()
        for number in range(60):
            wish = {"user": f"u{number}", "k": 5, "by": "mix", "context": {"price": 2 + number % 9}}
            found = http.post("/v1/recommend", json=wish).raise_for_status().json()
            bought = {"user": f"u{number}", "item": found["items"][0]["item"], "recommendation": found["id"]}
            if number % 3 == 0:
                http.post("/v1/events", json={"events": [bought]}).raise_for_status()
        assert http.post("/v1/events", json={"events": [{"user": "u1"}]}).status_code == 422
    return running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (pip install playwright)"
    )
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=program, args=FLAGS)
        yield opened
        opened.close()


def until(page: Any, condition: str, arg: Any = None, seconds: float = 10.0) -> None:
    """Wait until JavaScript holds. (The browser's own way of polling evaluates text in the page, which the policy forbids.)"""
    end = time.monotonic() + seconds
    while not page.evaluate(condition, arg):
        assert time.monotonic() < end, f"never came true: {condition}"
        page.wait_for_timeout(20)


class Reader:
    """A page of the browser that remembers what went wrong in it."""

    def __init__(
        self, browser: Any, url: str, *, width: int = 1280, dark: bool = False, lang: str = "en", allowed: int = 0
    ) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light",
            locale="zh-CN" if lang == "zh" else "en-US", reduced_motion="reduce",
        )  # fmt: skip
        self.url, self.page, self.faults, self.asked = url, self.context.new_page(), [], []
        self.page.set_default_timeout(10_000)
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.faults.append(said.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def open(self, path: str) -> Any:
        """Go to a page and wait until nothing is asked any more."""
        self.page.goto(f"{self.url}/#/{path}")
        self.settle()
        return self.page

    def settle(self) -> None:
        self.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        until(self.page, "() => document.querySelector('h1') && !document.querySelector('.waiting, .again')")

    def close(self) -> None:
        """Nothing may have been said on the console, and nobody else asked."""
        self.context.close()
        assert self.faults == []
        assert all(url.startswith((self.url, "data:")) for url in self.asked)


@pytest.fixture
def read(browser: Any, dash: Running) -> Iterator[Callable[..., Reader]]:
    opened: list[Reader] = []

    def start(url: str = dash.url, **look: Any) -> Reader:
        opened.append(Reader(browser, url, **look))
        return opened[-1]

    yield start
    for reader in opened:
        reader.close()


# Each pair of width, colours and language occurs.
LOOKS = [
    {"width": 1280, "dark": False, "lang": "en"},
    {"width": 1280, "dark": True, "lang": "zh"},
    {"width": 390, "dark": False, "lang": "zh"},
    {"width": 390, "dark": True, "lang": "en"},
]


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: "-".join(str(value) for value in look.values()))
def test_every_page_is_whole_fits_and_is_accessible(read: Callable[..., Reader], look: dict[str, Any]) -> None:
    from axe_playwright_python.sync_playwright import Axe

    reader, axe, titles = read(**look), Axe(), set()
    for path in PATHS:
        page = reader.open(path)
        if path == "user":
            page.locator("button.row").first.click()
            page.get_by_role("button", name=re.compile("Why not|为什么没有")).click()
            reader.settle()
        titles.add(page.locator("h1").inner_text())
        assert page.locator("nav [aria-current=page]").count() == 1
        assert page.locator("main .card").count() >= 2
        assert page.locator(".refused").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= look["width"], (
            f"{path} is wider than the screen"
        )
        background = page.evaluate("getComputedStyle(document.querySelector('.card')).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", background)[:3])) < 200) == look["dark"]
        text = page.locator("main").inner_text()
        assert bool(re.search("[\u4e00-\u9fff]{4}", text)) == (look["lang"] == "zh")
        assert not re.search(r"undefined|NaN|\[object|Infinity", text)
        found = axe.run(page).response["violations"]
        assert found == [], [(rule["id"], [node["html"][:120] for node in rule["nodes"]]) for rule in found]
    assert len(titles) == len(PATHS)


def test_the_figures_are_the_services(read: Callable[..., Reader], dash: Running) -> None:
    told = httpx.post(f"{dash.url}/v1/effect", json={"segment": "category"}, timeout=30).json()
    reader = read()
    page = reader.open("effects?by=category")
    rows = page.get_by_role("list", name="Effect by segment").get_by_role("listitem")
    assert rows.count() == len(told["segments"]) == 4
    best = max(told["segments"], key=lambda row: row["effect"])
    assert best["segment"] in rows.first.inner_text()
    shown = rows.first.inner_text().replace("−", "-")
    figures = [float(text) for text in re.findall(r"[+-]\d+\.\d+", shown)]
    unit = 10.0 ** round(-_decade(best["effect"], figures[0]))
    assert figures == pytest.approx([v * unit for v in (best["effect"], *best["interval"])], abs=0.006)
    kind = page.locator(".intervals li .interval").last.get_attribute("class")
    assert ("open" in kind) == (min(told["segments"], key=lambda row: row["effect"])["interval"][0] <= 0)
    page.get_by_label("Find").fill("milk")
    assert rows.count() == 1
    page.get_by_role("radio", name="Name").check()
    page.get_by_label("Find").fill("no such kind")
    assert page.get_by_text("No segment has this in its name.").is_visible()


def _decade(value: float, shown: float) -> float:
    from math import log10

    return log10(abs(value) / abs(shown))


def test_what_was_read_and_what_it_is_compared_with(read: Callable[..., Reader], dash: Running) -> None:
    card = httpx.get(f"{dash.url}/v1/models/second/card", timeout=30).json()
    reader = read()
    page = reader.open("data")
    assert page.get_by_text("2,503 rows read, 2,500 kept, 3 rejected.").is_visible()
    (fault,) = [issue for issue in card["validation"]["issues"] if issue["action"] == "rejected"]
    row = page.get_by_role("row").filter(has_text=fault["remedy"])
    assert row.get_by_role("cell").nth(1).inner_text() == "3" and "rejected" in row.inner_text()
    assert page.get_by_text("/v1/events 422: 1").is_visible()
    page = reader.open("model")
    page.get_by_role("radio", name="Hit rate@10").check()
    shown = page.get_by_role("list", name="Methods with 95% intervals").get_by_role("listitem")
    best = max(card["baselines"]["temporal"]["methods"], key=lambda method: method["hit_rate"])
    assert best["method"] in shown.first.inner_text() and f"{best['hit_rate']:.3f}" in shown.first.inner_text()
    page.get_by_role("row").filter(has_text="first").get_by_role("button", name="May it go live?").click()
    reader.settle()
    verdict = httpx.get(f"{dash.url}/v1/models/first/check", timeout=30).json()
    for reason in verdict["reasons"]:
        assert page.get_by_text(reason).is_visible()
    page = reader.open("policies")
    page.get_by_role("radio", name="first").check()  # the model in the shadow is a policy, too
    reader.settle()
    value = httpx.get(f"{dash.url}/v1/policies/value", params={"target": "first"}, timeout=30).json()
    line = (
        page.get_by_role("list", name="Value of the policy by estimator")
        .get_by_role("listitem")
        .filter(has_text="Self-normalised")
    )
    figures = [float(text) for text in re.findall(r"-?\d+\.\d+", line.inner_text().replace("−", "-"))]
    told = value["values"]["SNIPS"]
    unit = 10.0 ** round(-_decade(told["estimate"], figures[0]))  # small values are told in hundredths
    assert figures == pytest.approx([v * unit for v in (told["estimate"], *told["interval"])], abs=0.006)


def test_one_user_by_pointer_and_nothing_is_logged(read: Callable[..., Reader], dash: Running) -> None:
    soap = httpx.get(f"{dash.url}/v1/items", params={"search": "soap number", "limit": 1}).json()["items"][0]["item"]
    httpx.post(f"{dash.url}/v1/events", json={"events": [{"user": "u6", "item": soap}] * 3}).raise_for_status()
    before = dash.service.store.counts()
    reader = read()
    page = reader.open("user")
    page.get_by_role("combobox", name="User").fill("u6")
    page.get_by_role("button", name="Show", exact=True).click()
    reader.settle()
    wish = {"user": "u6", "k": 10, "explore": False, "log": False}
    best = httpx.post(f"{dash.url}/v1/recommend", json=wish, timeout=30).json()
    assert best["logged"] is False
    rows = page.locator("button.row")
    assert [rows.nth(n).locator("code").inner_text() for n in range(10)] == [row["item"] for row in best["items"]]

    rows.nth(2).click()
    reader.settle()
    item = best["items"][2]["item"]
    why = httpx.get(f"{dash.url}/v1/why", params={"user": "u6", "item": item, "detail": True}, timeout=30).json()
    panel = page.locator(".detail-panel")
    for sentence in (*why["sentences"][1:], *why["explanation"]["sentences"][1:]):
        assert sentence in panel.inner_text()
    assert f"item={item}" in page.url

    # What if it were treated: both arms, what is, and an effect that is the difference of the arms shown.
    arms = httpx.post(f"{dash.url}/v1/counterfactual", json={"pair": {"user": "u6", "item": item}}, timeout=30).json()
    outcomes = panel.get_by_role("list", name="Expected outcome")
    shown = [float(row.inner_text().replace("−", "-")) for row in outcomes.locator(".n").all()]
    assert shown == pytest.approx([arms["outcome_by_arm"]["0"], arms["outcome_by_arm"]["1"], arms["expected_outcome"]], rel=0.02)
    told = panel.get_by_text(re.compile("^Expected outcomes: ")).inner_text().replace("−", "-")
    treated, control, effect = (float(text) for text in re.findall(r"[+-]?\d+\.\d+", told))
    assert (control, treated) == tuple(shown[:2]) and effect == pytest.approx(treated - control, abs=1e-12)
    assert effect == pytest.approx(arms["effect"], rel=0.02)

    # A dot is filled where the list claims it among all that it compares, whatever the pair's own interval.
    filled = [" open" not in rows.nth(n).locator(".interval").get_attribute("class") for n in range(10)]
    assert filled == [row["effect_sign"] != 0 for row in best["items"]]
    claims = "it cannot be told from no change" if best["items"][2]["effect_sign"] == 0 else "s the outcome"
    assert claims in panel.locator(".reading").first.inner_text()

    # What if effect weighed more: another order, as the service's.
    page.get_by_role("radio", name="Mix").check()
    page.get_by_role("slider", name="What if effect weighed more?").press("End")
    wish |= {"by": "mix", "mix": 1.0}
    wanted = [row["item"] for row in httpx.post(f"{dash.url}/v1/recommend", json=wish, timeout=30).json()["items"]]
    until(
        page,
        "wanted => [...document.querySelectorAll('.row code')].map(e => e.textContent).join() === wanted",
        ",".join(wanted),
    )

    page.get_by_label("Ask about another item").fill("soap number")
    page.get_by_role("list", name="Items found").get_by_role("button").first.click()
    reader.settle()
    assert "soap number" in page.locator(".detail-panel .subject").inner_text()
    # The user bought it after the model was fitted: what is from its log says so.
    why = httpx.get(f"{dash.url}/v1/why", params={"user": "u6", "item": soap, "detail": True}, timeout=30).json()
    assert why["bought"] == why["explanation"]["bought"] + 3
    assert "The user has acted since" in page.locator(".detail-panel").inner_text()
    assert dash.service.store.counts() == before


def test_what_if_the_price_were_another(read: Callable[..., Reader], dash: Running) -> None:
    reader = read()
    page = reader.open("user")
    card = page.get_by_role("region", name="What if price were another?")
    page.get_by_label("User", exact=True).fill("u6")
    page.get_by_role("button", name="Show").click()
    reader.settle()
    own = httpx.get(f"{dash.url}/v1/cases/shop/users/u6").json()["case"]
    assert "The last case of user u6" in card.inner_text()
    asked = {"model": "shop", "case": own, "do": {"price": "price * 0.9"}, "target": "bought"}
    (told,) = httpx.post(f"{dash.url}/v1/counterfactual", json=asked, timeout=30).json()["rows"]
    line = card.get_by_role("list", name="Change against what was").get_by_role("listitem").filter(has_text="bought")
    figures = re.search(r"→ ([\d.]+) \[([−\d.-]+), ([\d.]+)\]", line.inner_text())
    assert figures is not None
    assert float(figures[1]) == pytest.approx(told["counterfactual"], abs=0.006)
    assert float(figures[3]) == pytest.approx(told["high"], abs=0.006)
    card.get_by_role("button", name="Ask of a typical case").click()
    reader.settle()
    assert "a case that you set" in card.inner_text()
    columns = httpx.get(f"{dash.url}/v1/cases").json()["cases"][0]["columns"]
    case = {column["name"]: column["typical"] for column in columns} | {"bought": 0}
    seen = []
    for key, factor in (("Home", 0.5), ("End", 1.5)):
        card.get_by_role("slider", name="Change of price").press(key)
        page.wait_for_timeout(300)
        reader.settle()
        asked = {"model": "shop", "case": case, "do": {"price": f"price * {factor}"}}
        (told,) = [
            row
            for row in httpx.post(f"{dash.url}/v1/counterfactual", json=asked, timeout=30).json()["rows"]
            if row["target"] == "bought"
        ]
        line = (
            card.get_by_role("list", name="Change against what was")
            .get_by_role("listitem")
            .filter(has_text="bought")
            .inner_text()
        )
        seen.append(float(re.search(r"→ ([\d.]+)", line).group(1)))
        assert seen[-1] == pytest.approx(told["counterfactual"], abs=0.006)
    assert seen[0] > seen[1]  # cheaper sells more
    card.get_by_label("城市").select_option("Zug")
    card.get_by_role("button", name="Why not bought?").click()
    reader.settle()
    assert card.get_by_role("list", name="Shares of the reasons").get_by_role("listitem").count() >= 2


def test_by_keyboard_alone(read: Callable[..., Reader]) -> None:
    reader = read()
    page = reader.open("")
    focused = "document.activeElement"
    page.keyboard.press("Tab")
    assert page.evaluate(f"{focused}.className") == "skip"
    assert page.evaluate(f"{focused}.getBoundingClientRect().top") >= 0  # seen once it has the focus
    page.keyboard.press("Enter")
    assert page.evaluate(f"{focused}.tagName") == "H1"
    for _ in range(20):
        page.keyboard.press("Shift+Tab")
        if page.evaluate(f"{focused}.getAttribute('href')") == "#/graph":
            break
    outline = page.evaluate(f"getComputedStyle({focused}).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    until(page, "() => document.querySelector('h1').textContent === 'Causal graph'")
    reader.settle()
    assert page.evaluate(f"{focused}.tagName") == "H1"

    for _ in range(4):
        page.keyboard.press("Tab")
        if page.evaluate(f"{focused}.dataset.node"):
            break
    reached = set()
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
        reached.add(page.evaluate(f"{focused}.dataset.node"))
    assert len(reached) >= 3 and "outcome" in reached
    page.locator("[data-node=treatment]").focus()
    page.keyboard.press("Enter")
    told = page.locator(".card .reading").first
    assert "Treatment. Direct causes:" in told.inner_text() and "Directly affects: Outcome" in told.inner_text()
    assert page.locator("[data-node=treatment]").get_attribute("aria-pressed") == "true"
    page.keyboard.press("Escape")
    assert told.inner_text() == "Nothing is chosen."
    page.get_by_role("button", name=re.compile("^Treatment ← ")).first.focus()
    page.keyboard.press("Space")
    assert "Closed at" in told.inner_text() and page.locator(".edge.path").count() == 2

    page = reader.open("effects")
    page.get_by_role("radio", name="User activity").focus()
    page.keyboard.press("ArrowRight")
    reader.settle()
    assert page.get_by_role("radio", name="Item popularity").is_checked() and page.url.endswith("by=popularity")
    slider = page.get_by_role("slider", name="Odds of treatment changed up to")
    reading = page.locator(".reading").first
    at_one = reading.inner_text()
    slider.press("End")
    assert slider.get_attribute("aria-valuetext") == "3×" and reading.inner_text() != at_one


def test_language_and_theme_are_kept(read: Callable[..., Reader]) -> None:
    reader = read(width=390)
    page = reader.open("")
    assert not page.locator("nav").is_visible()
    page.get_by_role("button", name="Pages").click()
    page.get_by_role("button", name="中文").click()
    page.get_by_role("button", name="主题：跟随系统").click()
    page.get_by_role("button", name="主题：浅色").click()
    page.get_by_role("link", name="策略比较").click()
    reader.settle()
    assert not page.locator("nav").is_visible()
    page.reload()
    reader.settle()
    assert page.locator("h1").inner_text() == "策略比较" and page.title() == "策略比较 · whyrec"
    assert page.evaluate("document.documentElement.lang") == "zh-Hans"
    assert page.evaluate("getComputedStyle(document.querySelector('.card')).backgroundColor") == "rgb(23, 30, 33)"


def test_a_key_is_asked_for_and_an_empty_log_is_said_kindly(
    read: Callable[..., Reader], serve: Callable[..., Running], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "whyrec.db"
    whyrec("serve", "keys", "add", "--name", "dashboard", "--scopes", "ask,people", "--store", store)
    key = next(word for word in capfd.readouterr().out.split() if word.startswith("whyrec_") or len(word) > 30)
    locked = serve(store=str(store), pages=PAGES)
    reader = read(locked.url)
    page = reader.page
    page.goto(f"{locked.url}/#/policies")
    dialog = page.get_by_role("dialog", name="This service asks for a key")
    dialog.get_by_label("API key").fill("wrong")
    dialog.get_by_role("button", name="Use this key").click()
    page.wait_for_timeout(400)
    dialog.get_by_label("API key").fill(key)
    dialog.get_by_role("button", name="Use this key").click()
    page.get_by_text("The log cannot answer this yet.").wait_for()
    assert page.get_by_text("the service has recommended nothing yet").is_visible()
    page.goto(f"{locked.url}/#/user")
    page.locator("button.row").first.wait_for()
    assert page.get_by_text("What if price were another?").count() == 0  # no causal model is served
    assert all("401" in fault or "422" in fault for fault in reader.faults)  # the browser's own words for a refusal
    reader.faults.clear()
    locked.stop()
    page.get_by_role("radio", name="Effect").check()
    page.get_by_text("The service does not answer.").wait_for()
    reader.faults.clear()


def test_a_card_tells_what_the_model_was_fitted_on(dash: Running) -> None:
    card = httpx.get(f"{dash.url}/v1/models/first/card", timeout=30).json()
    dataset = dash.service.registry.named("first").scorer.model.dataset_
    columns = {column["column"]: column for column in card["log"]["columns"]}
    assert card["log"]["rows"] == dataset.log.height == sum(span["rows"] for span in card["log"]["over_time"])
    price = dataset.log["price"]
    assert [columns["price"][name] for name in ("low", "median", "high")] == [price.min(), price.median(), price.max()]
    assert columns["price"]["role"] == "context" and columns["user"]["low"] is None  # ids of people are counted only
    assert columns["user"]["distinct"] == dataset.n_users and "user_code" not in columns
    assert card["log"]["catalogue"] == {
        "items": 40,
        "without_text": 0,
        "distinct_texts": 40,
        "categories": 4,
        "without_category": 0,
    }
    assert len(card["training"]["losses"]) == 2 and card["training"]["arms"] == [0, 1]
    assert card["validation"] is None and card["baselines"] is None  # saved by the library, without a report
    noted = httpx.get(f"{dash.url}/v1/models/second/card", timeout=30).json()
    assert noted["validation"]["rows_rejected"] == 3
    assert {row["method"] for row in noted["baselines"]["temporal"]["methods"]} == {
        "popularity",
        "item-kNN",
        "EASE",
        "causal recommender",
    }
    assert httpx.get(f"{dash.url}/v1/models/..%2Ffirst/card").status_code == 404


def test_the_monitor_tells_traffic_over_time(dash: Running) -> None:
    found = httpx.get(f"{dash.url}/v1/monitor", timeout=30).json()
    assert len(found["history"]) == 60 and found["history"][0]["per_second"] is None  # before the start
    assert sum(10 * (row["per_second"] or 0) for row in found["history"]) >= 80
    assert {(row["route"], row["status"]): row["count"] for row in found["requests"]}["/v1/events", "422"] == 1
    assert {row["event"]: row["count"] for row in found["events"]}["new"] >= 20


def test_the_pages_are_small_sealed_and_as_new_as_their_source() -> None:
    files = [file for file in PAGES.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) < 300_000
    index = (PAGES / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script[^>]*>([^<]*)</script>", index) == [""]  # nothing inline: the policy forbids it
    for file in files:
        assert not re.search(r"https?://(?!www\.w3\.org/|127\.0\.0\.1)", file.read_text(encoding="utf-8")), file.name
    if not SOURCES.is_dir():
        pytest.skip("the dashboard's sources are not here")
    names = [
        f"src/{file.relative_to(SOURCES / 'src').as_posix()}" for file in (SOURCES / "src").rglob("*") if file.is_file()
    ]
    digest = hashlib.sha256()
    for name in sorted(["index.html", "package.json", "vite.config.ts", *names]):
        digest.update(f"{name}\0".encode() + (SOURCES / name).read_bytes() + b"\0")
    assert (PAGES / "sources.txt").read_text().strip() == digest.hexdigest(), (
        "make dashboard: the pages are older than their source"
    )
