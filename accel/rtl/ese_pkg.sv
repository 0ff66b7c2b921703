// SPDX-License-Identifier: Apache-2.0
// Constants and types that the blocks of the kernel share: the format of a packed model, of a batch's
// descriptor and of its status record (docs/hardware/programmers_reference.md), and the commands that
// blocks give each other. pkg_test compares the format with accel/card, which writes and reads it.
//
// Fields that describe sizes or indices are as wide as in the format. A block that needs fewer bits,
// because of its parameters, drives the others with 0, and synthesis removes them. Vectors whose width
// depends on the kernel's parameters (a bit or a byte for each lane) stay ports of their own, because a
// package has no parameters.
//
// Yosys 0.23 reads packages, enums and packed structs, but not `import`, nor a net declared with a type
// of a package (`wire ese_pkg::row_t`). So users write ese_pkg::NAME, and declare a variable first and
// assign it afterwards.
package ese_pkg;
  // ---- Formats. Numbers are little-endian, so the last field of a struct lies at the lowest address.
  localparam logic [31:0] PACKED_MAGIC = 32'h43455345;  // "ESEC"
  localparam logic [15:0] PACKED_VERSION = 16'd2;
  localparam int RECORD_BYTES = 64;  // a header, a pass, a descriptor without its lanes, a status
  localparam int RECORD_BITS = 8 * RECORD_BYTES;
  localparam int PASS_BITS = 112;    // the part of a pass's record that is used: pass_t
  localparam int ROW_BYTES = 8;      // a PE's constants for one row
  localparam int ROW_BITS = 53;      // the part of these that is used: row_constants_t
  localparam int ENTRY_BITS = 16;    // {gap 9, weight 7}
  localparam int WEIGHT_BITS = 7;

  typedef struct packed {
    logic [159:0] reserved;
    logic [31:0]  output_beats;  // beats of entries of all output passes
    logic [31:0]  first_output;  // index of the first output pass
    logic [31:0]  first_beats;   // beats of entries of the first pass
    logic [31:0]  cell_count;    // cells of a PE in all layers
    logic [31:0]  y_columns;
    logic [31:0]  inputs;
    logic [31:0]  entry_beats;   // beats of entries of a step
    logic [31:0]  rows;          // rows of a PE in all matrices
    logic [31:0]  passes;
    logic [15:0]  pes;
    logic [15:0]  version;
    logic [31:0]  magic;
  } header_t;

  typedef enum logic [1:0] {
    PASS_GATES = 2'd0, PASS_PROJECTION = 2'd1, PASS_OUTPUT = 2'd2, PASS_COPY = 2'd3
  } pass_kind_e;

  // The order of a cell's gate rows.
  typedef enum logic [1:0] {GATE_I = 2'd0, GATE_F = 2'd1, GATE_G = 2'd2, GATE_O = 2'd3} gate_e;

  // A pass: the part of its record that is used.
  typedef struct packed {
    logic [15:0] first_row;  // in the table of rows
    logic [15:0] target;     // first column written
    logic [15:0] source;     // first column read
    logic [15:0] count;      // columns written (cells, outputs), or units
    logic [15:0] rows;       // rows of a PE
    logic [15:0] entries;    // entries of a row; columns of a copy
    logic [7:0]  reserved;
    logic [4:0]  shift;      // 15 - r of equation 12 (gates), 19 - q of equation 13 (projection)
    logic        g_sigmoid;
    pass_kind_e  kind;
  } pass_t;

  // A PE's constants for one row.
  typedef struct packed {
    logic [4:0]         shift;
    logic signed [15:0] peephole;
    logic signed [31:0] bias;
  } row_constants_t;

  // A batch's descriptor. The frame counts of the lanes, 16 bits each, follow it.
  typedef struct packed {
    logic [63:0] reserved;
    logic [31:0] frames;     // frames of the longest lane
    logic [31:0] lanes;      // lanes in use
    logic [63:0] status;     // addresses, each a multiple of 64
    logic [63:0] outputs;
    logic [63:0] state_out;
    logic [63:0] state_in;
    logic [63:0] inputs;
    logic [63:0] model;
  } descriptor_t;

  typedef struct packed {
    logic [255:0] reserved;
    logic [63:0]  checksum;
    logic [63:0]  working;   // cycles in which words were multiplied
    logic [63:0]  cycles;    // cycles from start to the end of the last output
    logic [31:0]  zero;
    logic [31:0]  error;
  } status_t;

  typedef enum logic [7:0] {
    ERROR_NONE = 8'd0,
    ERROR_BAD_BATCH = 8'd1,     // lanes, frames or an address of the descriptor
    ERROR_BAD_MODEL = 8'd2,     // not a packed model
    ERROR_OTHER_SHAPE = 8'd3,   // packed for another version or number of PEs
    ERROR_TOO_LARGE = 8'd4,     // a size exceeds this kernel's buffers
    ERROR_BAD_PASS = 8'd5,      // a pass has no entries, rows or columns
    ERROR_READ_FAILED = 8'd6,   // the bus answered a read with an error
    ERROR_WRITE_FAILED = 8'd7,  // the bus answered a write with an error
    ERROR_STALLED = 8'd8        // nothing moved for WATCHDOG cycles
  } error_e;

  // The state of ese_batch, which the host can read in register 0x20.
  typedef enum logic [3:0] {
    BATCH_IDLE = 4'd0, BATCH_DESCRIPTOR = 4'd1, BATCH_CHECK_BATCH = 4'd2, BATCH_HEADER = 4'd3,
    BATCH_CHECK_HEADER = 4'd4, BATCH_TABLES = 4'd5, BATCH_RUN = 4'd6, BATCH_STATUS = 4'd7,
    BATCH_FLUSH = 4'd8, BATCH_ABORT = 4'd9, BATCH_CLEAR = 4'd10, BATCH_DONE = 4'd11
  } batch_state_e;

  // ---- What blocks tell each other.

  // A batch and its model, as the loader and the array need them. Stable while the array runs.
  typedef struct packed {
    logic [15:0] last_pass;     // index
    logic [15:0] first_output;  // index of the first output pass
    logic [15:0] frames;        // frames of the longest lane
    logic [15:0] lanes;         // lanes in use
    logic [15:0] inputs;        // columns of x
    logic [15:0] y_columns;
    logic [15:0] cell_count;    // cells of a PE in all layers
    logic [63:0] y_out;         // addresses of the results
    logic [63:0] c_out;
    logic [63:0] outputs;
  } batch_t;

  // A stretch of memory to be read.
  typedef struct packed {
    logic [63:0] addr;
    logic [31:0] beats;
  } read_command_t;

  // The reads of a batch, in the order of the two sequences (ese_fetch.sv).
  typedef enum logic [2:0] {
    READ_HEADER = 3'd0, READ_TABLES = 3'd1, READ_FIRST = 3'd2, READ_OUTPUT = 3'd3, READ_REST = 3'd4,
    READ_ALL_ENTRIES = 3'd5
  } entry_read_e;
  typedef enum logic [2:0] {
    READ_DESCRIPTOR = 3'd0, READ_Y = 3'd1, READ_X = 3'd2, READ_C = 3'd3, READ_OTHER_X = 3'd4,
    READ_ALL_DATA = 3'd5
  } data_read_e;

  // A stretch of memory to be written.
  typedef struct packed {
    logic [63:0] addr;
    logic [15:0] words;
    logic        pairs;  // the words come two in a cycle
  } write_command_t;

  // A row of all PEs whose last word has been issued; ese_issue gives it to ese_drain.
  typedef struct packed {
    pass_kind_e  kind;
    logic [1:0]  gate;        // of a row of gates: a gate_e
    logic [15:0] group;       // which P cells, or which P rows of the pass
    logic [15:0] index;       // in the table of rows
    logic [15:0] cell_index;  // of the PE
    logic [15:0] target;      // first column that the pass writes
    logic [15:0] count;       // of the pass: cells, outputs or units
    logic [4:0]  shift;
    logic        g_sigmoid;
    logic        ends;        // this is the last frame of at least one lane
    logic        first_frame;
    logic        last_frame;
  } row_t;

  // ese_issue to every PE: the word that is decoded, and the one that waits or is issued. Columns
  // [low, high) of the bank that a word reads are pending.
  typedef struct packed {
    logic        decode;
    logic        decode_first;  // the first entry of a row
    logic [15:0] decode_base;   // first column of the row's matrix
    logic [15:0] decode_low;
    logic [15:0] decode_high;
    logic [15:0] waiting_low;
    logic [15:0] waiting_high;
    logic        issue;
    logic        issue_first;   // the first entry of a row
  } issue_t;

  // ese_drain to every PE: the controls of the lanes in the pipeline of ese_cell. Suffix _pN: for the
  // lane that left the sequencer N cycles ago.
  typedef struct packed {
    logic        hold;        // keep the sums of the row that has just ended
    logic [15:0] row_index;   // in the table of rows
    logic [15:0] cell_p0;     // {cell of the PE, lane}
    logic [7:0]  lane_p1;
    logic [4:0]  y_shift_p5;
    logic        tanh_p7;
    logic        y_p7;        // y is collected
    logic [7:0]  lane_p7;
    logic [7:0]  lane_p15;
    logic [7:0]  lane_p16;
    logic        i_p16;
    logic        f_p16;
    logic [3:0]  m_shift_p18;
    logic        update_p19;  // c' is written
    logic        active_p19;
    logic        m_p19;       // m is collected
    logic [15:0] cell_p19;    // {cell of the PE, lane}
    logic [7:0]  lane_p28;
    logic        h_p28;
  } drain_t;
endpackage
