#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""prometheus_live_check.py URL CARDS: evaluates all expressions of rules and dashboards on a Prometheus, and fails if
one has an error or no data. CARDS is 0 if the server has no cards; expressions about cards may then be empty."""
import json
import pathlib
import re
import sys
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
VALUES = {"$job": ".+", "$instance": ".+", "$__rate_interval": "30s", "$price": "5000", "$life": "4", "$pue": "1.4",
          "$tariff": "0.12"}
ABOUT_CARDS = re.compile(r"ese_card_|ese_cost_card_|ese:card_|component=~\"card")


def get(url, path):
    with urllib.request.urlopen(url + path, timeout=20) as reply:
        return json.load(reply)["data"]


def expressions(url):
    """Yields what each expression is for, and the expression. Alerts have no data when all is well."""
    for group in get(url, "/api/v1/rules")["groups"]:
        for rule in group["rules"]:
            if rule["health"] != "ok":
                sys.exit(f"{rule['name']}: {rule.get('lastError', rule['health'])}")
            if rule["type"] == "recording":
                yield rule["name"], rule["query"]
    for path in sorted((ROOT / "deploy/grafana").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                expression = target["expr"]
                for name, value in VALUES.items():
                    expression = expression.replace(name, value)
                yield f"{path.name}: {panel['title']}", expression


def main():
    url, cards, count, empty = sys.argv[1], sys.argv[2] != "0", 0, []
    for name, expression in expressions(url):
        count += 1
        found = get(url, "/api/v1/query?query=" + urllib.parse.quote(expression))["result"]
        if not found and (cards or not ABOUT_CARDS.search(expression)):
            empty.append(f"{name}: {expression}")
    print(json.dumps({"name": "dashboards.expressions", "value": count, "unit": "expressions"}))
    print(json.dumps({"name": "dashboards.empty", "value": len(empty), "unit": "expressions", "which": empty}))
    if empty:
        sys.exit(f"{len(empty)} expressions have no data")


if __name__ == "__main__":
    main()
