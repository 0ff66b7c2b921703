# SPDX-License-Identifier: Apache-2.0
"""Computes the cost and the logic depth of a netlist that Yosys has mapped to a Xilinx part.

The netlist keeps its hierarchy, so each module is read once however often it is used. Depth counts the look-up
tables on a path between registers, memories and ports. A carry chain counts as one, whatever its length. The
multiplexers behind the look-up tables of a slice (MUXF7 to 9) and inverters count as none."""
import collections
import json

CELLS = {  # library cell: (figure, amount)
    "DSP48E2": ("dsp", 1), "RAMB36E2": ("bram36", 1), "RAMB18E2": ("bram36", 0.5), "URAM288": ("uram", 1),
    "FDRE": ("ff", 1), "FDSE": ("ff", 1), "FDCE": ("ff", 1), "FDPE": ("ff", 1),
    # Distributed memory and shift registers are look-up tables of a slice.
    "RAM32M": ("lutram", 4), "RAM64M": ("lutram", 4), "RAM32M16": ("lutram", 8), "RAM64M8": ("lutram", 8),
    "RAM64X8SW": ("lutram", 8), "RAM32X16DR8": ("lutram", 8),
    "RAM64X1D": ("lutram", 2), "RAM32X1D": ("lutram", 2), "RAM128X1D": ("lutram", 4),
    "RAM256X1D": ("lutram", 8), "SRL16E": ("lutram", 1), "SRLC32E": ("lutram", 1), "SRLC16E": ("lutram", 1)}
FIGURES = ("lut", "ff", "dsp", "bram36", "uram")
# Clocked cells: paths end at their inputs and start at their outputs.
SEQUENTIAL = {"FDRE", "FDSE", "FDCE", "FDPE", "RAMB36E2", "RAMB18E2", "URAM288", "SRL16E", "SRLC32E", "SRLC16E"}
FREE = {"MUXF7", "MUXF8", "MUXF9", "INV"}
# In a carry chain only the level of the look-up table at its input counts.
CARRY = {"CARRY4", "CARRY8"}
NAMELESS = {"$scopeinfo"}


def figures_of(cell_type):
    """Returns the figures of one library cell, or None for a module of the design."""
    if cell_type in CELLS:
        name, count = CELLS[cell_type]
        return {"lut": count} if name == "lutram" else {name: count}
    if cell_type.startswith("LUT"):
        return {"lut": 1}
    if cell_type in FREE or cell_type in CARRY or cell_type in NAMELESS:
        return {}
    return None


class Netlist:
    def __init__(self):
        self.modules, self._totals, self._arcs = {}, {}, {}

    def add(self, name, path):
        """Adds a module from a file that Yosys' write_json wrote, in which all other modules are black boxes."""
        with open(path) as file:
            self.modules[name] = json.load(file)["modules"][name]

    def is_design(self, cell_type):
        """Tells a module of the design from a cell of the part's library."""
        return cell_type in self.modules

    def total(self, name):
        """Returns the figures of a module with its submodules."""
        if name not in self._totals:
            total = collections.Counter()
            for cell in self.modules[name]["cells"].values():
                own = figures_of(cell["type"])
                if own is None:
                    if not self.is_design(cell["type"]):
                        raise ValueError(f"{name} has a cell of unknown cost: {cell['type']}")
                    own = self.total(cell["type"])
                total.update(own)
            self._totals[name] = total
        return self._totals[name]

    def instances(self, name):
        """Returns how often this module uses each module of the design, at any depth."""
        counts = collections.Counter()
        for cell in self.modules[name]["cells"].values():
            if self.is_design(cell["type"]):
                counts[cell["type"]] += 1
                counts.update(self.instances(cell["type"]))
        return counts

    def depth(self, name):
        """Returns the levels of the deepest path in a module and its submodules. Ports count as registers."""
        return self.arcs(name)["depth"]

    def arcs(self, name):
        """{"depth", "launch": {output bit: levels since a register}, "capture": {input port: levels to a
        register}, "through": {output bit: {input port: levels}}}; an output bit is (port, index)."""
        if name not in self._arcs:
            self._arcs[name] = Timing(self, self.modules[name]).arcs()
        return self._arcs[name]


REGISTER = ""  # the source of a path that does not start at a port


class Timing:
    """The longest paths of one module: the levels between each net and each of its sources."""

    def __init__(self, netlist, module):
        self.netlist, self.module = netlist, module
        self.driver, self.known, self.capture = {}, {}, collections.Counter()
        self.source_of = {bit: port for port, spec in module["ports"].items()
                          if spec["direction"] == "input" for bit in spec["bits"]}
        for cell in module["cells"].values():
            for port, bits in cell["connections"].items():
                if cell["port_directions"].get(port) == "output":
                    for index, bit in enumerate(bits):
                        self.driver[bit] = (cell, port, index)

    def arcs(self):
        deepest = 0
        for cell in self.module["cells"].values():
            if self.netlist.is_design(cell["type"]):
                deepest = max(deepest, self.netlist.depth(cell["type"]))
            for port, levels in self.captures(cell):
                for bit in cell["connections"][port]:
                    for source, depth in self.behind(bit).items():
                        deepest = max(deepest, depth + levels)
                        if source != REGISTER:
                            self.capture[source] = max(self.capture[source], depth + levels)
        launch, through = {}, {}
        for port, spec in self.module["ports"].items():
            if spec["direction"] != "output":
                continue
            for index, bit in enumerate(spec["bits"]):
                sources = dict(self.behind(bit))
                deepest = max([deepest, *sources.values()])
                launch[port, index] = sources.pop(REGISTER, 0)
                through[port, index] = sources
        return {"depth": deepest, "launch": launch, "capture": self.capture, "through": through}

    def captures(self, cell):
        """Returns the inputs of a cell that end paths, and the levels inside the cell before the register."""
        kind = cell["type"]
        inputs = [p for p, d in cell["port_directions"].items() if d == "input"]
        if kind in SEQUENTIAL or kind == "DSP48E2" or kind.startswith("RAM"):
            return [(port, 0) for port in inputs]
        if self.netlist.is_design(kind):
            capture = self.netlist.arcs(kind)["capture"]
            return [(port, capture[port]) for port in inputs if port in capture]
        return []

    def feeds(self, cell, port, index):
        """Returns (bit, levels) for each input that an output of a cell depends on without a clock edge, and the
        levels behind a register inside the cell, or None."""
        kind, wires = cell["type"], cell["connections"]
        # Vivado packs the registers of a product into the DSP, so paths do not cross it.
        if kind in SEQUENTIAL or kind == "DSP48E2":
            return [], 0
        if self.netlist.is_design(kind):
            arcs = self.netlist.arcs(kind)
            through = arcs["through"][port, index].items()
            return [(b, levels) for p, levels in through for b in wires[p]], arcs["launch"][port, index]
        inputs = [(p, b) for p, bits in wires.items() if cell["port_directions"][p] == "input"
                  for b in bits]
        if kind in CARRY:
            return [(b, 0 if p in ("CI", "CYINIT") else 1) for p, b in inputs], None
        if kind in FREE:
            return [(b, 0) for _, b in inputs], None
        if kind.startswith("RAM"):  # distributed memory: its read is a look-up table, its contents are registers
            return [(b, 1) for p, b in inputs if p.startswith(("ADDR", "A", "DPRA"))], 1
        return [(b, 1) for _, b in inputs], None

    def behind(self, bit):
        """Returns {source: levels} of a net. It is iterative because carry chains are long."""
        stack = [bit]
        while stack:
            net = stack[-1]
            if net in self.known:
                stack.pop()
                continue
            if isinstance(net, str) or net not in self.driver:
                self.known[net] = {self.source_of[net]: 0} if net in self.source_of else {}
                continue
            feeds, inside = self.feeds(*self.driver[net])
            missing = [b for b, _ in feeds if b not in self.known]
            if missing:
                if len(stack) > 100000:
                    raise ValueError("the netlist has a loop without a register")
                stack += missing
                continue
            sources = {} if inside is None else {REGISTER: inside}
            for b, levels in feeds:
                for source, depth in self.known[b].items():
                    sources[source] = max(sources.get(source, 0), depth + levels)
            self.known[net] = sources
        return self.known[bit]
