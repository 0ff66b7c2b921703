#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""prometheus_rules_test.py PROMTOOL: checks and tests the rules in deploy/prometheus, and that each rule has a
test and each alert a runbook page."""
import pathlib
import re
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
RULES = ROOT / "deploy/prometheus/ese.rules.yml"
TESTS = ROOT / "tests/prometheus/ese.rules.test.yml"
RUNBOOKS = ROOT / "docs/runbooks"
SECTIONS = ["What it means", "What to look at", "What to do"]
promtool = None


def alerts():
    """Returns the text of each alert by its name."""
    parts = re.split(r"^      - alert: (\w+)$", RULES.read_text(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


class RulesTest(unittest.TestCase):
    def run_promtool(self, *arguments):
        result = subprocess.run([promtool, *arguments], capture_output=True, text=True, timeout=120)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def test_promtool_accepts_the_configuration_and_its_rules(self):
        self.run_promtool("check", "config", "--lint-fatal", ROOT / "deploy/prometheus/prometheus.yml")
        self.run_promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)

    def test_rules_compute_what_their_tests_say(self):
        self.run_promtool("test", "rules", TESTS)

    def test_each_rule_has_a_test(self):
        tests = TESTS.read_text()
        records = re.findall(r"^      - record: (\S+)$", RULES.read_text(), flags=re.M)
        self.assertGreater(len(records), 30)
        for record in records:
            self.assertRegex(tests, rf"round\({record} \* 1e6\)", record)
        for alert in alerts():
            self.assertRegex(tests, rf"\n      - alertname: {alert}\n", alert)

    def test_each_alert_says_what_it_is(self):
        self.assertGreaterEqual(len(alerts()), 15)
        for alert, text in alerts().items():
            with self.subTest(alert):
                self.assertRegex(text, r"labels: {severity: (critical|warning|info)}")
                self.assertRegex(text, r'summary: ".+"')
                self.assertRegex(text, r"description: >-\n +\S")
                self.assertIn(f"runbook_url: docs/runbooks/{alert}.md", text)

    def test_each_alert_has_a_runbook_and_each_runbook_an_alert(self):
        pages = {page.stem: page.read_text() for page in RUNBOOKS.glob("Ese*.md")}
        self.assertEqual(set(pages), set(alerts()))
        for name, page in pages.items():
            with self.subTest(name):
                self.assertTrue(page.startswith(f"# {name}\n"))
                self.assertEqual(re.findall(r"^## (.+)$", page, flags=re.M), SECTIONS)
                for link in re.findall(r"\]\(([^)#]+)", page):
                    self.assertTrue((RUNBOOKS / link).exists(), link)


if __name__ == "__main__":
    promtool = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
