#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Generates ese_tanh_rom.svh from model/tanh_segments.inc, the only set of coefficients."""
import pathlib
import re

here = pathlib.Path(__file__).parent
text = (here / "../../model/tanh_segments.inc").read_text()
columns = [[int(v) for v in re.findall(r"-?\d+", group)] for group in re.findall(r"\{([^}]*)\}", text)]
lines = ["// SPDX-License-Identifier: Apache-2.0",
         "// Made by make_tanh_rom.py from model/tanh_segments.inc: {c3, c2, c1, c0} of a segment.",
         "function automatic logic [63:0] tanh_rom(input logic [4:0] segment);",
         "  case (segment)"]
for k, (c0, c1, c2, c3) in enumerate(zip(*columns)):
    words = "".join(f"{c & 0xFFFF:04x}" for c in (c3, c2, c1, c0))
    label = "default" if k == 31 else f"5'd{k}"
    lines.append(f"    {label}: tanh_rom = 64'h{words};")
lines += ["  endcase", "endfunction"]
(here / "ese_tanh_rom.svh").write_text("\n".join(lines) + "\n")
