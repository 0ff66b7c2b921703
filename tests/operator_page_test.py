# SPDX-License-Identifier: Apache-2.0
"""Opens the operator page of a real ese-server in Chromium: under load, empty and after a stop.

usage: operator_page_test.py BIN_DIR SCREENSHOT_DIR

Compares the page with /metrics, and fails on any message in the browser's console. It exits with
77, which ctest shows as skipped, if there is no Chromium.
"""
import base64
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

TIME_LIMIT_S = 60
MODEL = "pretrained"


class Browser:
    """Speaks the DevTools protocol through two pipes: JSON messages that end with a zero byte."""

    def __init__(self, program: str, profile: str):
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()
        # The browser reads from descriptor 3 and writes to 4.
        command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
                   "--disable-dev-shm-usage", f"--user-data-dir={profile}",
                   "--remote-debugging-pipe", "about:blank"]
        shell = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command], pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._id = 0
        self.messages: list[str] = []  # of the console
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = None
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(domain + ".enable")

    def close(self):
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _read(self) -> dict:
        while b"\0" not in self._buffer:
            if not select.select([self._in], [], [], TIME_LIMIT_S)[0]:
                raise TimeoutError("the browser does not answer")
            part = os.read(self._in, 1 << 16)
            if not part:
                raise EOFError("the browser has ended")
            self._buffer += part
        text, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(text)

    def _call(self, method: str, **params) -> dict:
        self._id += 1
        message = {"id": self._id, "method": method, "params": params}
        if getattr(self, "_session", None):
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._id:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            if answer.get("method") in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled",
                                        "Log.entryAdded"):
                self.messages.append(json.dumps(answer["params"]))

    def open(self, url: str):
        self._call("Page.navigate", url=url)

    def value(self, expression: str):
        result = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")

    def wait_for(self, expression: str):
        end = time.monotonic() + TIME_LIMIT_S
        while not self.value(expression):
            if time.monotonic() > end:
                raise AssertionError(f"never true: {expression}\n{self.value('document.body.innerText')}")
            time.sleep(0.05)  # polls, with a limit above

    def screenshot(self, path: pathlib.Path, width: int, scheme: str):
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=900,
                   deviceScaleFactor=1, mobile=width < 500)
        self._call("Emulation.setEmulatedMedia",
                   features=[{"name": "prefers-color-scheme", "value": scheme}])
        image = self._call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(image["data"]))


def metric(address: str, name: str) -> float:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found = [float(x.rsplit(" ", 1)[1]) for x in lines if x.split("{")[0].split(" ")[0] == name]
    assert found, f"/metrics has no {name}"
    return sum(found)


def start_server(bin_dir: pathlib.Path, folder: pathlib.Path, options: list[str]):
    ready = folder / "ready"
    ready.unlink(missing_ok=True)
    server = subprocess.Popen(
        [bin_dir / "ese-server", "--listen", "127.0.0.1:0", "--channels", "1",
         "--ready-file", ready, "--drain-seconds", "0", *options], stderr=subprocess.DEVNULL)
    end = time.monotonic() + TIME_LIMIT_S
    while not ready.exists():
        assert server.poll() is None and time.monotonic() < end, "ese-server does not start"
        time.sleep(0.05)
    lines = dict(line.split("=", 1) for line in ready.read_text().splitlines())
    return server, lines["grpc"], lines["metrics"]


def check_accessible(browser: Browser):
    missing = browser.value("""JSON.stringify([
      ...["header", "main", "footer", "h1", "[role=status][aria-live]", "html[lang]", ".skip[href='#main']"]
        .filter((s) => document.querySelector(s) === null),
      ...[...document.querySelectorAll("table th:not([scope])")].map((e) => "a header without scope"),
      ...[...document.querySelectorAll("[aria-labelledby]")].map((e) => e.getAttribute("aria-labelledby"))
        .filter((id) => document.getElementById(id) === null)])""")
    assert missing == "[]", missing
    overflow = browser.value("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0, f"the page is {overflow} pixels too wide"


def status_of(host: str, port: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def check_refusal(bin_dir: pathlib.Path, folder: pathlib.Path, models: pathlib.Path):
    """A client that does not come over the loopback interface gets the page only if a flag says so."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing, but chooses an interface
        except OSError:
            print("not tested: this machine has only the loopback interface")
            return
        own = probe.getsockname()[0]
    for who, host, expected in (("local", own, 403), ("local", "127.0.0.1", 200), ("all", own, 200),
                                ("off", "127.0.0.1", 404)):
        server, _, address = start_server(
            bin_dir, folder, ["--model-dir", str(models), "--metrics", "0.0.0.0:0", "--operator-page", who])
        try:
            status, text = status_of(host, address.rsplit(":", 1)[1])
            assert status == expected, (who, host, status, text)
            assert status != 403 or "--operator-page all" in text, text
        finally:
            server.kill()
            server.wait()


def check_page(browser: Browser, bin_dir, folder, shots):
    models = folder / "models"
    models.mkdir()
    server, _, address = start_server(bin_dir, folder, ["--model-dir", str(models), "--metrics", "127.0.0.1:0"])
    try:
        browser.open(f"http://{address}/")
        browser.wait_for("document.querySelector('#state')?.dataset.state === 'live'")
        for unknown in ("streams", "latency", "watts"):
            text = browser.value(f"document.getElementById('{unknown}').textContent")
            assert "unknown" in text and "0" not in text.replace("p50", ""), (unknown, text)
        check_accessible(browser)
        assert browser.messages == [], browser.messages
        browser.screenshot(shots / "empty.png", 1200, "light")
    finally:
        server.kill()
        server.wait()

    model = next(pathlib.Path(MODEL).rglob("*.ese"))
    server, grpc, address = start_server(bin_dir, folder, ["--model", str(model), "--metrics", "127.0.0.1:0"])
    started = [server]
    try:
        started.append(subprocess.Popen(
            [bin_dir / "ese-load", "--server", grpc, "--streams", "8", "--seconds", "60"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        browser.open(f"http://{address}/")
        browser.wait_for("document.querySelector('#streams')?.textContent === '8'")
        browser.messages.clear()  # they are about the server that was stopped
        assert metric(address, "ese_streams") == 8
        browser.wait_for("!document.querySelector('#latency').textContent.includes('unknown')")
        browser.wait_for("document.querySelectorAll('#latency ~ svg polyline').length === 2")
        assert browser.value("document.querySelector('#watts').textContent") == "unknown"
        cell = browser.value("document.querySelector('#models tbody tr').cells[3].textContent")
        assert float(cell) == metric(address, "ese_streams"), cell
        browser.wait_for("document.querySelector('#frames ~ svg polyline')?.points.length > 8")
        for name, width, scheme in (("light", 1200, "light"), ("dark", 1200, "dark"), ("phone", 360, "light")):
            browser.screenshot(shots / f"load_{name}.png", width, scheme)
            check_accessible(browser)
        assert browser.messages == [], browser.messages
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()
    browser.wait_for("document.querySelector('#state').dataset.state === 'lost'")
    assert "does not answer" in browser.value("document.querySelector('#state').textContent")
    browser.screenshot(shots / "stopped.png", 1200, "dark")


def main() -> int:
    bin_dir, shots = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    program = shutil.which("chromium")
    if program is None:
        print("skipped: there is no chromium; ./run install installs it")
        return 77
    shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Browser(program, folder + "/profile")
        try:
            check_page(browser, bin_dir, pathlib.Path(folder), shots)
            check_refusal(bin_dir, pathlib.Path(folder), pathlib.Path(folder) / "models")
        finally:
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
