# SPDX-License-Identifier: Apache-2.0
"""The network: LSTM layers with projection, and a linear layer.

`torch.nn.LSTM` defines the network and its parameters. Training computes the same equations with
`Recurrence`, which is several times faster. It makes the products of each time step large, and
computes them in bfloat16 where the CPU is fast at that.
"""

import torch
from torch.nn import functional

# Cells beyond +-CELL_FREE are penalised, because the engine's cells saturate at 32.
CELL_FREE, CELL_PENALTY = 20.0, 0.01


def fast_bfloat16():
    """Returns whether this processor has instructions for bfloat16 products."""
    try:
        with open("/proc/cpuinfo", encoding="ascii") as file:
            flags = file.read()
        return "avx512_bf16" in flags or "amx_bf16" in flags
    except OSError:
        return False


class Recurrence(torch.autograd.Function):
    """Runs an LSTM with projection over a batch [T, B, D] from zero state; returns y [T, B, P].

    The gradient includes a small term that pushes cells beyond +-20 back into the range of the
    engine's 16 bits.
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
        acts = torch.empty(steps, batch, 4 * cells)
        c_all = torch.empty(steps + 1, batch, cells)
        m_all = torch.empty(steps, batch, cells, dtype=kind)
        y_all = torch.empty(steps + 1, batch, units, dtype=kind)
        c_all[0].zero_()
        y_all[0].zero_()
        tanh_c = torch.empty(batch, cells)
        for t in range(steps):
            g = acts[t]
            g.copy_(torch.addmm(gates[t], y_all[t], wh_t))
            g[:, :2 * cells].sigmoid_()
            g[:, 2 * cells:3 * cells].tanh_()
            g[:, 3 * cells:].sigmoid_()
            i, f, n, o = g.chunk(4, 1)
            torch.mul(f, c_all[t], out=c_all[t + 1])
            c_all[t + 1].addcmul_(i, n)
            torch.tanh(c_all[t + 1], out=tanh_c)
            m_all[t].copy_(tanh_c.mul_(o))
            y_all[t + 1].copy_(torch.mm(m_all[t], wr_t))
        ctx.kind = kind
        ctx.save_for_backward(x, wi, wh, wr, acts, c_all, m_all, y_all)
        return y_all[1:].float()

    @staticmethod
    def backward(ctx, grad):
        x, wi, wh, wr, acts, c_all, m_all, y_all = ctx.saved_tensors
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
            a = acts[t]
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
            # The derivatives of the gates are a(1 - a) for sigmoids and 1 - n^2 for tanh.
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
        d_x = None
        if ctx.needs_input_grad[0]:
            d_x = torch.mm(flat, wi).float().view(steps, batch, -1)
        return d_x, d_wi, d_wh, flat.float().sum(0), d_wr, None


class Recogniser(torch.nn.Module):
    """The network: it turns normalised features into log-probabilities of units."""

    def __init__(self, size, inputs, units):
        super().__init__()
        self.lstm = torch.nn.LSTM(inputs, size.cells, size.layers, proj_size=size.projection)
        self.output = torch.nn.Linear(size.projection, units)
        with torch.no_grad():
            for name, parameter in self.lstm.named_parameters():
                if name.startswith("weight"):
                    torch.nn.init.xavier_uniform_(parameter)
                else:
                    parameter.zero_()
                if name.startswith("bias_ih"):
                    parameter[size.cells:2 * size.cells] = 1.0  # at first, cells remember

    def train_forward(self, x, kind, dropout=0.0):
        """Does the same as `forward`, but faster; returns (log-probabilities, [y of each layer])."""
        outputs = []
        for layer in range(self.lstm.num_layers):
            ih, hh, bias_ih, bias_hh, hr = self.lstm.all_weights[layer]
            y = Recurrence.apply(x, ih, hh, bias_ih + bias_hh, hr, kind)
            outputs.append(y)
            x = functional.dropout(y, dropout, self.training)
        return functional.log_softmax(self.output(x), -1), outputs

    def forward(self, x):
        """Returns log-probabilities [T, B, units] for x [T, B, inputs]."""
        return functional.log_softmax(self.output(self.lstm(x)[0]), -1)

    def matrices(self):
        """Returns the LSTM's weight matrices, {name: parameter}."""
        return {name: parameter for name, parameter in self.named_parameters()
                if name.startswith("lstm.weight")}
