# A U250 has 672 block RAMs in a super logic region, fewer than a channel's 16 replicas of both banks
# need: bank V goes to UltraRAM, of which there are 320. See docs/hardware.md.
set_property RAM_STYLE ULTRA [get_cells -hierarchical -filter {NAME =~ *g_pair*u_v/mem_reg*}]
