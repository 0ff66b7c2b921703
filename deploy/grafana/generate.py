#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""generate.py FOLDER: writes the Grafana dashboards (for Grafana 10 to 12) into FOLDER as JSON."""
import json
import pathlib
import sys

JOB = 'job=~"$job"'
INSTANCE = JOB + ', instance=~"$instance"'
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# The paper's machines as it states them: watts, and microseconds for one frame of 32 streams (docs/ese_paper.md).
PAPER = (("i7-5930k, sparse", 38, 3569.9), ("Titan X, sparse", 136, 287.4), ("XCKU060, ESE", 41, 82.7))


def panel(title, unit, description, *queries, kind="timeseries"):
    """A panel without its place. Each query is a pair of an expression and the legend of its series."""
    return {
        "title": title, "type": kind, "description": description, "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "noValue": "no data"}, "overrides": []},
        "options": ({"calculate": False, "cellGap": 0, "yAxis": {"unit": unit}} if kind == "heatmap" else
                    {"legend": {"showLegend": True}, "tooltip": {"mode": "multi"}}),
        "targets": [
            {"refId": chr(ord("A") + k), "datasource": SOURCE, "expr": expression, "legendFormat": legend,
             "format": "heatmap" if kind == "heatmap" else "time_series"}
            for k, (expression, legend) in enumerate(queries)]}


def service():
    return [
        panel("Use of the error budget", "none",
              "1 uses up the budget (1 % of the chunks later than 50 ms) in just 30 days.",
              *[(f"ese:slo_burn:rate{w}{{{JOB}}}", f"{{{{job}}}} over {w}") for w in ("5m", "1h", "6h")]),
        panel("Latency of chunks", "s", "From the arrival of a chunk until its answer is passed to gRPC.",
              *[(f"ese:chunk_seconds:{p}_5m{{{JOB}}}", f"{{{{job}}}} {p}") for p in ("p50", "p90", "p99", "p999")]),
        panel("Latency of chunks, as a heat map", "s", "How many chunks had which latency.",
              (f"sum by (le) (increase(ese_chunk_seconds_bucket{{{INSTANCE}}}[$__rate_interval]))", "{{le}}"),
              kind="heatmap"),
        panel("Streams", "none", "Open streams of each model.",
              (f"sum by (model) (ese_streams{{{INSTANCE}}})", "{{model}}")),
        panel("Lanes of a batch", "none", "The mean number of streams that are computed together; a card takes 32.",
              (f"ese:lanes_per_batch:mean5m{{{JOB}}}", "{{job}}")),
        panel("Refused and failed streams", "percentunit", "Refused: of the new streams. Failed: of the ended ones.",
              (f"ese:streams_refused:ratio5m{{{JOB}}}", "{{job}} refused"),
              (f"ese:streams_failed:ratio5m{{{JOB}}}", "{{job}} failed")),
        panel("Saturation", "percentunit", "The share of the time that each channel computes.",
              (f"ese:channel_busy:ratio5m{{{INSTANCE}}}", "{{instance}} {{channel}}")),
        panel("Wait and compute time", "s", "99th percentiles of the wait in the queue and of a batch.",
              (f"ese:queue_wait_seconds:p99_5m{{{JOB}}}", "{{job}} queue"),
              (f"ese:batch_seconds:p99_5m{{{JOB}}}", "{{job}} batch")),
    ]


def cards():
    return [
        panel("Cards that work", "none", "1 if the card is open and loaded.",
              (f"ese_card_up{{{INSTANCE}}}", "{{instance}} card {{card}}")),
        panel("Busy channels", "percentunit", "The share of the time that each channel computes.",
              (f"ese:channel_busy:ratio5m{{{INSTANCE}}}", "{{instance}} {{channel}}")),
        panel("Temperature", "celsius", "Each sensor of each card.",
              (f"ese_card_celsius{{{INSTANCE}}}", "{{instance}} card {{card}} {{sensor}}")),
        panel("Faults", "ops", "Faults a second of each card, by kind.",
              (f"sum by (instance, card, kind) (rate(ese_card_faults_total{{{INSTANCE}}}[$__rate_interval]))",
               "{{instance}} card {{card}} {{kind}}")),
        panel("Power by back end", "watt", "The machine's power, split as the frames are, and the cards' power.",
              (f"ese:backend_watts:rate5m{{{JOB}}}", "{{job}} {{backend}}")),
        panel("Energy of a frame", "joule", "The paper's machines: their power times their time for one frame.",
              (f"ese:joules_per_frame:rate5m{{{JOB}}}", "{{job}} {{backend}}"),
              *[(f"vector({watts * micros * 1e-6 / 32:.4g})", f"paper: {name}") for name, watts, micros in PAPER]),
    ]


def cost():
    # A stream has 100 frames a second, so a machine that is always busy carries 32e4 / micros streams.
    paper = [(f"($price / $life / 8766 + {watts} / 1000 * $pue * $tariff) / {32e4 / micros:.6g}",
              f"paper: {name}") for name, watts, micros in PAPER]
    return [
        panel("Cost of a stream-hour", "currencyUSD",
              "Live by back end, with the server's inputs. The paper's machines: quoted power and speed, fully busy, "
              "with the price, life, PUE and tariff chosen above.",
              (f"ese:backend_cost:dollars_per_stream_hour{{{JOB}}}", "{{job}} {{backend}}"),
              *[(f"vector({expression})", name) for expression, name in paper]),
        panel("Cost of a thousand audio hours", "currencyUSD", "An audio hour has 360,000 frames.",
              (f"ese:backend_cost:dollars_per_thousand_audio_hours{{{JOB}}}", "{{job}} {{backend}}")),
        panel("Cost of a million frames", "currencyUSD", "By back end.",
              (f"ese:backend_cost:dollars_per_million_frames{{{JOB}}}", "{{job}} {{backend}}")),
        panel("Cost of an hour", "currencyUSD", "Of all servers and cards of a job, busy or not.",
              (f"ese:cost:dollars_per_hour{{{JOB}}}", "{{job}}")),
    ]


def query_variable(name, query):
    return {"name": name, "label": name.capitalize(), "type": "query", "datasource": SOURCE, "query": query,
            "definition": query, "refresh": 2, "includeAll": True, "multi": True, "allValue": ".+",
            "current": {"text": "All", "value": "$__all"}}


def dashboard(uid, title, description, panels, what_if=()):
    for k, one in enumerate(panels):
        one["id"] = k + 1
        one["gridPos"] = {"x": 12 * (k % 2), "y": 8 * (k // 2), "w": 12, "h": 8}
    variables = [{"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
                  "current": {"text": "default", "value": "default"}},
                 query_variable("job", "label_values(ese_build_info, job)"),
                 query_variable("instance", 'label_values(ese_build_info{job=~"$job"}, instance)')]
    variables += [{"name": name, "label": label, "type": "textbox", "query": value,
                   "current": {"text": value, "value": value}} for name, label, value in what_if]
    return {"uid": uid, "title": title, "description": description, "tags": ["ese"], "schemaVersion": 39,
            "editable": False, "refresh": "10s", "time": {"from": "now-1h", "to": "now"}, "timezone": "browser",
            "templating": {"list": variables}, "panels": panels,
            "annotations": {"list": [{"name": "Starts", "datasource": SOURCE, "enable": True, "iconColor": "blue",
                                      "expr": f"changes(process_start_time_seconds{{{INSTANCE}}}[1m]) > 0",
                                      "titleFormat": "{{instance}} has started"}]}}


def dashboards():
    return {
        "service": dashboard("ese-service", "ESE service", "Whether the service is well.", service()),
        "cards": dashboard("ese-cards", "ESE cards and power", "Cards, channels and their power.", cards()),
        "cost": dashboard("ese-cost", "ESE cost", "What a stream-hour costs, beside the ESE paper's machines.", cost(),
                          (("tariff", "Dollars per kWh", "0.12"), ("pue", "PUE", "1.4"),
                           ("price", "Price of a machine in dollars", "5000"), ("life", "Its life in years", "4")))}


def main():
    folder = pathlib.Path(sys.argv[1])
    for name, content in dashboards().items():
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
