"""A browser without a window, as far as tests of a page need one: WebDriver is JSON over HTTP."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
]  # fmt: skip
_SECONDS = 60  # for one answer


class Browser(NamedTuple):
    url: str

    def open(self, address: str) -> None:
        """Returns when its scripts have run. What was said before is forgotten."""
        self.messages()
        self.requests()
        self._ask("POST", "/url", {"url": address})

    def run(self, script: str, *arguments: object) -> Any:
        """What JavaScript returns, where it is a promise, when that is kept."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def messages(self) -> list[str]:
        """Of the console, since the last call; violations of the page's policy too."""
        return [entry["message"] for entry in self._log("browser")]

    def requests(self) -> list[str]:
        """Addresses that were asked for, since the last call; `data:` holds what it names."""
        events = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        found = [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [address for address in found if not address.startswith("data:")]

    def drag(self, x: float, y: float, up: float) -> None:
        """A finger, in ten steps."""
        self._touch("touchStart", [{"x": x, "y": y}])
        for step in range(1, 11):
            self._touch("touchMove", [{"x": x, "y": y - up * step / 10}])
        self._touch("touchEnd", [])

    def _touch(self, kind: str, points: list[dict[str, float]]) -> None:
        parameters = {"type": kind, "touchPoints": points}
        command = {"cmd": "Input.dispatchTouchEvent", "params": parameters}
        self._ask("POST", "/goog/cdp/execute", command)

    def _log(self, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask("POST", "/se/log", {"type": kind})
        return found

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        return _ask(method, self.url + path, body)


@contextlib.contextmanager
def browser(
    chromium: str, chromedriver: str, folder: Path, *, width: int, height: int, phone: bool = False
) -> Iterator[Browser]:
    """With an empty profile in `folder`. A phone has a touch screen, and obeys `meta viewport`."""
    flags = [*FLAGS, f"--user-data-dir={folder}", f"--window-size={width},{height}"]
    options: dict[str, Any] = {
        "binary": chromium, "args": flags,
        "perfLoggingPrefs": {"enableNetwork": True, "enablePage": False},
    }  # fmt: skip
    if phone:
        metrics = {"width": width, "height": height, "pixelRatio": 2, "touch": True, "mobile": True}
        options["mobileEmulation"] = {"deviceMetrics": metrics}
    wanted = {
        "browserName": "chrome",
        "goog:chromeOptions": options,
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    }
    with subprocess.Popen([chromedriver, "--port=0"], stdout=subprocess.PIPE, text=True) as driver:
        try:
            url = f"http://127.0.0.1:{_port(driver)}/session"
            session = _ask("POST", url, {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
            try:
                opened = Browser(f"{url}/{session}")
                opened.open("about:blank")  # a browser begins with a page of its own
                yield opened
            finally:
                _ask("DELETE", f"{url}/{session}")
        finally:
            driver.terminate()


def _port(driver: subprocess.Popen[str]) -> str:
    assert driver.stdout is not None
    for line in driver.stdout:
        match = re.search(r"started successfully on port (\d+)", line)
        if match:
            return match[1]
    raise AssertionError("chromedriver ended")


def _ask(method: str, url: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_SECONDS) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        with error:
            raise AssertionError(json.load(error)["value"]["message"]) from None


def embedded(opened: Browser) -> Any:
    """The JSON inside the page of a bench."""
    return json.loads(opened.run("return document.getElementById('report').textContent"))


def drawn(opened: Browser) -> list[list[dict[str, Any]]]:
    """What plotly has on it, chart by chart, trace by trace."""
    found: list[list[dict[str, Any]]] = opened.run(
        "return [...document.querySelectorAll('.js-plotly-plot')].map((plot) => plot.data)"
    )
    return found
