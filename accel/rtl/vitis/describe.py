#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the description of ese_channel that the Vitis tools need. It reads the sources, so the two agree.

    describe.py kernel OUT.xml    kernel.xml for package_xo: ports, the one argument and its register
    describe.py link OUT.cfg      the configuration for v++: four compute units on an Alveo U250 at 200 MHz,
                                  each with its own DDR4 bank and super logic region

It has not been run with the vendor's tools (README.md)."""
import pathlib
import re
import sys
import xml.etree.ElementTree as xml

RTL = pathlib.Path(__file__).resolve().parent.parent
KERNEL = "ese_channel"
CHANNELS = 4
CLOCK_HZ = 200_000_000
ARGUMENT = "descriptor"


def masters():
    """Returns {name of an AXI4 master: width of its data in bits}, in order."""
    text = (RTL / "ese_channel.sv").read_text()
    beat = 16 * int(re.search(r"parameter int PES = (\d+)", text)[1])
    return {name: beat for name in sorted(set(re.findall(r"\b(m_axi_\w+?)_araddr\b", text)))}


def argument_offset():
    """Returns the byte offset of the lower word of the descriptor's address: the first register that writes
    descriptor_q."""
    words = re.findall(r"s_awaddr\[5:2\] == 4'h([0-9A-Fa-f])\) *\n? *descriptor_q",
                       (RTL / "ese_control.sv").read_text())
    return 4 * min(int(word, 16) for word in words)


def kernel_xml():
    root = xml.Element("root", versionMajor="1", versionMinor="6")
    kernel = xml.SubElement(
        root, "kernel", name=KERNEL, language="ip", vlnv=f"ese:kernel:{KERNEL}:1.0", attributes="",
        preferredWorkGroupSizeMultiple="0", workGroupSize="1", interrupt="true",
        hwControlProtocol="ap_ctrl_chain")
    ports = xml.SubElement(kernel, "ports")
    xml.SubElement(ports, "port", name="s_axi_control", mode="slave", range="0x40", dataWidth="32",
                   portType="addressable", base="0x0")
    for name, bits in masters().items():
        xml.SubElement(ports, "port", name=name, mode="master", range="0xFFFFFFFFFFFFFFFF",
                       dataWidth=str(bits), portType="addressable", base="0x0")
    arguments = xml.SubElement(kernel, "args")
    # The last master reads the descriptor and moves the batch.
    xml.SubElement(arguments, "arg", name=ARGUMENT, addressQualifier="1", id="0",
                   port=list(masters())[-1], size="0x8", offset=f"0x{argument_offset():X}",
                   hostOffset="0x0", hostSize="0x8", type="void*")
    xml.indent(root)
    return xml.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def link_configuration():
    units = [f"{KERNEL}_{unit + 1}" for unit in range(CHANNELS)]
    lines = ["[connectivity]", f"nk={KERNEL}:{CHANNELS}:{'.'.join(units)}"]
    for bank, unit in enumerate(units):
        lines += [f"sp={unit}.{master}:DDR[{bank}]" for master in masters()]
        lines.append(f"slr={unit}:SLR{bank}")
    lines += ["", "[clock]", f"freqHz={CLOCK_HZ}:{','.join(f'{unit}.ap_clk' for unit in units)}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    writers = {"kernel": kernel_xml, "link": link_configuration}
    if len(sys.argv) != 3 or sys.argv[1] not in writers:
        sys.exit(__doc__)
    pathlib.Path(sys.argv[2]).write_text(writers[sys.argv[1]]())
