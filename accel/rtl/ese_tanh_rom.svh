// Made by make_tanh_rom.py from model/tanh_segments.inc: {c3, c2, c1, c0} of a segment.
function automatic logic [63:0] tanh_rom(input logic [4:0] segment);
  case (segment)
    5'd0: return 64'hff63fff520020000;
    5'd1: return 64'hffa8fe0b1e1b1f59;
    5'd2: return 64'hfff3fd0319303b26;
    5'd3: return 64'h002afced1318514d;
    5'd4: return 64'h003afd6d0d73617b;
    5'd5: return 64'h0033fe1d08f76c95;
    5'd6: return 64'h0028feb305c873dc;
    5'd7: return 64'h0019ff2903a4787f;
    5'd8: return 64'h0011ff7702437b65;
    5'd9: return 64'h000bffa901657d30;
    5'd10: return 64'h0005ffcd00da7e49;
    5'd11: return 64'h0006ffdd00867ef5;
    5'd12: return 64'h0006ffe900517f5e;
    5'd13: return 64'h0000fff7002f7f9e;
    5'd14: return 64'hfffffffc001d7fc4;
    5'd15: return 64'h0000fffd00117fdc;
    5'd16: return 64'h0003fffa000c7fea;
    5'd17: return 64'h0001ffff00057ff3;
    5'd18: return 64'h0001ffff00037ff8;
    5'd19: return 64'hffff000200017ffb;
    5'd20: return 64'h0000ffff00027ffd;
    5'd21: return 64'h0000ffff00027ffe;
    5'd22: return 64'h00010000ffff7fff;
    5'd23: return 64'h00010000ffff7fff;
    5'd24: return 64'h00010000ffff7fff;
    5'd25: return 64'h00010000ffff7fff;
    5'd26: return 64'h00010000ffff7fff;
    5'd27: return 64'h00010000ffff7fff;
    5'd28: return 64'h00010000ffff7fff;
    5'd29: return 64'h00010000ffff7fff;
    5'd30: return 64'h00010000ffff7fff;
    default: return 64'h00010000ffff7fff;
  endcase
endfunction
