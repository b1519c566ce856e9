#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""usage: page.py URL VICTIM_PID COMMAND...

Looks at the page of a `tslab serve --interval 250ms --threshold 0` at URL that watches victim.c, and uses it
as people do. COMMAND starts another such victim, which the server is to find. Prints TAP; a last line names
the browser. In the environment: SCREENSHOTS, a directory for pictures of what was seen.
"""
import os
import signal
import subprocess
import sys
import time
import traceback

from selenium import webdriver
from selenium.common.exceptions import ElementClickInterceptedException, StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

URL, VICTIM, COMMAND = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
LEAKY, TRICKY = "background-worker-3", "<img src=x onerror=alert(1)>"


def start_browser():
    options = Options()
    options.binary_location = "/usr/bin/chromium"
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--window-size=1280,1400", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)


browser = start_browser()
number = 0
failed = 0


def find(selector):
    return browser.find_element(By.CSS_SELECTOR, selector)


def find_all(selector):
    return browser.find_elements(By.CSS_SELECTOR, selector)


def text(selector):
    return browser.execute_script("return document.querySelector(arguments[0]).textContent", selector)


def script(code, *arguments):
    return browser.execute_script(code, *arguments)


def until(condition, seconds=120):
    return WebDriverWait(browser, seconds, 0.1).until(lambda _browser: condition())


def click(selector):
    """The findings above come and go, and what is below moves."""
    WebDriverWait(browser, 120, 0.1, (ElementClickInterceptedException, StaleElementReferenceException)).until(
        lambda _browser: find(selector).click() is None)


def press(*keys):
    webdriver.ActionChains(browser).send_keys(*keys).perform()


def focused():
    return script("const e = document.activeElement; return e.id || e.dataset.epoch || e.dataset.sort || e.tagName")


def texts(selector):
    """At one moment: the page replaces what it shows all the time."""
    return script("return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)", selector)


def column(index):
    return script("return [...document.querySelectorAll('#epochs tbody tr')].map((r) => r.cells[arguments[0]].textContent)", index)


def picture(name):
    if os.environ.get("SCREENSHOTS"):
        browser.save_screenshot(os.path.join(os.environ["SCREENSHOTS"], name + ".png"))


def complaints():
    """What the browser's console says, but for answers that are meant to fail."""
    return [entry["message"] for entry in browser.get_log("browser")
            if entry["level"] == "SEVERE" and "status of 503" not in entry["message"] and "favicon" not in entry["message"]]


def check(name):
    """A test: the function's words are the claim, an exception or False denies it."""

    def run(test):
        global number, failed
        number += 1
        try:
            good = test() is not False
        except Exception:  # pylint: disable=broad-except
            good = False
            print("\n".join("# " + line for line in traceback.format_exc().splitlines()[-12:]))
        if not good:
            failed += 1
            picture(f"failed-{number}")
        print(f"{'ok' if good else 'not ok'} {number} - {name}", flush=True)

    return run


@check("figures appear, and say whose they are")
def _():
    browser.get(URL)
    until(lambda: text("#state").startswith("live"))
    assert f"PID {VICTIM}" in text("#process-name")
    assert len(find_all("#tiles > div")) == 8 and "iB" in text("#tiles")
    assert not find("#process-choice").is_displayed()


if failed:
    print("Bail out! nothing to look at")
    browser.quit()
    sys.exit(1)


@check("the doctor's findings: what, evidence with source line, what to do")
def _():
    until(lambda: "open-scope" in text("#findings"))
    leak = [finding for finding in texts("#findings li") if "open-scope" in finding][0]
    assert LEAKY in leak and "victim.c:" in leak and "To do:" in leak and "Runbook: docs/runbooks/EpochLeak.md" in leak and "confidence high" in leak
    assert leak.startswith("✖ error")


@check("four plots, each with a picture, a text for it and a table of the same series")
def _():
    assert len(find_all("#plots figure")) == 4
    for figure in ("#plots figure:nth-of-type(%d) " % (i + 1) for i in range(4)):
        until(lambda figure=figure: find_all(figure + "canvas"))
        names, label = script("""return [[...document.querySelectorAll(arguments[0] + ".legend tbody th")].map((e) => e.innerText),
            document.querySelector(arguments[0] + ".plot").getAttribute("aria-label")]""", figure)
        assert 3 <= len(names) <= 10 and all(name.strip() in label for name in names), (names, label)
    assert LEAKY in text("#plots figure:first-of-type")


@check("they move: the allocations of a busy program go up, rates are there")
def _():
    before = text("#tiles")
    until(lambda: text("#tiles") != before)
    until(lambda: "–" not in text("#plots figure:nth-of-type(3) .legend tbody"))
    painted = """const c = arguments[0].querySelector("canvas"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
        let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n"""
    until(lambda: script(painted, find_all("#plots figure")[2]) > 2000)


@check("a pointer over a plot shows the figures of that moment")
def _():
    time.sleep(1.5)
    head = "#plots figure:first-of-type .legend thead .number"

    def pointed():  # the findings above come and go, and the plot moves away from the pointer
        plot = find("#plots .plot")
        webdriver.ActionChains(browser).move_to_element_with_offset(plot, -40, 0).perform()
        return ":" in text(head)

    until(pointed)
    time.sleep(0.3)
    webdriver.ActionChains(browser).move_to_element(find("h1")).perform()
    until(lambda: text(head) == "now")


@check("text of the program stays text")
def _():
    until(lambda: TRICKY in "".join(column(1)))
    assert not find_all("#epochs img, #plots img, #findings img")


@check("a click sorts, again the other way, and says so")
def _():
    click("[data-sort=label]")
    assert find("th[aria-sort]").get_attribute("aria-sort") == "ascending"
    labels = column(1)
    assert labels == sorted(labels)
    click("[data-sort=label]")
    assert find("th[aria-sort]").get_attribute("aria-sort") == "descending"
    assert focused() == "label"
    click("[data-sort=estimated_rss_bytes]")


@check("/ goes to the filter, which takes effect while one types")
def _():
    press("/")
    assert focused() == "filter"
    press(*LEAKY[:10])
    until(lambda: set(column(1)) == {LEAKY})
    assert text("#epochs-count").startswith("1 of ")
    find("#filter").send_keys(Keys.CONTROL, "a")
    find("#filter").send_keys(Keys.DELETE)
    until(lambda: len(column(1)) > 2)


@check("an epoch opens by the keyboard: memory, scopes, source lines; Esc closes it and goes back")
def _():
    epoch = script("return [...document.querySelectorAll('#epochs tbody tr')].find((r) => r.cells[1].textContent === arguments[0]).querySelector('button').dataset.epoch", LEAKY)
    script("document.querySelector(`[data-epoch='${arguments[0]}']`).focus()", epoch)
    press(Keys.ENTER)
    until(lambda: find("#detail").is_displayed())
    assert focused() == "detail-title" and LEAKY in text("#detail-title")
    assert "victim.c:" in text("#detail-scopes") and "2, 0" in text("#detail-figures")
    until(lambda: find_all("#detail-plot canvas"))
    time.sleep(1)  # it is shown anew meanwhile
    picture("detail")
    press(Keys.ESCAPE)
    until(lambda: not find("#detail").is_displayed())
    assert focused() == epoch


@check("p pauses")
def _():
    script("document.activeElement.blur()")
    press("p")
    assert find("#pause").get_attribute("aria-pressed") == "true"
    time.sleep(0.5)
    before = text("#tiles")
    time.sleep(1)
    assert text("#tiles") == before and text("#state") == "paused"
    click("#pause")
    until(lambda: text("#state").startswith("live"))


@check("? lists the keys")
def _():
    script("document.activeElement.blur()")
    press("?")
    assert find("#help").is_displayed()
    press(Keys.ESCAPE)
    assert not find("#help").is_displayed()


def contrasts():
    """The least contrast of text against what it stands on, as WCAG 2 has it."""
    return script("""
        const part = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
        const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number); return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b); };
        const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!c.startsWith("rgba(0, 0, 0, 0")) return c; } return "rgb(255, 255, 255)"; };
        let least = [99, ""];
        for (const e of document.querySelectorAll("body *")) {
            if (!e.checkVisibility() || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
            if (e.closest(".skip, noscript, svg")) continue;
            const a = light(getComputedStyle(e).color), b = light(behind(e));
            const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (ratio < least[0]) least = [ratio, `${e.tagName} ${e.className} ${e.textContent.slice(0, 30)}`];
        }
        return least""")


@check("light and dark, chosen and kept; text stands out in both (contrast 4.5 and more)")
def _():
    seen = {}
    for _theme in range(3):
        press("t")
        theme = script("return document.documentElement.dataset.theme")
        seen[theme] = contrasts()
        if text("#theme") != "Theme: as the system":
            time.sleep(0.6)
            picture(theme)
    assert set(seen) == {"light", "dark"}
    assert all(ratio >= 4.5 for ratio, _where in seen.values()), seen
    while text("#theme") != "Theme: dark":
        press("t")
    browser.refresh()
    until(lambda: text("#state").startswith("live"))
    assert script("return document.documentElement.dataset.theme") == "dark"
    press("t")


@check("buttons and fields have names, headings are in order, tables have heads, no id is there twice")
def _():
    wrong = script("""
        const bad = [];
        for (const e of document.querySelectorAll("button, input, select, a"))
            if (e.checkVisibility() && !(e.getAttribute("aria-label") || e.textContent.trim() || (e.labels && e.labels.length))) bad.push(e.outerHTML);
        for (const t of document.querySelectorAll("table")) if (!t.querySelector("th[scope=col]")) bad.push("no head: " + t.className);
        for (const i of document.querySelectorAll("[role=img]")) if (!i.getAttribute("aria-label")) bad.push("no text: " + i.className);
        const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
        bad.push(...ids.filter((id, i) => ids.indexOf(id) !== i));
        let level = 0;
        for (const h of document.querySelectorAll("h1, h2, h3")) { if (h.tagName[1] - level > 1) bad.push(h.outerHTML); level = +h.tagName[1]; }
        if (!document.documentElement.lang || !document.querySelector("main")) bad.push("lang, main");
        return bad""")
    assert not wrong, wrong


@check("a narrow window scrolls in one direction only")
def _():
    browser.set_window_size(500, 900)
    until(lambda: script("return innerWidth") <= 500)
    until(lambda: script("return document.documentElement.scrollWidth <= innerWidth"))
    picture("narrow")
    browser.set_window_size(1280, 1400)


@check("the console is empty")
def _():
    said = complaints()
    assert not said, said[:3]


@check("when the process ends the page says so and keeps the last figures; when it is back, it goes on")
def _():
    os.kill(VICTIM, signal.SIGKILL)
    until(lambda: "no process named" in text("#state"))
    assert "bad" in find("#state").get_attribute("class") and "last figures" in text("#state")
    assert len(find_all("#tiles > div")) == 8 and LEAKY in "".join(column(1))
    picture("ended")
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as again:
        until(lambda: text("#state").startswith("live") and f"PID {again.pid}" in text("#process-name"))
        again.kill()


@check("without dygraphs the tables are there alone")
def _():
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as again:
        browser.execute_cdp_cmd("Network.enable", {})
        browser.execute_cdp_cmd("Network.setCacheDisabled", {"cacheDisabled": True})
        browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*/dygraph.js"]})
        browser.refresh()
        until(lambda: text("#state").startswith("live"))
        until(lambda: LEAKY in text("#plots figure:first-of-type .legend"))
        assert not find_all("canvas") and len(find_all("#plots .legend")) == 4
        again.kill()


print(f"1..{number}")
print("# " + browser.capabilities["browserName"] + " " + browser.capabilities["browserVersion"])
browser.quit()
sys.exit(failed > 0)
