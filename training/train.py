"""Stages 3 to 5: dense training, gradual pruning, retraining under fixed masks, error rates."""

import dataclasses
import json
import math
import time

import torch

from training import evaluate, features, text
from training.ese_prune.schedule import cubic_entries
from training.model import GATES, PROJECTION, Masks, Recogniser, fast_bfloat16

PHASES = ("dense", "prune", "retrain")
DROPOUT = 0.15
WARM_UP_STEPS = 200
SAVE_SECONDS = 120.0
TEST_SECONDS = 300.0


def learning_rate(settings, phase, fraction, step):
    """Warm-up and slow decay; flat while pruning; cosine to nearly zero while retraining."""
    if phase == "dense":
        decayed = settings.prune_rate + (settings.peak_rate - settings.prune_rate) * 0.5 * (
            1 + math.cos(math.pi * fraction))
        return decayed * min(1.0, (step + 1) / WARM_UP_STEPS)
    if phase == "prune":
        return settings.prune_rate
    return settings.final_rate + (settings.prune_rate - settings.final_rate) * 0.5 * (
        1 + math.cos(math.pi * min(fraction, 1.0)))


class Trainer:
    """One training run with its checkpoint `state.pt` in the work folder."""

    def __init__(self, folder, results, settings):
        self._folder, self._results, self._settings = folder, results, settings
        torch.manual_seed(settings.seed)
        self._utterances = torch.load(folder / "features.pt")
        self._train = [u for u in self._utterances if u["set"] == "train"]
        self._tests = [u for u in self._utterances if u["set"] != "train"]
        self.model = Recogniser(settings, len(text.UNITS))
        self._masks = Masks(self.model)
        self._optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-3, betas=(0.9, 0.98))
        self._kind = torch.bfloat16 if fast_bfloat16() else torch.float32
        self.state = {"phase": 0, "step": 0, "spent": 0.0, "total_steps": 0, "frames": 0,
                      "epoch": 0, "per": {}, "steps": {}, "settings": dataclasses.asdict(settings)}
        if (folder / "state.pt").exists():
            saved = torch.load(folder / "state.pt")
            self.model.load_state_dict(saved["model"])
            self._optimiser.load_state_dict(saved["optimiser"])
            self._masks.masks = saved["masks"]
            self.state, self.mean, self.inv_stddev = saved["state"], saved["mean"], saved["inv"]
        else:
            self.mean, self.inv_stddev = features.statistics(self._train, settings)

    def save(self):
        """Writes the checkpoint."""
        path = self._folder / "state.pt"
        torch.save({"model": self.model.state_dict(), "optimiser": self._optimiser.state_dict(),
                    "masks": self._masks.masks, "state": self.state, "mean": self.mean,
                    "inv": self.inv_stddev, "settings": self._settings},
                   path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)

    def _log(self, line):
        path = self._results / "curve.tsv"
        if not path.exists():
            path.write_text("phase\tstep\tframes\tloss\trate\tgate_entries\tper_asterisk\t"
                            "per_others\tper_synth\tper_synth_unheard\n")
        with open(path, "a", encoding="ascii") as file:
            file.write(line + "\n")

    def _shrink(self, fraction):
        """Tightens the masks for this point of the gradual pruning; returns the entries kept."""
        s = self._settings
        gates = cubic_entries(s.input_dim + s.projection, s.gate_entries, fraction)
        self._masks.shrink(gates, cubic_entries(s.cells, s.projection_entries, fraction))
        return gates

    def _step(self, batch, lengths, units, counts, rate):
        """One update; returns the loss for each phone."""
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        inputs = features.normalise(batch, self.mean, self.inv_stddev)
        outputs, y = self.model.train_forward(inputs, self._kind, DROPOUT)
        loss = torch.nn.functional.ctc_loss(outputs, units, lengths, counts, reduction="sum",
                                            zero_infinity=True) / counts.sum()
        # Keeps y within the engine's 8 bits (+-4); nearly always zero.
        penalty = (y.abs() - 3.5).clamp(min=0).square().sum() / lengths.sum()
        self._optimiser.zero_grad()
        (loss + penalty).backward()
        self._masks.mask_gradients()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimiser.step()
        self._masks.apply()
        return loss.item()

    def _run_phase(self, phase):
        settings, state = self._settings, self.state
        minutes = getattr(settings, phase + "_minutes")
        gates = settings.input_dim + settings.projection
        if phase == "retrain":
            gates = self._shrink(1.0)
        last = time.monotonic()
        saved = tested = shown = last
        losses, frames_before = [], state["frames"]
        while state["spent"] < 60 * minutes:
            batches = features.Batches(self._train, settings, 1000 + state["epoch"])
            state["epoch"] += 1
            for batch, lengths, units, counts in batches.epoch():
                fraction = state["spent"] / (60 * minutes)
                if fraction >= 1:
                    break
                if phase == "prune" and state["step"] % 10 == 0:
                    gates = self._shrink(fraction / 0.95 if fraction < 0.95 else 1.0)
                rate = learning_rate(settings, phase, fraction, state["step"])
                losses.append(self._step(batch, lengths, units, counts, rate))
                state["step"] += 1
                state["total_steps"] += 1
                state["frames"] += int(lengths.sum())
                now = time.monotonic()
                state["spent"] += now - last
                last = now
                if now - shown > 20:
                    loss = sum(losses) / len(losses)
                    speed = (state["frames"] - frames_before) / (now - shown)
                    print(f"{phase}: step {state['step']}, epoch {state['epoch']}, loss "
                          f"{loss:.3f}, {speed:.0f} frames/s, "
                          f"{60 * minutes - state['spent']:.0f} s left", flush=True)
                    if now - tested > TEST_SECONDS:
                        self._test(phase, loss, rate, gates)
                        tested = time.monotonic()
                    else:
                        self._log(f"{phase}\t{state['total_steps']}\t{state['frames']}\t{loss:.4f}"
                                  f"\t{rate:.2e}\t{gates}\t\t\t\t")
                    losses, frames_before, shown = [], state["frames"], time.monotonic()
                    last = shown
                if now - saved > SAVE_SECONDS:
                    self.save()
                    saved = last = time.monotonic()
        if phase == "prune":
            self._shrink(1.0)
        return sum(losses) / max(len(losses), 1), gates

    def _test(self, phase, loss, rate, gates):
        rates = evaluate.error_rates(self.model, self._tests, self.mean, self.inv_stddev)
        columns = "\t".join(f"{rates[name]['per']:.2f}" if name in rates else ""
                            for name in evaluate.TEST_SETS)
        self._log(f"{phase}\t{self.state['total_steps']}\t{self.state['frames']}\t{loss:.4f}\t"
                  f"{rate:.2e}\t{gates}\t{columns}")
        print(f"{phase}: PER " + ", ".join(f"{k} {v['per']}" for k, v in rates.items()), flush=True)
        return rates

    def run(self):
        """Goes through all phases from wherever the checkpoint stands."""
        while self.state["phase"] < len(PHASES):
            phase = PHASES[self.state["phase"]]
            loss, gates = self._run_phase(phase)
            name = {"dense": "dense", "prune": "pruned_before_retraining", "retrain": "pruned"}
            self.state["per"][name[phase]] = self._test(phase, loss, 0.0, gates)
            self.state["steps"][phase] = self.state["step"]
            self.state.update(phase=self.state["phase"] + 1, step=0, spent=0.0)
            if phase == "dense":
                torch.save(self.model.state_dict(), self._folder / "dense.pt")
            self.save()
        self._report()

    def _report(self):
        """Writes the results that are kept in the repository."""
        settings, parameters = self._settings, dict(self.model.named_parameters())
        kept = sum(int((parameters[name] != 0).sum()) for name in (*GATES, PROJECTION))
        total = sum(parameters[name].numel() for name in (*GATES, PROJECTION))
        train_ranges = evaluate.ranges(self.model, self._tests[:60], self.mean, self.inv_stddev)
        report = {"per": self.state["per"], "steps": self.state["steps"],
                  "frames": self.state["frames"], "epochs": self.state["epoch"],
                  "gate_entries": settings.gate_entries,
                  "projection_entries": settings.projection_entries,
                  "density": round(kept / total, 5), "weights": total, "weights_kept": kept,
                  "ranges": train_ranges, "arithmetic": str(self._kind).split(".")[1]}
        (self._results / "results.json").write_text(json.dumps(report, indent=1) + "\n")


def run(folder, results, settings):
    """Trains unless a finished result is there; returns nothing."""
    results.mkdir(parents=True, exist_ok=True)
    if not (folder / "state.pt").exists() and (results / "curve.tsv").exists():
        (results / "curve.tsv").unlink()
    Trainer(folder, results, settings).run()
