"""A headless Chromium that tests drive through its debugging pipe, with nothing but the stdlib."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
_FLAGS = (
    "--headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-dev-shm-usage"
    " --disable-background-networking --force-color-profile=srgb --remote-debugging-pipe"
)


class Browser:
    """One page in a browser.

    Attributes:
        complaints: What the page has written to its console, and the errors that it raised.
        requests: The addresses that it has asked for.
    """

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write, self._rest = read, write, b""
        self._number = 0
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._arrived: list[str] = []
        target = self._call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = self._call("Target.attachToTarget", {"targetId": target, "flatten": True})
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the debugging protocol, for the page."""
        return self._call(method, parameters, session=self._session)

    def _call(self, method: str, parameters: dict[str, Any], session: str = "") -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result
            self._notice(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            piece = os.read(self._read, 1 << 20)
            if not piece:
                raise RuntimeError("the browser has gone")
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def _notice(self, event: dict[str, Any]) -> None:
        method, about = event.get("method", ""), event.get("params", {})
        self._arrived.append(method)
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(about["exceptionDetails"])[:500])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(json.dumps(about["args"])[:500])
        elif method == "Log.entryAdded":
            self.complaints.append(about["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])

    def show(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Give the page a size and a colour scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, path: Path) -> None:
        """Load a file, to the end."""
        self._arrived.clear()
        self.call("Page.navigate", url=path.as_uri())
        while "Page.loadEventFired" not in self._arrived:
            self._notice(self._next())
        self.settle()

    def settle(self) -> None:
        """Wait until what was asked for is drawn."""
        wait = "new Promise(d => requestAnimationFrame(() => requestAnimationFrame(() => d(1))))"
        self.evaluate(wait)

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page, as JSON data; of a promise, what it comes to."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:1000])
        return answer["result"].get("value")

    def press(self, key: str, code: int = 0, text: str = "") -> None:
        """Press a key."""
        about = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
        self.call("Input.dispatchKeyEvent", type="keyUp", **about)
        self.settle()

    def picture(self, *, whole: bool = True, clip: dict[str, Any] | None = None) -> bytes:
        """The page as PNG."""
        more = {"clip": {**clip, "scale": 1}} if clip else {}
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=whole, **more)
        return base64.b64decode(answer["data"])

    def shot(self, path: Path, clip_of: str = "body") -> None:
        """Write the picture of an element to a file."""
        box = self.evaluate(
            f"(b => ({{x: b.x + scrollX, y: b.y + scrollY, width: b.width, height: b.height}}))"
            f"(document.querySelector({clip_of!r}).getBoundingClientRect())"
        )
        path.write_bytes(self.picture(clip=box))


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser, gone at the end of the block."""
    assert CHROMIUM is not None
    taken = _take_low_descriptors()
    to_browser, from_browser = os.pipe(), os.pipe()

    def connect() -> None:  # the browser reads from 3 and writes to 4
        os.dup2(to_browser[0], 3)
        os.dup2(from_browser[1], 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [CHROMIUM, *_FLAGS.split(), f"--user-data-dir={folder}"],
            pass_fds=(3, 4),
            preexec_fn=connect,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for descriptor in (*taken, to_browser[0], from_browser[1]):
            os.close(descriptor)
        try:
            yield Browser(from_browser[0], to_browser[1])
        finally:
            process.kill()
            process.wait()
            os.close(to_browser[1])
            os.close(from_browser[0])


def _take_low_descriptors() -> list[int]:
    """Occupy 3 and 4, so that nothing that the child needs gets these numbers."""
    taken = [os.open(os.devnull, os.O_RDONLY)]
    while taken[-1] < 4:
        taken.append(os.open(os.devnull, os.O_RDONLY))
    return taken
