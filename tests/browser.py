"""A headless Chromium, as Debian has it, driven over two pipes: neither a port nor a library."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import time

NAMES = ("chromium", "chromium-headless-shell", "google-chrome")
LIMIT_S = 60


def found():
    """Return the path of a browser, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A browser with one page.

    Args:
        folder: where it keeps what it keeps.

    Attributes:
        said: what the page has said on its console, and its errors.
        asked: the addresses that it has asked for.
    """

    def __init__(self, folder):
        theirs, ours = os.pipe()
        mine, its = os.pipe()
        command = [found(), "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--no-first-run"]
        command += [f"--user-data-dir={folder}", "--disable-dev-shm-usage", "--hide-scrollbars", "about:blank"]
        # It reads from 3 and writes to 4, which are others' here.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (theirs, its)]

        def place():
            for number, end in zip((3, 4), ends, strict=True):
                os.dup2(end, number)

        self._process = subprocess.Popen(command, pass_fds=(3, 4), stderr=subprocess.DEVNULL, preexec_fn=place)
        for end in (theirs, its, *ends):
            os.close(end)
        self._out, self._in, self._buffer, self._number = ours, mine, b"", 0
        self._answers, self._events, self.said, self.asked = {}, [], [], []
        targets = self._ask("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self._ask("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        os.close(self._out)
        os.close(self._in)
        self._process.terminate()
        self._process.wait(LIMIT_S)

    def ask(self, method, **given):
        """Have the page do something; return its answer."""
        return self._ask(method, self._session, **given)

    def _ask(self, method, session=None, **given):
        self._number += 1
        message = {"id": self._number, "method": method, "params": given}
        if session is not None:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        self._until(lambda: self._number in self._answers)
        answer = self._answers.pop(self._number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _until(self, condition):
        limit = time.monotonic() + LIMIT_S
        while not condition():
            if not select.select([self._in], [], [], max(0.0, limit - time.monotonic()))[0]:
                raise TimeoutError("the browser does not answer")
            data = os.read(self._in, 1 << 20)
            if not data:
                raise ConnectionError("the browser has ended")
            *whole, self._buffer = (self._buffer + data).split(b"\0")
            for message in map(json.loads, whole):
                self._take(message)

    def _take(self, message):
        if "id" in message:
            self._answers[message["id"]] = message
            return
        name, given = message["method"], message.get("params", {})
        self._events.append(name)
        if given.get("entry", {}).get("source") == "rendering":
            return  # of what a test does with a canvas
        if name in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            self.said.append(given)
        elif name == "Network.requestWillBeSent":
            self.asked.append(given["request"]["url"])

    def size(self, width, height, scheme="light", scale=1):
        """Give the window a size in pixels, and the page a wish for light or dark colours."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, address):
        """Load a page; return after how many seconds it was drawn."""
        self.said.clear()
        self.asked.clear()
        self._events.clear()
        began = time.monotonic()
        self.ask("Page.navigate", url=address)
        self._until(lambda: "Page.loadEventFired" in self._events)
        # The second frame comes when the first has been painted.
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return time.monotonic() - began

    def run(self, code):
        """Return the value of an expression in the page."""
        answer = self.ask("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"])
        return answer["result"].get("value")

    def mouse(self, kind, x, y, **more):
        """Move, press or release the mouse; `kind` is Chromium's, such as "mouseMoved"."""
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def picture(self, path):
        """Write what the window shows to a file, a PNG."""
        import base64

        with open(path, "wb") as file:
            file.write(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))
