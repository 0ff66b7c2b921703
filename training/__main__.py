# SPDX-License-Identifier: Apache-2.0
"""Runs the stages in order: data, features, the runs of the experiment, export. Finished work is
skipped, and interrupted training continues from its last checkpoint."""

import argparse
import multiprocessing
import pathlib
import shutil
import sys
import time

NEEDED = {"torch": "python3-torch", "torchaudio": "python3-torchaudio", "numpy": "python3-numpy"}
PROGRAMS = {"flite": "flite", "ffmpeg": "ffmpeg", "espeak-ng": "espeak-ng",
            "dpkg-deb": "dpkg"}


def check_requirements():
    """Exits with the names of the Debian packages that are missing, if any."""
    missing = []
    for module, package in NEEDED.items():
        try:
            __import__(module)
        except ImportError as error:
            missing.append(f"Python module {module} ({error}): Debian package {package}")
    missing += [f"program {name}: Debian package {package}" for name, package in PROGRAMS.items()
                if shutil.which(name) is None]
    if missing:
        sys.exit(f"{sys.executable} lacks\n  " + "\n  ".join(missing) + "\nDebian's Python modules "
                 "belong to /usr/bin/python3; set ESE_PYTHON to use another interpreter.")


def parse():
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="./run train", description=__doc__)
    parser.add_argument("--recipe", default="en", choices=("en", "nl"),
                        help="the language (default: en)")
    parser.add_argument("--smoke", action="store_true",
                        help="run every stage at tiny size, in about two minutes")
    parser.add_argument("--only", default="", metavar="PREFIX",
                        help="train only the runs whose names begin with this, such as main.s1, and "
                        "the runs that they need")
    parser.add_argument("--list", action="store_true", help="list the runs and which are finished")
    parser.add_argument("--results", type=pathlib.Path, metavar="DIR",
                        help="where results are kept (default: training/results); with an empty "
                        "folder everything is trained again")
    parser.add_argument("--hours", type=float, help="begin no further run after this many hours")
    parser.add_argument("--jobs", type=int, default=1,
                        help="how many runs to train at a time, each on one thread and in 3 GB of "
                        "memory (default: 1)")
    return parser.parse_args()


def train(folder, results, sizes, chosen, jobs, deadline):
    """Trains all chosen runs in `jobs` processes, of which this one is the first."""
    from training import worker

    arguments = (folder, results, sizes, chosen, deadline)
    others = [multiprocessing.Process(target=worker.work, args=arguments)
              for _ in range(jobs - 1)]
    for other in others:
        other.start()
    worker.work(*arguments)
    for other in others:
        other.join()
        if other.exitcode:
            sys.exit("a worker failed; its error is above. Correct it and run the same command "
                     "again, which continues from the last checkpoints")


def main():
    """Parses the command line and runs the stages."""
    arguments = parse()
    check_requirements()

    # These are imported only now, so that check_requirements can name a missing module.
    import torch

    from training import data, export, features, runs, settings
    from training.recipes import RECIPES
    from training.train import checkpoint, result_file

    torch.set_num_threads(1)  # Debian's BLAS gets slower with more threads on these matrices
    start = time.monotonic()
    deadline = start + 3600 * arguments.hours if arguments.hours else None
    recipe = RECIPES[arguments.recipe]
    sizes, folder, all_runs = recipe.settings, settings.work_dir(recipe.language), recipe.runs()
    results = arguments.results or settings.REPOSITORY / "training/results"
    if arguments.smoke:
        sizes, folder, all_runs = recipe.smoke_settings, folder / "smoke", recipe.smoke_runs()
        results = folder / "results"
        for name in ("runs", "results", "export"):
            shutil.rmtree(folder / name, ignore_errors=True)
        folder.mkdir(exist_ok=True)
    chosen = runs.select(all_runs, arguments.only)
    if not chosen:
        sys.exit(f"no run's name begins with '{arguments.only}'; --list shows all names")
    if arguments.list:
        for run in chosen:
            done = result_file(results, run.name).exists()
            print(f"{run.name}\t{run.updates} updates\t{'finished' if done else ''}")
        return
    print("== data", flush=True)
    data.run(folder, sizes, recipe.rows)
    print("== features", flush=True)
    features.compute(folder, sizes)
    print("== train", flush=True)
    train(folder, results, sizes, chosen, arguments.jobs, deadline)
    print("== export", flush=True)
    for exported in [chosen[-1].name] if arguments.smoke else recipe.shipped:
        if checkpoint(folder, exported).exists():
            export.run(folder, results, exported)
        else:
            print(f"{exported} is not exported, because it was not trained here")
    print(f"done in {(time.monotonic() - start) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
