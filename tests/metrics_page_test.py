#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""metrics_page_test.py BIN: compares docs/metrics.md with the sources and with /metrics of a running server."""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from tools import server_ready  # noqa: E402

PAGE = ROOT / "docs/metrics.md"
FOLDERS = ("server", "scheduler", "accel/xrt", "metrics", "process")
bin_folder = None


def page():
    """Returns type and labels of each metric on the page."""
    metrics = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 5:
            metrics[cells[0].strip("`")] = (cells[1], set(re.findall(r"`(\w+)`", cells[2])))
    return metrics


def names_in_sources():
    """Returns the metrics that the sources create: names between quotes that a call of the registry, a family or a
    helper of theirs gets first."""
    created = r'(?:Get(?:Counter|Gauge|Histogram)|counter|histogram|Family|MetricFamily \w+|watts|joules|celsius|volts)'
    names = set()
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.cc"):
            if not path.name.endswith("_test.cc"):
                names |= set(re.findall(created + r'[({]\s*"((?:ese|process)_[a-z0-9_]+)"', path.read_text()))
    return names


def scrape(address):
    """Returns type and labels of each metric that a server shows."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as reply:
        text = reply.read().decode()
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, flags=re.M))
    labels = {name: set() for name in types}
    for name, inside in re.findall(r"^(\w+)\{(.*)\} \S+$", text, flags=re.M):
        family = name if name in types else re.sub(r"_(bucket|sum|count)$", "", name)
        labels[family] |= set(re.findall(r'(\w+)="', inside)) - {"le"}
    return {name: (kind, labels[name]) for name, kind in types.items()}


class MetricsPageTest(unittest.TestCase):
    def test_each_metric_of_the_sources_is_on_the_page_and_the_other_way_round(self):
        names = names_in_sources()
        self.assertGreater(len(names), 40)
        self.assertEqual(names, set(page()))

    def test_a_running_server_shows_what_the_page_says(self):
        with tempfile.TemporaryDirectory() as folder:
            work = pathlib.Path(folder)
            ready, log = work / "ready", work / "log"
            arguments, environment = ["--channels", "cpu:1"], dict(os.environ)
            emulated = bin_folder.parent / "emu"
            if (emulated / "ese_channel.xclbin").exists():
                arguments = ["--channels", "cpu:1,xrt:all", "--xclbin", emulated / "ese_channel.xclbin"]
                environment |= {"XILINX_XRT": str(emulated), "ESE_EMU_CARDS": "1"}
            with open(log, "wb") as out:
                server = subprocess.Popen(
                    [bin_folder / "ese-server", "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--ready-file",
                     ready, "--model", ROOT / "pretrained/en-phones.ese", "--power", "model", "--power-core-watts", "4",
                     "--cost-server-price", "1", "--cost-card-price", "1", "--cost-tariff", "1", *arguments],
                    stdout=out, stderr=out, env=environment)
            try:
                shown = scrape(server_ready.wait_until_ready(server, ready, log)["metrics"])
            finally:
                server.kill()
                server.wait()
        self.assertGreater(len(shown), 30)
        documented = page()
        common = {"model", "version", "card", "bdf"}  # the page states these once for many metrics
        for name, (kind, labels) in shown.items():
            with self.subTest(name):
                self.assertIn(name, documented)
                self.assertEqual(kind, documented[name][0])
                if documented[name][1]:
                    self.assertLessEqual(labels, documented[name][1] | common)


if __name__ == "__main__":
    bin_folder = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
