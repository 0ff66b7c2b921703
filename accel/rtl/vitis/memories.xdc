# SPDX-License-Identifier: Apache-2.0
# A super logic region of a U250 has 672 block RAMs, fewer than the 16 replicas of both banks of a unit need.
# So bank V goes to UltraRAM, of which the region has 320. See docs/hardware/performance.md.
set_property RAM_STYLE ULTRA [get_cells -hierarchical -filter {NAME =~ *g_pair*u_v/mem_reg*}]
