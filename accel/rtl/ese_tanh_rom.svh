// SPDX-License-Identifier: Apache-2.0
// Made by make_tanh_rom.py from model/tanh_segments.inc: {c3, c2, c1, c0} of a segment.
function automatic logic [63:0] tanh_rom(input logic [4:0] segment);
  case (segment)
    5'd0: tanh_rom = 64'hff63fff520020000;
    5'd1: tanh_rom = 64'hffa8fe0b1e1b1f59;
    5'd2: tanh_rom = 64'hfff3fd0319303b26;
    5'd3: tanh_rom = 64'h002afced1318514d;
    5'd4: tanh_rom = 64'h003afd6d0d73617b;
    5'd5: tanh_rom = 64'h0033fe1d08f76c95;
    5'd6: tanh_rom = 64'h0028feb305c873dc;
    5'd7: tanh_rom = 64'h0019ff2903a4787f;
    5'd8: tanh_rom = 64'h0011ff7702437b65;
    5'd9: tanh_rom = 64'h000bffa901657d30;
    5'd10: tanh_rom = 64'h0005ffcd00da7e49;
    5'd11: tanh_rom = 64'h0006ffdd00867ef5;
    5'd12: tanh_rom = 64'h0006ffe900517f5e;
    5'd13: tanh_rom = 64'h0000fff7002f7f9e;
    5'd14: tanh_rom = 64'hfffffffc001d7fc4;
    5'd15: tanh_rom = 64'h0000fffd00117fdc;
    5'd16: tanh_rom = 64'h0003fffa000c7fea;
    5'd17: tanh_rom = 64'h0001ffff00057ff3;
    5'd18: tanh_rom = 64'h0001ffff00037ff8;
    5'd19: tanh_rom = 64'hffff000200017ffb;
    5'd20: tanh_rom = 64'h0000ffff00027ffd;
    5'd21: tanh_rom = 64'h0000ffff00027ffe;
    5'd22: tanh_rom = 64'h00010000ffff7fff;
    5'd23: tanh_rom = 64'h00010000ffff7fff;
    5'd24: tanh_rom = 64'h00010000ffff7fff;
    5'd25: tanh_rom = 64'h00010000ffff7fff;
    5'd26: tanh_rom = 64'h00010000ffff7fff;
    5'd27: tanh_rom = 64'h00010000ffff7fff;
    5'd28: tanh_rom = 64'h00010000ffff7fff;
    5'd29: tanh_rom = 64'h00010000ffff7fff;
    5'd30: tanh_rom = 64'h00010000ffff7fff;
    default: tanh_rom = 64'h00010000ffff7fff;
  endcase
endfunction
