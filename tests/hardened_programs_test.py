#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""hardened_programs_test.py COMPILER PROGRAM...: checks that the programs have what cmake/EseHardening.cmake asks for.

First it compiles small programs without those flags, and each check must find fault with one of them."""
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile

ON_X86_64 = platform.machine() == "x86_64"

NOT_PIE = "is not position-independent (-pie)"
NO_RELRO = "has no GNU_RELRO segment (-z relro)"
NOT_NOW = "binds functions lazily (-z now)"
EXECUTABLE_STACK = "has an executable stack (-z noexecstack)"
WRITABLE_CODE = "has a segment that is writable and executable"
TEXT_RELOCATIONS = "has relocations in its code (TEXTREL)"
NO_CANARIES = "does not import __stack_chk_fail (-fstack-protector-strong)"
NOT_FORTIFIED = "imports no checked function such as __snprintf_chk (-D_FORTIFY_SOURCE=2)"
NO_LANDING = "has no endbr64 at the start of main (-fcf-protection=full)"

SOURCE = r"""
#include <cstring>
int main(int, char** argv) {
  char name[8];
  std::strcpy(name, argv[0]);
  return name[0];
}
asm(".pushsection SECTION\n.quad VALUE\n.popsection\n");
"""


def output_of(*command):
    # Translated output would not match the patterns.
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def faults_of(program):
    if not re.search(r"^ *Type: +DYN\b", output_of("readelf", "-W", "--file-header", program), re.MULTILINE):
        yield NOT_PIE

    segments = re.findall(r"^ +(\w+) +(?:0x[0-9a-f]+ +){4}0x[0-9a-f]+ ([R ][W ][E ]) ",
                          output_of("readelf", "-W", "--program-headers", program), re.MULTILINE)
    if "GNU_RELRO" not in dict(segments):
        yield NO_RELRO
    # Without the segment GNU_STACK, the system makes the stack executable.
    if "E" in dict(segments).get("GNU_STACK", "RWE"):
        yield EXECUTABLE_STACK
    if ("LOAD", "RWE") in segments:
        yield WRITABLE_CODE

    dynamic = output_of("readelf", "-W", "--dynamic", program)
    if not re.search(r"\(FLAGS\).*\bBIND_NOW\b", dynamic):
        yield NOT_NOW
    if "TEXTREL" in dynamic:
        yield TEXT_RELOCATIONS

    imports = re.findall(r" UND (\w+)", output_of("readelf", "-W", "--dyn-syms", program))
    if "__stack_chk_fail" not in imports:
        yield NO_CANARIES
    if not any(re.fullmatch(r"__\w+_chk", name) for name in imports):
        yield NOT_FORTIFIED

    if ON_X86_64:
        start = re.search(r"<main>:\n(.*)\n", output_of("objdump", "-d", "--disassemble=main", program))
        if not start or "endbr64" not in start.group(1):
            yield NO_LANDING


def faults_of_the_checks(compiler):
    """Yields each fault of a program that the checks overlook."""
    unprotected = ["-fno-stack-protector", "-U_FORTIFY_SOURCE", *(["-fcf-protection=none"] if ON_X86_64 else [])]
    bare = {NOT_PIE, NO_RELRO, NOT_NOW, EXECUTABLE_STACK, WRITABLE_CODE, NO_CANARIES, NOT_FORTIFIED}
    cases = [
        # A section that is writable and executable gives a segment that is both.
        (r".writable_code, \"awx\"", "0",
         ["-no-pie", "-fno-pie", "-Wl,-z,norelro,-z,lazy,-z,execstack", *unprotected],
         bare | ({NO_LANDING} if ON_X86_64 else set())),
        # An address within the code is a relocation there, in a program that may be loaded anywhere.
        (".text", "main", ["-pie", "-fPIE", "-Wl,-z,notext"], {TEXT_RELOCATIONS}),
    ]
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "program"
        for section, value, flags, expected in cases:
            source = SOURCE.replace("SECTION", section).replace("VALUE", value)
            compilation = subprocess.run([compiler, "-x", "c++", "-", "-O1", *flags, "-o", program],
                                         input=source, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            # Warnings are intended, so only a failure is worth reading.
            if compilation.returncode != 0:
                sys.exit(f"{compiler} cannot compile a program for this test:\n{compilation.stdout}")
            for fault in sorted(expected - set(faults_of(program))):
                yield f"this test does not notice that a program {fault}"


def main():
    compiler, *programs = sys.argv[1:]
    if not programs:
        sys.exit(__doc__)
    faults = list(faults_of_the_checks(compiler))
    faults += [f"{program} {fault}" for program in programs for fault in faults_of(program)]
    for fault in faults:
        print(fault)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
