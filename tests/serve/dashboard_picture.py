"""The picture of the dashboard in the documentation, made anew from made traffic.

python -m tests.serve.dashboard_picture docs/images/dashboard.png
"""

import io
import shutil
import sys
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from equirouter.serve.money.store.reports import Logged
from equirouter.serve.watch.collapse_alarm import CollapseState
from tests.serve.dashboard_made import Made, served
from tests.serve.traffic_made import ASKED, STRONGEST, made_traffic

WIDTH, HEIGHT, COLOURS, WINDOW = 1280, 2190, 96, 500
SEED = 15  # one whose last but one decision shows most: under a budget, with models ruled out


def main(out: Path) -> None:
    """Write the picture: light, a decision opened, few enough colours to be small."""
    traffic = made_traffic(time.time(), n=2600, seed=SEED)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    made = Made(traffic, collapse={class_: _state(traffic, class_) for *_, class_ in ASKED})
    with served(made) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT},
            color_scheme="light",
            reduced_motion="reduce",
        )
        page.goto(f"{address}/dashboard")
        page.wait_for_selector(".figure")
        page.locator("button.open").nth(1).click()
        page.get_by_role("article", name="Why this model").wait_for()
        shot = page.screenshot()
        browser.close()
    Image.open(io.BytesIO(shot)).convert("RGB").quantize(COLOURS).save(out, optimize=True)


def _state(traffic: list[Logged], class_: str) -> CollapseState:
    """What the alarm would say of a class: all of its requests stand for the calibration."""
    plans = [one.record.plan for one in traffic]
    firsts = [
        plan.candidates[0].model == STRONGEST
        for plan in plans
        if plan is not None and plan.class_ == class_
    ]
    last = firsts[-WINDOW:]
    return CollapseState(len(last), sum(last) / len(last), sum(firsts) / len(firsts), evidence=0.02)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
