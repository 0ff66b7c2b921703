"""The network: one LSTM with projection and a linear layer, and its row-balanced masks.

`torch.nn.LSTM` defines the network and its parameters. Training runs the same equations through
`Recurrence`, which keeps each time step's products large and in bfloat16 where the CPU multiplies
those fast; it is several times faster than the general code.
"""

import torch
from torch.nn import functional

from training.ese_prune.masks import lstm_matrices, row_balanced_mask

CELL_FREE, CELL_PENALTY = 20.0, 0.01  # the engine's cells saturate at 32
GATES = ("lstm.weight_ih_l0", "lstm.weight_hh_l0")
PROJECTION = "lstm.weight_hr_l0"


def fast_bfloat16():
    """True where bfloat16 products run in hardware."""
    try:
        with open("/proc/cpuinfo", encoding="ascii") as file:
            flags = file.read()
        return "avx512_bf16" in flags or "amx_bf16" in flags
    except OSError:
        return False


class Recurrence(torch.autograd.Function):
    """LSTM with projection over a batch [T, B, D] from zero state; returns y [T, B, P].

    The gradient holds a mild push of cells beyond +-20 back to the range of the engine's 16 bits.
    """

    @staticmethod
    def forward(ctx, x, weight_ih, weight_hh, bias, weight_hr, kind):
        steps, batch, _ = x.shape
        cells, units = weight_hr.shape[1], weight_hr.shape[0]
        wi, wh, wr = (w.detach().to(kind) for w in (weight_ih, weight_hh, weight_hr))
        x = x.to(kind)
        gates = functional.linear(x.reshape(steps * batch, -1), wi, bias.detach().to(kind))
        gates = gates.view(steps, batch, 4 * cells)
        wh_t = wh.t()
        wr_t = wr.t()
        acts = torch.empty(steps, batch, 4 * cells, dtype=kind)
        c_all = torch.empty(steps + 1, batch, cells)
        m_all = torch.empty(steps, batch, cells, dtype=kind)
        y_all = torch.empty(steps + 1, batch, units, dtype=kind)
        c_all[0].zero_()
        y_all[0].zero_()
        tanh_c = torch.empty(batch, cells)
        for t in range(steps):
            g = torch.addmm(gates[t], y_all[t], wh_t).float()
            g[:, :2 * cells].sigmoid_()
            g[:, 2 * cells:3 * cells].tanh_()
            g[:, 3 * cells:].sigmoid_()
            acts[t].copy_(g)
            i, f, n, o = g.chunk(4, 1)
            torch.mul(f, c_all[t], out=c_all[t + 1])
            c_all[t + 1].addcmul_(i, n)
            torch.tanh(c_all[t + 1], out=tanh_c)
            m_all[t].copy_(tanh_c.mul_(o))
            y_all[t + 1].copy_(torch.mm(m_all[t], wr_t))
        ctx.kind = kind
        ctx.save_for_backward(x, wh, wr, acts, c_all, m_all, y_all)
        return y_all[1:].float()

    @staticmethod
    def backward(ctx, grad):
        x, wh, wr, acts, c_all, m_all, y_all = ctx.saved_tensors
        kind = ctx.kind
        steps, batch, units = grad.shape
        cells = wr.shape[1]
        d_gates = torch.empty(steps, batch, 4 * cells, dtype=kind)
        d_y = torch.empty(steps, batch, units, dtype=kind)
        d_c = torch.zeros(batch, cells)
        back = torch.zeros(batch, units)
        d_g = torch.empty(batch, 4 * cells)
        d_i, d_f, d_n, d_o = d_g.chunk(4, 1)
        one = torch.ones(())
        push = CELL_PENALTY / (steps * batch)
        for t in range(steps - 1, -1, -1):
            d_y[t].copy_(grad[t] + back)
            d_m = torch.mm(d_y[t], wr).float()
            a = acts[t].float()
            i, f, n, o = a.chunk(4, 1)
            tanh_c = torch.tanh(c_all[t + 1])
            torch.mul(d_m, tanh_c, out=d_o)
            d_m.mul_(o)
            d_c.add_(d_m)
            d_c.addcmul_(d_m.mul_(tanh_c), tanh_c, value=-1)
            d_c.add_(functional.softshrink(c_all[t + 1], CELL_FREE), alpha=push)
            torch.mul(d_c, n, out=d_i)
            torch.mul(d_c, c_all[t], out=d_f)
            torch.mul(d_c, i, out=d_n)
            d_c.mul_(f)
            # Derivatives of the gates: a(1 - a) for sigmoids, 1 - n^2 for tanh.
            d_n.addcmul_(d_n * n, n, value=-1)
            for d, s in ((d_g[:, :2 * cells], a[:, :2 * cells]), (d_o, o)):
                d.mul_(s)
                d.mul_(one - s)
            d_gates[t].copy_(d_g)
            if t:
                back = torch.mm(d_gates[t], wh).float()
        flat = d_gates.view(steps * batch, -1)
        d_wi = torch.mm(flat.t(), x.reshape(steps * batch, -1)).float()
        d_wh = torch.mm(flat.t(), y_all[:-1].reshape(steps * batch, -1)).float()
        d_wr = torch.mm(d_y.view(steps * batch, -1).t(), m_all.view(steps * batch, -1)).float()
        return None, d_wi, d_wh, flat.float().sum(0), d_wr, None


class Recogniser(torch.nn.Module):
    """Normalised features in, log-probabilities of phones out."""

    def __init__(self, settings, units):
        super().__init__()
        self.lstm = torch.nn.LSTM(settings.input_dim, settings.cells,
                                  proj_size=settings.projection)
        self.output = torch.nn.Linear(settings.projection, units)
        with torch.no_grad():
            self.lstm.bias_ih_l0.zero_()
            self.lstm.bias_hh_l0.zero_()
            self.lstm.bias_ih_l0[settings.cells:2 * settings.cells] = 1.0  # remember at first
            for weight in (self.lstm.weight_ih_l0, self.lstm.weight_hh_l0, self.lstm.weight_hr_l0):
                torch.nn.init.xavier_uniform_(weight)

    def train_forward(self, x, kind, dropout=0.0):
        """Fast equivalent of `forward`; returns (log-probabilities, y)."""
        lstm = self.lstm
        y = Recurrence.apply(x, lstm.weight_ih_l0, lstm.weight_hh_l0,
                             lstm.bias_ih_l0 + lstm.bias_hh_l0, lstm.weight_hr_l0, kind)
        out = self.output(functional.dropout(y, dropout, self.training))
        return functional.log_softmax(out, -1), y

    def forward(self, x):
        """x [T, B, 153] -> log-probabilities [T, B, units]."""
        return functional.log_softmax(self.output(self.lstm(x)[0]), -1)


class Masks:
    """Row-balanced masks of the three LSTM matrices."""

    def __init__(self, model):
        self._parameters = dict(model.named_parameters())
        self._matrices = lstm_matrices(model.lstm, "lstm.")
        self.masks = {}

    def shrink(self, gate_entries, projection_entries):
        """Keeps this many entries of each row from now on."""
        for matrix in self._matrices:
            entries = gate_entries if matrix.kind == "gates" else projection_entries
            mask = row_balanced_mask(matrix.joined(), entries=entries, name=matrix.label)
            for name, part in zip(matrix.names, matrix.split(mask)):
                self.masks[name] = part.contiguous()
        self.apply()

    def apply(self):
        """Sets pruned weights to exactly zero."""
        with torch.no_grad():
            for name, mask in self.masks.items():
                self._parameters[name].mul_(mask)

    def mask_gradients(self):
        """Keeps the optimiser away from pruned weights."""
        for name, mask in self.masks.items():
            self._parameters[name].grad.mul_(mask)
