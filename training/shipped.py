# SPDX-License-Identifier: Apache-2.0
"""Measures error rates as shipped: of compiled models, served over gRPC, recognising audio.

    /usr/bin/python3 -m training.shipped NAME [NAME ...]      finished runs of the experiment

It exports and compiles each run, starts ese-server with it, and streams every held-out utterance
through ese-client. Then it writes results/shipped/NAME.json. It needs ./run build and the work folder
of ./run train.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

from tools import server_ready
from training import data, evaluate, export, recipes
from training.settings import REPOSITORY, work_dir

BIN = REPOSITORY / "build/release/bin"


def compile_model(folder, target):
    """Compiles the files in export/NAME to an .ese file; returns the compiler's report."""
    command = [BIN / "ese-compile", "build", "--json", "-o", target, "--weights",
               folder / "model.safetensors", "--topology", folder / "topology.json",
               "--calibration", folder / "calibration.safetensors"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


class Server:
    """Runs ese-server with one model on a free loopback port, for the duration of a `with`."""

    def __init__(self, model):
        self._folder = tempfile.TemporaryDirectory()
        self._ready = pathlib.Path(self._folder.name) / "ready"
        self._log = open(self._ready.with_name("log"), "w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [BIN / "ese-server", "--model", model, "--listen", "127.0.0.1:0", "--metrics", "",
             "--ready-file", self._ready], stderr=self._log)

    def __enter__(self):
        log = pathlib.Path(self._log.name)
        return server_ready.wait_until_ready(self._process, self._ready, log)["grpc"]

    def __exit__(self, *unused):
        self._process.terminate()
        self._process.wait()
        self._log.close()
        self._folder.cleanup()


def recognised(address, files):
    """Returns {file: [phone, ...]}, as ese-client recognises them."""
    command = [BIN / "ese-client", "transcribe", "--server", address, *files]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = {}
    for line in output.splitlines():
        path, phones = line.rsplit(": ", 1) if ": " in line else (line.rstrip(":"), "")
        found[path] = phones.split()
    return found


def measure(results, name):
    """Writes results/shipped/NAME.json: error rates as in evaluate.error_rates, and the report."""
    recipe = recipes.of(name)
    folder = work_dir(recipe.language)
    path = results / "shipped" / (name + ".json")
    path.parent.mkdir(parents=True, exist_ok=True)
    export.run(folder, results, name)
    model = folder / "export" / name / "model.ese"
    report = compile_model(folder / "export" / name, model)
    rows = [row for row in data.read_manifest(folder) if row["set"] in recipe.test_sets]
    rows.sort(key=lambda row: row["file"])
    with Server(model) as address:
        found = recognised(address, [str(folder / row["file"]) for row in rows])
    rates = {}
    for group in recipe.test_sets:
        counts = []
        for row in rows:
            if row["set"] == group:
                wanted = row["phones"].split()
                counts.append([evaluate.distance(found[str(folder / row["file"])], wanted),
                               len(wanted)])
        rates[group] = evaluate.summary(counts)
    fidelity = report["fidelity"]
    path.write_text(json.dumps({
        "per": rates, "file_bytes": report["file_bytes"],
        "dense_fp32_bytes": report["dense_fp32_bytes"], "fingerprint": report["fingerprint"],
        "logits_snr_db": fidelity["logits_snr_db"], "layer_snr_db": fidelity["layer_snr_db"],
        "same_best_unit": fidelity["same_best_unit"]}) + "\n")
    print(f"{name} as shipped: PER "
          + ", ".join(f"{group} {value['per']}" for group, value in rates.items()), flush=True)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        measure(REPOSITORY / "training/results", argument)
