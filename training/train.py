# SPDX-License-Identifier: Apache-2.0
"""Stage 3: trains one run of the experiment (runs.py), and can resume from its last checkpoint."""

import dataclasses
import json
import math
import time

import torch

from training import evaluate, features, trunks
from training.ese_prune.pruner import Pruner
from training.ese_prune.schedule import CubicSchedule
from training.model import Recogniser, fast_bfloat16
from training.patterns import PATTERNS, Saliency
from training.progress import Progress
from training.runs import SIZES

SAVE_SECONDS = 180.0
CURVE_POINTS = 40
BRANCH_WARM_UP_UPDATES = 20
Y_FREE = 3.5  # y beyond this is penalised, because the engine's 8 bits hold +-4


def _cosine(begin, end, fraction):
    return end + (begin - end) * 0.5 * (1 + math.cos(math.pi * fraction))


def learning_rate(settings, run, update):
    """Returns the learning rate of an update.

    It decays slowly in a trunk. In a branch it is constant during pruning and then falls to nearly
    zero on cosines. Both begin with a warm-up; a branch's is short, for the optimiser's averages.
    """
    if run.is_trunk:
        rate = _cosine(settings.peak_rate, settings.decayed_rate, update / run.updates)
        return rate * min(1.0, (update + 1) / settings.warm_up_updates)
    pruned = prune_updates(run)
    if update < pruned:
        return settings.branch_rate * min(1.0, (update + 1) / BRANCH_WARM_UP_UPDATES)
    fraction = (update - pruned) / max(run.updates - pruned, 1) * run.cycles
    fraction -= min(math.floor(fraction), run.cycles - 1)
    return _cosine(settings.branch_rate, settings.final_rate, fraction)


def prune_updates(run):
    """Returns the number of updates until a branch's masks are final."""
    return math.floor(run.prune_share * run.updates)


def checkpoint(folder, name):
    """Returns the path of a run's state."""
    return folder / "runs" / (name + ".pt")


def result_file(results, name):
    """Returns the path of a finished run's result, which is kept in the repository."""
    return results / "runs" / (name + ".json")


def load_finished(folder, name, units):
    """Returns the network of a finished run, and its saved state."""
    saved = torch.load(checkpoint(folder, name))
    model = Recogniser(SIZES[saved["run"]["size"]], saved["mean"].numel(), units)
    model.load_state_dict(saved["model"])
    return model.eval(), saved


class Trainer:
    """Trains one run, from its checkpoint if there is one."""

    def __init__(self, folder, results, settings, run, utterances):
        self._folder, self._results, self._settings, self._run = folder, results, settings, run
        torch.manual_seed(run.seed)
        self._train = [u for u in utterances if u["set"] == "train"]
        self._tests = [u for u in utterances if u["set"] != "train"]
        inputs = features.BINS * features.STACK
        self.model = Recogniser(SIZES[run.size], inputs, len(settings.units))
        self._optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-3, betas=(0.9, 0.98))
        self._kind = torch.bfloat16 if fast_bfloat16() else torch.float32
        self._saliency = Saliency(run.saliency, self._optimiser)
        self._state = {"update": 0, "frames": 0, "epoch": 0, "seconds": 0.0, "curve": []}
        self._pruner = self._teacher = None
        own = checkpoint(folder, run.name)
        if own.exists():
            self._restore(torch.load(own))
        elif run.parent:
            self._begin(self._parent_weights())
        else:
            self._mean, self._inv = features.statistics(self._train, settings)
        if run.teacher:
            self._teacher = load_finished(folder, run.teacher, len(settings.units))[0]

    def _parent_weights(self):
        """Returns the weights of a trunk, which may be in the repository, or of a finished run."""
        trunk = trunks.path_of(self._results, self._run.parent)
        if trunk.exists():
            return trunks.read(trunk)
        saved = torch.load(checkpoint(self._folder, self._run.parent))
        return {**saved["model"], "input.mean": saved["mean"], "input.inv_stddev": saved["inv"]}

    def _restore(self, saved):
        self.model.load_state_dict(saved["model"])
        self._optimiser.load_state_dict(saved["optimiser"])
        self._mean, self._inv = saved["mean"], saved["inv"]
        self._state = saved["state"]
        self._saliency.load_state_dict(saved["saliency"])
        self._pruner = self._make_pruner(saved["pruner"])

    def _begin(self, weights):
        self._mean, self._inv = weights.pop("input.mean"), weights.pop("input.inv_stddev")
        self.model.load_state_dict(weights)
        self._pruner = self._make_pruner(None)

    def _make_pruner(self, saved):
        run = self._run
        if run.density == 1:
            return None
        schedule = CubicSchedule(0, prune_updates(run), every=10)
        pruner = Pruner(self.model, run.density, schedule, regrow=run.regrow,
                        density_projection=run.density_projection or None,
                        saliency=None if run.saliency == "magnitude" else self._saliency,
                        pattern=PATTERNS[run.pattern])
        if saved:
            pruner.load_state_dict(saved)
        return pruner

    def _save(self):
        path = checkpoint(self._folder, self._run.name)
        path.parent.mkdir(exist_ok=True)
        torch.save({"model": self.model.state_dict(), "optimiser": self._optimiser.state_dict(),
                    "pruner": self._pruner and self._pruner.state_dict(),
                    "saliency": self._saliency.state_dict(), "state": self._state,
                    "mean": self._mean, "inv": self._inv, "run": dataclasses.asdict(self._run)},
                   path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)

    def _loss(self, batch, lengths, units, counts):
        """Returns (the loss per phone, the sum that is minimised)."""
        inputs = features.normalise(batch, self._mean, self._inv)
        outputs, layers = self.model.train_forward(inputs, self._kind, self._settings.dropout)
        loss = torch.nn.functional.ctc_loss(outputs, units, lengths, counts, reduction="sum",
                                            zero_infinity=True) / counts.sum()
        total = loss
        for y in layers:
            total = total + (y.abs() - Y_FREE).clamp(min=0).square().sum() / lengths.sum()
        if self._teacher is not None:
            with torch.no_grad():
                wanted = self._teacher.train_forward(inputs, self._kind)[0]
            heard = (torch.arange(len(batch))[:, None] < lengths)[..., None]
            divergence = (wanted.exp() * (wanted - outputs)).masked_fill(~heard, 0.0).sum()
            total = total + divergence / counts.sum()
        return loss, total

    def _step(self, batch, lengths, units, counts):
        """Makes one update; returns the loss per phone."""
        for group in self._optimiser.param_groups:
            group["lr"] = learning_rate(self._settings, self._run, self._state["update"])
        loss, total = self._loss(batch, lengths, units, counts)
        self._optimiser.zero_grad()
        total.backward()
        self._saliency.observe(self.model.matrices())
        if self._pruner and (not self._run.regrow or self._pruner.finished):
            self._pruner.mask_gradients()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimiser.step()
        if self._pruner:
            self._pruner.step()
            if not self._pruner.finished and self._pruner.steps >= self._pruner.schedule.end_step:
                self._pruner.finish()
        return loss.item()

    def _updates(self):
        """Trains to the end. Prints progress, saves checkpoints, and records the loss curve."""
        run, state = self._run, self._state
        progress = Progress(run.name, run.updates, done=state["update"])
        losses, last = [], time.monotonic()
        saved = last
        while state["update"] < run.updates:
            batches = features.Batches(self._train, self._settings,
                                       1000 * run.seed + state["epoch"] + 100 * (not run.is_trunk))
            state["epoch"] += 1
            for batch, lengths, units, counts in batches.epoch():
                losses.append(self._step(batch, lengths, units, counts))
                state["update"] += 1
                state["frames"] += int(lengths.sum())
                now = time.monotonic()
                state["seconds"] += now - last
                last = now
                progress.step(note=f"loss {losses[-1]:.3f}, {state['frames'] / state['seconds']:.0f} "
                                   "frames/s")
                if state["update"] % max(run.updates // CURVE_POINTS, 1) == 0:
                    state["curve"].append([state["update"], round(sum(losses) / len(losses), 4)])
                    losses = []
                if state["update"] >= run.updates:
                    break
                if now - saved > SAVE_SECONDS:
                    self._save()
                    saved = time.monotonic()

    def run(self):
        """Trains, tests, and writes the result."""
        run, state = self._run, self._state
        self.model.train()
        self._updates()
        self._save()
        if run.is_trunk:
            trunks.write(trunks.path_of(self._results, run.name),
                         {**self.model.state_dict(), "input.mean": self._mean,
                          "input.inv_stddev": self._inv})
        matrices = self.model.matrices().values()
        weights = sum(p.numel() for p in matrices)
        kept = sum(int((p != 0).sum()) for p in matrices)
        rates = evaluate.error_rates(self.model, self._tests, self._mean, self._inv)
        report = {"run": dataclasses.asdict(run), "weights": weights, "weights_kept": kept,
                  "frames": state["frames"], "seconds": round(state["seconds"]),
                  "arithmetic": str(self._kind).split(".")[1], "per": rates,
                  "curve": state["curve"]}
        if self._pruner:
            report["entries"] = {name: list(pair) for name, pair in self._pruner.entries().items()}
        if run.size == "main":
            report["ranges"] = evaluate.ranges(self.model, self._tests[:40], self._mean, self._inv)
        path = result_file(self._results, run.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".part").write_text(json.dumps(report) + "\n")
        path.with_suffix(".part").rename(path)
        print(f"{run.name}: PER " + ", ".join(f"{k} {v['per']}" for k, v in rates.items()),
              flush=True)
