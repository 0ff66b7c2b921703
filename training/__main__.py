"""Runs the stages in order: data, features, train, export. Finished stages are skipped."""

import argparse
import shutil
import sys
import time

NEEDED = {"torch": "python3-torch", "torchaudio": "python3-torchaudio", "numpy": "python3-numpy"}
PROGRAMS = {"flite": "flite", "ffmpeg": "ffmpeg", "dpkg-deb": "dpkg"}


def check_requirements():
    """Names the Debian packages that are missing, if any."""
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
                 "belong to /usr/bin/python3; set ESE_PYTHON for another interpreter.")


def main():
    """Parses the command line and runs the stages."""
    parser = argparse.ArgumentParser(prog="training/train.sh", description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="every stage, tiny, about a minute")
    parser.add_argument("--restart", action="store_true", help="forget the trained model first")
    parser.add_argument("--dense-minutes", type=float, help="dense training (default 44)")
    parser.add_argument("--prune-minutes", type=float, help="gradual pruning (default 18)")
    parser.add_argument("--retrain-minutes", type=float, help="retraining (default 31)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    arguments = parser.parse_args()
    check_requirements()

    # Only now, so that a missing module is named above.
    import torch
    from training import data, export, features, settings, train

    torch.set_num_threads(arguments.threads)
    sizes, folder = settings.full(), settings.work_dir()
    results = settings.REPOSITORY / "training/results"
    if arguments.smoke:
        sizes, folder = settings.smoke(), folder / "smoke"
        results = folder / "results"
        shutil.rmtree(folder / "export", ignore_errors=True)
        folder.mkdir(exist_ok=True)
    for name in ("dense_minutes", "prune_minutes", "retrain_minutes"):
        if getattr(arguments, name) is not None:
            setattr(sizes, name, getattr(arguments, name))
    if arguments.restart or arguments.smoke:
        (folder / "state.pt").unlink(missing_ok=True)
    start = time.monotonic()
    for title, stage in (("data", lambda: data.run(folder, sizes)),
                         ("features", lambda: features.compute(folder, sizes)),
                         ("train", lambda: train.run(folder, results, sizes)),
                         ("export", lambda: export.run(folder))):
        print(f"== {title}", flush=True)
        stage()
    print(f"done in {(time.monotonic() - start) / 60:.1f} minutes")


main()
