// SPDX-License-Identifier: Apache-2.0
// Decides, cycle by cycle, which word of entries all PEs work on.
//
//     word FIFO ─► decode: a column and a weight in each PE (stage 1) ─► issue: activations are read
//
// A step is a list of passes (docs/hardware.md). The output passes of a frame run behind the first pass
// of the next one, so that each hides the other's wait for columns:
//
//     first(0) rest(0) | first(1) output(0) rest(1) | first(2) output(1) rest(2) | output(2)
//
// A word in stage 1 waits while a PE asks for a column that is still to be written, while its bank is
// being written, or while a finished row would find the drain taken. Copy passes move columns and decode
// no words.
module ese_issue #(
  parameter int LANES = 64,
  parameter int COLUMN_W = 11,
  parameter int PASSES = 32,
  parameter int ROWS = 512,
  parameter int CELLS = 64,
  localparam int PW = $clog2(PASSES),
  localparam int RW = $clog2(ROWS),
  localparam int CLW = $clog2(CELLS)
) (
  input  logic                clk_i,
  input  logic                rst_i,
  // The batch; stable while run_i.
  input  logic                run_i,
  input  logic [PW-1:0]       last_pass_i,
  input  logic [PW-1:0]       first_output_i,   // pass
  input  logic [15:0]         frames_i,
  input  logic [16*LANES-1:0] lane_frames_i,
  output logic                frames_issued_o,  // all of them
  // Pass table.
  input  logic                pass_write_i,
  input  logic [PW-1:0]       pass_addr_i,
  input  logic [111:0]        pass_data_i,
  // Words of entries.
  input  logic                word_valid_i,
  output logic                word_pop_o,
  // Loader: x of the next frame is in its place; and when that place may be written again.
  input  logic                x_loaded_i,
  output logic                x_release_o,
  // To the PEs.
  output logic                decode_o,
  output logic                decode_move_o,
  output logic                decode_first_o,
  output logic [COLUMN_W-1:0] decode_base_o,
  output logic [COLUMN_W:0]   decode_low_o,     // columns [low, high) are pending
  output logic [COLUMN_W:0]   decode_high_o,
  output logic [COLUMN_W:0]   waiting_low_o,
  output logic [COLUMN_W:0]   waiting_high_o,
  input  logic                decode_blocked_i, // the word that is decoded asks for a pending column
  input  logic                waiting_blocked_i,  // or the word in stage 1
  output logic                waiting_o,        // stage 1 is taken
  output logic                bank_m_o,         // and reads M, not V
  output logic                issue_o,
  output logic                issue_first_o,
  output logic                issue_work_o,     // a word of entries, not a move
  output logic                issue_copy_o,
  // Results written to the banks: this cycle, and the next (always the next of the pending columns).
  input  logic                v_write_i,
  input  logic                m_write_i,
  input  logic                v_write_next_i,
  input  logic                m_write_next_i,
  // Of copies that go to memory as well, a cycle late: the drain is at rest, and there is room for words.
  input  logic                copy_start_i,
  input  logic                copy_room_i,
  // A row's last word is issued: its facts.
  output logic                row_o,
  output logic [1:0]          row_kind_o,
  output logic [1:0]          row_gate_o,
  output logic [15:0]         row_group_o,      // of P cells, or P rows
  output logic [RW-1:0]       row_index_o,
  output logic [CLW-1:0]      row_cell_o,
  output logic [COLUMN_W-1:0] row_target_o,
  output logic [15:0]         row_count_o,      // of the pass: cells, outputs, or units
  output logic [4:0]          row_shift_o,
  output logic                row_g_sigmoid_o,
  output logic [LANES-1:0]    row_active_o,
  output logic [LANES-1:0]    row_ending_o,     // lanes whose last frame this is
  output logic                row_ends_o,       // there are any
  output logic                row_first_frame_o,
  output logic                row_last_frame_o,
  input  logic                drain_done_i,
  output logic                draining_o
);
  localparam logic [1:0] GATES = 2'd0, PROJECTION = 2'd1, OUTPUT = 2'd2, COPY = 2'd3;

  // ---- Decode: where we are in the batch.
  logic [111:0] passes [PASSES];
  logic [PW-1:0] pass_q;
  logic [15:0] row_q, entry_q, frame_q;
  logic settle_q, ended_q;
  logic [LANES-1:0] active_q, ending_q;
  logic ends_q;

  always_ff @(posedge clk_i) if (pass_write_i) passes[pass_addr_i] <= pass_data_i;

  wire [111:0] pass = passes[pass_q];
  wire [1:0] kind = pass[1:0];
  wire move = kind == COPY;
  wire [15:0] entries = pass[31:16];
  wire last_entry = entry_q == entries - 16'd1;
  wire last_row = row_q == pass[47:32] - 16'd1;
  wire last_pass = pass_q == last_pass_i;
  wire rest_ends = pass_q + 1'b1 == first_output_i;  // the last pass of the rest
  wire last_frame = frame_q == frames_i - 16'd1;
  wire reads_m = kind == PROJECTION || kind == COPY;
  wire start = entry_q == '0 && row_q == '0;
  wire wait_x = start && pass_q == '0 && !x_loaded_i;
  logic s1_valid_q, s1_pass_first_q, issue;
  // What a pass is to write counts as pending from the cycle after its first word is issued.
  wire wait_pending = start && s1_valid_q && s1_pass_first_q;
  wire more = run_i && !ended_q && !settle_q && !wait_x && !wait_pending;
  wire decode = more && (move || word_valid_i) && (!s1_valid_q || issue);

  assign decode_o = decode;
  assign decode_move_o = move;
  assign decode_first_o = entry_q == '0;
  assign decode_base_o = pass[64+:COLUMN_W];
  assign word_pop_o = decode && !move;
  assign frames_issued_o = ended_q && !s1_valid_q;

  logic [PW-1:0] next_pass;
  always_comb begin
    next_pass = pass_q + 1'b1;
    if (last_pass) next_pass = PW'(1);
    else if (rest_ends && !last_frame) next_pass = '0;
    else if (pass_q == '0 && frame_q != '0) next_pass = first_output_i;
  end

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      pass_q <= '0;
      row_q <= '0;
      entry_q <= '0;
      frame_q <= '0;
      settle_q <= 1'b1;
      ended_q <= 1'b0;
    end else begin
      settle_q <= 1'b0;
      if (decode) begin
        entry_q <= last_entry ? '0 : entry_q + 16'd1;
        if (last_entry) row_q <= last_row ? '0 : row_q + 16'd1;
        if (last_entry && last_row) begin
          pass_q <= next_pass;
          if (rest_ends) begin
            frame_q <= frame_q + 16'd1;
            settle_q <= 1'b1;  // active_q follows
          end
          if (last_pass && frame_q == frames_i) ended_q <= 1'b1;
        end
      end
    end
    for (int i = 0; i < LANES; i++) begin
      active_q[i] <= lane_frames_i[16*i+:16] > frame_q;
      ending_q[i] <= lane_frames_i[16*i+:16] == frame_q + 16'd1;
    end
    ends_q <= |ending_q;  // in time for a frame's second pass
  end

  // ---- Stage 1.
  logic s1_first_q, s1_last_q, s1_frame_last_q, s1_release_q, s1_m_q, s1_move_q, s1_blocked_q;
  logic [1:0] s1_kind_q;
  logic [15:0] s1_row_q, s1_count_q;
  logic [COLUMN_W-1:0] s1_target_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) s1_valid_q <= 1'b0;
    else s1_valid_q <= decode || (s1_valid_q && !issue);
    s1_blocked_q <= decode ? decode_blocked_i : waiting_blocked_i;
    if (decode) begin
      s1_move_q <= move;
      s1_kind_q <= kind;
      s1_m_q <= reads_m;
      s1_first_q <= entry_q == '0;
      s1_last_q <= last_entry;
      s1_pass_first_q <= start;
      s1_frame_last_q <= last_entry && last_row && rest_ends;
      s1_release_q <= last_entry && last_row && pass_q == '0;
      s1_row_q <= row_q;
      s1_count_q <= pass[63:48];
      s1_target_q <= pass[80+:COLUMN_W];
      row_shift_o <= pass[7:3];
      row_g_sigmoid_o <= pass[2];
      row_index_o <= pass[96+:RW] + row_q[RW-1:0];
      row_active_o <= active_q;
      row_ending_o <= ending_q;
      row_ends_o <= ends_q;
      row_first_frame_o <= frame_q == '0;
      row_last_frame_o <= last_frame;
    end
  end

  // ---- Columns that a pass is still to write, [low, high) of each bank, as of the next cycle: what
  // asks for them is compared a cycle before it may be issued. They are written in order.
  logic [COLUMN_W:0] v_low_q, m_low_q, v_high_q, m_high_q;
  wire v_pending = v_low_q != v_high_q;
  wire m_pending = m_low_q != m_high_q;
  wire to_m = s1_kind_q == GATES;
  wire to_v = s1_m_q;
  wire [COLUMN_W:0] target_end = {1'b0, s1_target_q} + (COLUMN_W + 1)'(s1_count_q);

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      v_low_q <= '0;
      m_low_q <= '0;
      v_high_q <= '0;
      m_high_q <= '0;
    end else begin
      if (issue && s1_pass_first_q && to_v) begin
        v_low_q <= {1'b0, s1_target_q};
        v_high_q <= target_end;
      end else if (v_write_next_i) begin
        v_low_q <= v_low_q + 1'b1;
      end
      if (issue && s1_pass_first_q && to_m) begin
        m_low_q <= {1'b0, s1_target_q};
        m_high_q <= target_end;
      end else if (m_write_next_i) begin
        m_low_q <= m_low_q + 1'b1;
      end
    end
  end
  assign decode_low_o = reads_m ? m_low_q : v_low_q;
  assign decode_high_o = reads_m ? m_high_q : v_high_q;
  assign waiting_low_o = s1_m_q ? m_low_q : v_low_q;
  assign waiting_high_o = s1_m_q ? m_high_q : v_high_q;

  // ---- Issue.
  logic draining_q;
  wire target_taken = s1_pass_first_q && ((to_v && v_pending) || (to_m && m_pending));
  wire row = s1_last_q && !s1_move_q;
  wire drain_taken = row && draining_q;
  wire bank_written = s1_m_q ? m_write_i : v_write_i;
  wire copy_may_start = copy_start_i && !draining_q;
  wire copy_waits = s1_move_q && row_ends_o && (!copy_room_i || (s1_pass_first_q && !copy_may_start));
  assign issue = s1_valid_q && !s1_blocked_q && !bank_written && !target_taken && !drain_taken && !copy_waits;

  logic [CLW-1:0] cell_q;
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      draining_q <= 1'b0;
      cell_q <= '0;
    end else begin
      draining_q <= row_o || (draining_q && !drain_done_i);
      if (row_o && s1_kind_q == GATES && s1_row_q[1:0] == 2'd3) cell_q <= cell_q + 1'b1;
      if (issue && s1_frame_last_q) cell_q <= '0;
    end
  end

  assign waiting_o = s1_valid_q;
  assign bank_m_o = s1_m_q;
  assign issue_o = issue;
  assign issue_first_o = s1_first_q;
  assign issue_work_o = issue && !s1_move_q;
  assign issue_copy_o = issue && s1_move_q;
  assign x_release_o = issue && s1_release_q;
  assign row_o = issue && row;
  assign row_kind_o = s1_kind_q;
  assign row_gate_o = s1_row_q[1:0];
  assign row_group_o = s1_kind_q == GATES ? {2'b0, s1_row_q[15:2]} : s1_row_q;
  assign row_cell_o = cell_q;
  assign row_target_o = s1_target_q;
  assign row_count_o = s1_count_q;
  assign draining_o = draining_q;

`ifndef SYNTHESIS
  // No more columns are written than are pending.
  assert property (@(posedge clk_i) disable iff (rst_i) !(v_write_next_i && !v_pending));
  assert property (@(posedge clk_i) disable iff (rst_i) !(m_write_next_i && !m_pending));
  // Why no word is issued or decoded, for the coverage of the tests.
  wire [7:0] stalls = {
    run_i && !ended_q && wait_pending, run_i && !ended_q && wait_x, more && !move && !word_valid_i,
    {5{s1_valid_q}} & {copy_waits, drain_taken, target_taken, bank_written, s1_blocked_q}};
`endif
  wire unused = &{1'b0, pass[15:8], pass[95:80+COLUMN_W], pass[79:64+COLUMN_W], pass[111:96+RW], OUTPUT};
endmodule
