#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the Grafana dashboards: that they are what generate.py writes, and that each panel explains itself."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
GRAFANA = ROOT / "deploy/grafana"


class DashboardsTest(unittest.TestCase):
    def setUp(self):
        self.dashboards = {path.name: json.loads(path.read_text()) for path in sorted(GRAFANA.glob("*.json"))}
        self.assertEqual(sorted(self.dashboards), ["cards.json", "cost.json", "service.json"])

    def test_the_files_are_those_that_generate_py_writes(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, GRAFANA / "generate.py", folder], check=True)
            for name in self.dashboards:
                self.assertEqual((GRAFANA / name).read_text(), (pathlib.Path(folder) / name).read_text(), name)

    def test_each_panel_has_title_unit_description_and_empty_state(self):
        for dashboard in self.dashboards.values():
            for panel in dashboard["panels"]:
                with self.subTest(panel["title"]):
                    self.assertTrue(panel["title"] and panel["description"] and panel["targets"])
                    self.assertTrue(panel["fieldConfig"]["defaults"]["unit"])
                    self.assertTrue(panel["fieldConfig"]["defaults"]["noValue"])

    def test_data_source_and_job_are_variables_everywhere(self):
        for dashboard in self.dashboards.values():
            names = [variable["name"] for variable in dashboard["templating"]["list"]]
            self.assertEqual(names[:3], ["datasource", "job", "instance"])
            queries = dashboard["annotations"]["list"] + [t for p in dashboard["panels"] for t in p["targets"]]
            for query in queries:
                self.assertEqual(query["datasource"]["uid"], "${datasource}")
                if "vector(" not in query["expr"]:
                    self.assertIn('job=~"$job"', query["expr"])

    def test_each_recorded_name_has_a_rule(self):
        rules = (ROOT / "deploy/prometheus/ese.rules.yml").read_text()
        for dashboard in self.dashboards.values():
            for panel in dashboard["panels"]:
                for name in re.findall(r"ese:[a-z0-9_:]+", " ".join(t["expr"] for t in panel["targets"])):
                    self.assertIn(f"record: {name}\n", rules)


if __name__ == "__main__":
    unittest.main()
