// SPDX-License-Identifier: Apache-2.0
// Shows the constants of ese_pkg, and what its structs read from the bytes of a record, to pkg_test.
// The kernel does not contain this module.
module ese_pkg_probe (
  input  logic [ese_pkg::RECORD_BITS-1:0] record_i,
  // Constants.
  output logic [31:0] packed_magic_o,
  output logic [31:0] packed_version_o,
  output logic [31:0] record_bytes_o,
  output logic [31:0] row_bytes_o,
  output logic [31:0] entry_bits_o,
  output logic [31:0] weight_bits_o,
  output logic [31:0] pass_kinds_o [4],   // gates, projection, output, copy
  output logic [31:0] gates_o [4],        // i, f, g, o
  output logic [31:0] errors_o [9],       // in the order of CardError
  output logic [31:0] batch_done_o,       // the last state of ese_batch
  // The record as each of the structs.
  output logic [31:0] header_o [12],      // magic, version, pes, then in the order of the format
  output logic [31:0] pass_o [9],         // kind, g_sigmoid, shift, entries, then in the order of the format
  output logic [31:0] row_o [3],          // bias, peephole, shift
  output logic [63:0] addresses_o [6],    // of the descriptor, in the order of the format
  output logic [31:0] descriptor_o [2],   // lanes, frames
  output logic [31:0] status_error_o,
  output logic [63:0] status_o [3]        // cycles, working, checksum
);
  assign packed_magic_o = ese_pkg::PACKED_MAGIC;
  assign packed_version_o = 32'(ese_pkg::PACKED_VERSION);
  assign record_bytes_o = ese_pkg::RECORD_BYTES;
  assign row_bytes_o = ese_pkg::ROW_BYTES;
  assign entry_bits_o = ese_pkg::ENTRY_BITS;
  assign weight_bits_o = ese_pkg::WEIGHT_BITS;
  assign pass_kinds_o[0] = 32'(ese_pkg::PASS_GATES);
  assign pass_kinds_o[1] = 32'(ese_pkg::PASS_PROJECTION);
  assign pass_kinds_o[2] = 32'(ese_pkg::PASS_OUTPUT);
  assign pass_kinds_o[3] = 32'(ese_pkg::PASS_COPY);
  assign gates_o[0] = 32'(ese_pkg::GATE_I);
  assign gates_o[1] = 32'(ese_pkg::GATE_F);
  assign gates_o[2] = 32'(ese_pkg::GATE_G);
  assign gates_o[3] = 32'(ese_pkg::GATE_O);
  assign errors_o[0] = 32'(ese_pkg::ERROR_NONE);
  assign errors_o[1] = 32'(ese_pkg::ERROR_BAD_BATCH);
  assign errors_o[2] = 32'(ese_pkg::ERROR_BAD_MODEL);
  assign errors_o[3] = 32'(ese_pkg::ERROR_OTHER_SHAPE);
  assign errors_o[4] = 32'(ese_pkg::ERROR_TOO_LARGE);
  assign errors_o[5] = 32'(ese_pkg::ERROR_BAD_PASS);
  assign errors_o[6] = 32'(ese_pkg::ERROR_READ_FAILED);
  assign errors_o[7] = 32'(ese_pkg::ERROR_WRITE_FAILED);
  assign errors_o[8] = 32'(ese_pkg::ERROR_STALLED);
  assign batch_done_o = 32'(ese_pkg::BATCH_DONE);

  ese_pkg::header_t header;
  ese_pkg::pass_t pass;
  ese_pkg::row_constants_t row;
  ese_pkg::descriptor_t descriptor;
  ese_pkg::status_t status;
  assign header = record_i;
  assign pass = record_i[ese_pkg::PASS_BITS-1:0];
  assign row = record_i[ese_pkg::ROW_BITS-1:0];
  assign descriptor = record_i;
  assign status = record_i;

  assign header_o[0] = header.magic;
  assign header_o[1] = 32'(header.version);
  assign header_o[2] = 32'(header.pes);
  assign header_o[3] = header.passes;
  assign header_o[4] = header.rows;
  assign header_o[5] = header.entry_beats;
  assign header_o[6] = header.inputs;
  assign header_o[7] = header.y_columns;
  assign header_o[8] = header.cell_count;
  assign header_o[9] = header.first_beats;
  assign header_o[10] = header.first_output;
  assign header_o[11] = header.output_beats;

  assign pass_o[0] = 32'(pass.kind);
  assign pass_o[1] = 32'(pass.g_sigmoid);
  assign pass_o[2] = 32'(pass.shift);
  assign pass_o[3] = 32'(pass.entries);
  assign pass_o[4] = 32'(pass.rows);
  assign pass_o[5] = 32'(pass.count);
  assign pass_o[6] = 32'(pass.source);
  assign pass_o[7] = 32'(pass.target);
  assign pass_o[8] = 32'(pass.first_row);

  assign row_o[0] = row.bias;
  assign row_o[1] = 32'(row.peephole);
  assign row_o[2] = 32'(row.shift);

  assign addresses_o[0] = descriptor.model;
  assign addresses_o[1] = descriptor.inputs;
  assign addresses_o[2] = descriptor.state_in;
  assign addresses_o[3] = descriptor.state_out;
  assign addresses_o[4] = descriptor.outputs;
  assign addresses_o[5] = descriptor.status;
  assign descriptor_o[0] = descriptor.lanes;
  assign descriptor_o[1] = descriptor.frames;

  assign status_error_o = status.error;
  assign status_o[0] = status.cycles;
  assign status_o[1] = status.working;
  assign status_o[2] = status.checksum;

  wire unused = &{1'b0, header, pass, descriptor, status};
endmodule
