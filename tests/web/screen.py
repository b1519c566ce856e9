#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""usage: screen.py FILE.png COLUMNS LINES <captured

A picture of what `tmux capture-pane -e -p` captured, made by a browser: bold, underlined and reversed text.
"""
import html
import re
import sys
import urllib.parse

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

STYLES = {1: "b", 4: "u", 7: "r"}


def to_html(text):
    """Escape sequences of attributes become spans."""
    on, out = set(), []
    for part in re.split(r"(\x1b\[[\d;]*m|\x1b\([B0]|[\x0e\x0f])", text):
        sequence = re.fullmatch(r"\x1b\[([\d;]*)m", part)
        if sequence:
            for code in map(int, (sequence.group(1) or "0").split(";")):
                if code == 0:
                    on.clear()
                elif code in STYLES:
                    on.add(STYLES[code])
                elif code in (22, 24, 27):
                    on.discard(STYLES[code - 20 if code != 22 else 1])
        elif part and not re.fullmatch(r"\x1b\([B0]|[\x0e\x0f]", part):
            out.append(f'<span class="{" ".join(sorted(on))}">{html.escape(part)}</span>')
    return "".join(out)


columns, lines = int(sys.argv[2]), int(sys.argv[3])
page = f"""<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: #10141a }}
pre {{ font: 16px/20px "DejaVu Sans Mono", monospace; color: #e6e9ee; margin: 10px; width: {columns}ch; height: {lines * 20}px }}
.b {{ font-weight: bold }} .u {{ text-decoration: underline }} .r {{ color: #10141a; background: #e6e9ee }}
</style><pre>{to_html(sys.stdin.read())}</pre>"""
options = Options()
options.binary_location = "/usr/bin/chromium"
for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1400,1200"):
    options.add_argument(argument)
browser = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
browser.get("data:text/html;charset=utf-8," + urllib.parse.quote(page))
pre = browser.find_element("css selector", "pre")
browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
    "width": pre.size["width"] + 20, "height": lines * 20 + 20, "deviceScaleFactor": 1, "mobile": False})
browser.save_screenshot(sys.argv[1])
browser.quit()
