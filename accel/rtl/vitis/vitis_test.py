#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests the Vitis packaging as far as possible without the vendor's tools. The argument is the path of tclsh."""
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

import describe

RTL = describe.RTL
DOCS = (RTL / "../../docs/hardware/programmers_reference.md").resolve()
TCLSH = sys.argv.pop() if len(sys.argv) > 1 else "tclsh"
# The Vivado commands that package.tcl may use. Each prints its call.
STUBS = """
proc unknown {args} {
  if {![regexp {^(::)?(ipx::\\w+|create_project|add_files|set_property|get_property|current_fileset|update_compile_order|close_project|package_xo)$} [lindex $args 0]]} {
    error "no such command: $args"
  }
  puts "CALL $args"
  if {[lindex $args 0] eq "ipx::get_bus_interfaces"} { return {s_axi_control m_axi_gmem0} }
  if {[lindex $args 0] eq "get_property"} { return [lindex $args 2] }
  return stub
}
"""


def registers_of_docs():
    """{offset: text} in the table of registers of docs/hardware/programmers_reference.md."""
    table = {}
    for offsets, text in re.findall(r"^\| ((?:0x\w+(?:, )?)+) \| (.*) \|$", DOCS.read_text(), re.M):
        for offset in offsets.split(", "):
            table[int(offset, 16)] = text
    return table


class KernelXml(unittest.TestCase):
    def setUp(self):
        self.kernel = xml.fromstring(describe.kernel_xml().split("?>")[1]).find("kernel")

    def test_ports_are_those_of_the_rtl(self):
        text = (RTL / "ese_channel.sv").read_text()
        wanted = set(re.findall(r"\b([sm]_axi_\w+?)_(?:arready|awready)\b", text))
        self.assertEqual({port.get("name") for port in self.kernel.iter("port")}, wanted)

    def test_the_argument_is_where_documented(self):
        (argument,) = self.kernel.iter("arg")
        offset = int(argument.get("offset"), 16)
        docs = registers_of_docs()
        for word in (offset, offset + 4):
            self.assertIn("address of the descriptor", docs[word])
        self.assertIn(argument.get("port"), {port.get("name") for port in self.kernel.iter("port")})

    def test_the_range_holds_all_registers(self):
        (port,) = [p for p in self.kernel.iter("port") if p.get("mode") == "slave"]
        self.assertLess(max(registers_of_docs()), int(port.get("range"), 16))
        address = re.search(r"input +logic \[(\d+):0\] +s_axi_control_awaddr",
                            (RTL / "ese_channel.sv").read_text())
        self.assertEqual(int(port.get("range"), 16), 2 ** (int(address[1]) + 1))


class Registers(unittest.TestCase):
    def test_documented_offsets_are_those_of_the_rtl(self):
        text = (RTL / "ese_control.sv").read_text()
        read = text[text.index("case (s_araddr"):]
        rtl = {4 * int(word, 16) for word in re.findall(r"4'h(\w+): s_rdata", read)}
        self.assertEqual(set(registers_of_docs()), rtl)

    def test_ap_ctrl_chain_bits(self):
        text = (RTL / "ese_control.sv").read_text()
        self.assertIn("4'h0: s_rdata <= {28'b0, done_i, idle_i, done_i, start_q};", text)
        self.assertIn("continue_q <= s_wdata[4];", text)


class Link(unittest.TestCase):
    def test_every_port_of_every_unit_has_the_units_bank(self):
        text = describe.link_configuration()
        (units,) = re.findall(rf"^nk={describe.KERNEL}:4:(.*)$", text, re.M)
        units = units.split(".")
        ports = re.findall(r"^sp=(\w+)\.(\w+):DDR\[(\d)\]$", text, re.M)
        self.assertEqual({(unit, port) for unit, port, _ in ports},
                         {(unit, port) for unit in units for port in describe.masters()})
        banks = {unit: {bank for u, _, bank in ports if u == unit} for unit in units}
        self.assertEqual(sorted(map(len, banks.values())), [1] * 4)
        self.assertEqual(len(set.union(*banks.values())), 4)
        self.assertIn("freqHz=200000000:", text)


class Package(unittest.TestCase):
    def test_runs_against_stubs_with_all_sources(self):
        with tempfile.TemporaryDirectory() as build:
            script = pathlib.Path(build, "stubbed.tcl")
            script.write_text(STUBS + f"set argv {{{RTL} kernel.xml {build}}}\n"
                              f"source {RTL / 'vitis' / 'package.tcl'}\n")
            output = subprocess.run([TCLSH, script], check=True, timeout=60, text=True,
                                    stdout=subprocess.PIPE).stdout
        (added,) = re.findall(r"^CALL add_files -norecurse (.*)$", output, re.M)
        for source in [*RTL.glob("*.sv"), *RTL.glob("*.svh")]:
            self.assertIn(f"/{source.name}", added)
        self.assertRegex(output, r"CALL package_xo .*-kernel_name ese_channel .*-kernel_xml kernel.xml")

    def test_constraints_name_a_memory_that_exists(self):
        text = (RTL / "vitis" / "memories.xdc").read_text()
        self.assertIn("*g_pair*u_v/mem_reg*", text)
        self.assertRegex((RTL / "ese_array.sv").read_text(), r"ese_act_mem .* u_v \(")
        self.assertIn(" mem [DEPTH];", (RTL / "ese_act_mem.sv").read_text())


if __name__ == "__main__":
    unittest.main()
