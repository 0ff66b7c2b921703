// SPDX-License-Identifier: Apache-2.0
// Decides in each cycle which word of entries all PEs work on.
//
//     word FIFO ─► decode: a column and a weight in each PE (stage 1) ─► issue: activations are read
//
// A step is a list of passes (docs/hardware/programmers_reference.md). The output passes of a frame run
// behind the first pass of the next frame, so that each hides the other's wait for columns:
//
//     first(0) rest(0) | first(1) output(0) rest(1) | first(2) output(1) rest(2) | output(2)
//
// A word in stage 1 waits while a PE asks for a column that is still to be written, while results are
// written to the bank that it reads, or while the row that it ends would find the drain occupied. Copy
// passes move columns and decode no words.
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
  input  logic                 clk_i,
  input  logic                 rst_i,
  // The batch; stable while run_i.
  input  logic                 run_i,
  input  ese_pkg::batch_t      batch_i,
  input  logic [16*LANES-1:0]  lane_frames_i,
  output logic                 frames_issued_o,   // the last word of the last frame is issued
  // Pass table.
  input  logic                 pass_write_i,
  input  logic [PW-1:0]        pass_addr_i,
  input  ese_pkg::pass_t       pass_data_i,
  // Words of entries.
  input  logic                 word_valid_i,
  output logic                 word_pop_o,
  // Loader: x of the next frame is in its place; that place may be written again.
  input  logic                 x_loaded_i,
  output logic                 x_release_o,
  // To the PEs, and their answers.
  output ese_pkg::issue_t      issue_o,
  output logic                 decode_move_o,     // a column of a copy is decoded, not a word
  input  logic                 decode_blocked_i,  // the word that is decoded asks for a pending column
  input  logic                 waiting_blocked_i, // the word in stage 1 asks for a pending column
  output logic                 waiting_o,         // stage 1 holds a word or a copy's column
  output logic                 bank_m_o,          // it reads bank M, not V
  output logic                 issue_work_o,      // a word of entries is issued
  output logic                 issue_copy_o,      // a copy's column is issued
  // Results written to the banks: this cycle, and the next (always the next of the pending columns).
  input  logic                 v_write_i,
  input  logic                 m_write_i,
  input  logic                 v_write_next_i,
  input  logic                 m_write_next_i,
  // For copies that go to memory as well, a cycle late: the drain is idle; there is room for words.
  input  logic                 copy_start_i,
  input  logic                 copy_room_i,
  // The last word of a row is issued. row_o also describes a copy whose column is issued.
  output logic                 row_valid_o,
  output ese_pkg::row_t        row_o,
  output logic [LANES-1:0]     row_active_o,      // lanes that have this frame
  output logic [LANES-1:0]     row_ending_o,      // lanes whose last frame this is
  input  logic                 drain_done_i,
  output logic                 draining_o
);
  // ---- Decode: the position in the batch.
  logic [ese_pkg::PASS_BITS-1:0] passes [PASSES];
  logic [PW-1:0] pass_q;
  logic [15:0] row_q, entry_q, frame_q;
  logic settle_q, ended_q;
  logic [LANES-1:0] active_q, ending_q;
  logic ends_q;

  always_ff @(posedge clk_i) if (pass_write_i) passes[pass_addr_i] <= pass_data_i;

  ese_pkg::pass_t pass;
  assign pass = passes[pass_q];
  wire move = pass.kind == ese_pkg::PASS_COPY;
  wire last_entry = entry_q == pass.entries - 16'd1;
  wire last_row = row_q == pass.rows - 16'd1;
  wire last_pass = pass_q == batch_i.last_pass[PW-1:0];
  wire [PW-1:0] first_output = batch_i.first_output[PW-1:0];
  wire rest_ends = pass_q + 1'b1 == first_output;  // the last pass of the rest
  wire last_frame = frame_q == batch_i.frames - 16'd1;
  wire reads_m = pass.kind == ese_pkg::PASS_PROJECTION || move;
  wire start = entry_q == '0 && row_q == '0;
  wire wait_x = start && pass_q == '0 && !x_loaded_i;
  logic s1_valid_q, s1_pass_first_q, issue;
  // The columns that a pass will write are pending from the cycle after its first word is issued.
  wire wait_pending = start && s1_valid_q && s1_pass_first_q;
  wire more = run_i && !ended_q && !settle_q && !wait_x && !wait_pending;
  wire decode = more && (move || word_valid_i) && (!s1_valid_q || issue);

  assign decode_move_o = move;
  assign word_pop_o = decode && !move;
  assign frames_issued_o = ended_q && !s1_valid_q;

  logic [PW-1:0] next_pass;
  always_comb begin
    next_pass = pass_q + 1'b1;
    if (last_pass) next_pass = PW'(1);
    else if (rest_ends && !last_frame) next_pass = '0;
    else if (pass_q == '0 && frame_q != '0) next_pass = first_output;
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
            settle_q <= 1'b1;  // active_q follows a cycle later
          end
          if (last_pass && frame_q == batch_i.frames) ended_q <= 1'b1;
        end
      end
    end
    for (int i = 0; i < LANES; i++) begin
      active_q[i] <= lane_frames_i[16*i+:16] > frame_q;
      ending_q[i] <= lane_frames_i[16*i+:16] == frame_q + 16'd1;
    end
    ends_q <= |ending_q;  // a cycle later: in time for a frame's second pass
  end

  // ---- Stage 1.
  logic s1_first_q, s1_last_q, s1_frame_last_q, s1_release_q, s1_m_q, s1_move_q, s1_blocked_q;
  logic s1_g_sigmoid_q, s1_ends_q, s1_first_frame_q, s1_last_frame_q;
  ese_pkg::pass_kind_e s1_kind_q;
  logic [15:0] s1_row_q, s1_count_q;
  logic [4:0] s1_shift_q;
  logic [RW-1:0] s1_index_q;
  logic [COLUMN_W-1:0] s1_target_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) s1_valid_q <= 1'b0;
    else s1_valid_q <= decode || (s1_valid_q && !issue);
    s1_blocked_q <= decode ? decode_blocked_i : waiting_blocked_i;
    if (decode) begin
      s1_move_q <= move;
      s1_kind_q <= pass.kind;
      s1_m_q <= reads_m;
      s1_first_q <= entry_q == '0;
      s1_last_q <= last_entry;
      s1_pass_first_q <= start;
      s1_frame_last_q <= last_entry && last_row && rest_ends;
      s1_release_q <= last_entry && last_row && pass_q == '0;
      s1_row_q <= row_q;
      s1_count_q <= pass.count;
      s1_target_q <= pass.target[COLUMN_W-1:0];
      s1_shift_q <= pass.shift;
      s1_g_sigmoid_q <= pass.g_sigmoid;
      s1_index_q <= pass.first_row[RW-1:0] + row_q[RW-1:0];
      s1_ends_q <= ends_q;
      s1_first_frame_q <= frame_q == '0;
      s1_last_frame_q <= last_frame;
      row_active_o <= active_q;
      row_ending_o <= ending_q;
    end
  end

  // ---- Columns that a pass is still to write, [low, high) of each bank, as of the next cycle: a word
  // is compared with them a cycle before it may be issued. Columns are written in order.
  logic [COLUMN_W:0] v_low_q, m_low_q, v_high_q, m_high_q;
  wire v_pending = v_low_q != v_high_q;
  wire m_pending = m_low_q != m_high_q;
  wire to_m = s1_kind_q == ese_pkg::PASS_GATES;
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
  wire [COLUMN_W:0] decode_low = reads_m ? m_low_q : v_low_q;
  wire [COLUMN_W:0] decode_high = reads_m ? m_high_q : v_high_q;
  wire [COLUMN_W:0] waiting_low = s1_m_q ? m_low_q : v_low_q;
  wire [COLUMN_W:0] waiting_high = s1_m_q ? m_high_q : v_high_q;
  always_comb begin
    issue_o.decode = decode;
    issue_o.decode_first = entry_q == '0;
    issue_o.decode_base = 16'(pass.source[COLUMN_W-1:0]);
    issue_o.decode_low = 16'(decode_low);
    issue_o.decode_high = 16'(decode_high);
    issue_o.waiting_low = 16'(waiting_low);
    issue_o.waiting_high = 16'(waiting_high);
    issue_o.issue = issue;
    issue_o.issue_first = s1_first_q;
  end

  // ---- Issue.
  logic draining_q;
  wire target_taken = s1_pass_first_q && ((to_v && v_pending) || (to_m && m_pending));
  wire row = s1_last_q && !s1_move_q;
  wire drain_taken = row && draining_q;
  wire bank_written = s1_m_q ? m_write_i : v_write_i;
  wire copy_may_start = copy_start_i && !draining_q;
  wire copy_waits = s1_move_q && s1_ends_q && (!copy_room_i || (s1_pass_first_q && !copy_may_start));
  assign issue = s1_valid_q && !s1_blocked_q && !bank_written && !target_taken && !drain_taken && !copy_waits;

  logic [CLW-1:0] cell_q;
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      draining_q <= 1'b0;
      cell_q <= '0;
    end else begin
      draining_q <= row_valid_o || (draining_q && !drain_done_i);
      if (row_valid_o && s1_kind_q == ese_pkg::PASS_GATES && s1_row_q[1:0] == ese_pkg::GATE_O)
        cell_q <= cell_q + 1'b1;
      if (issue && s1_frame_last_q) cell_q <= '0;
    end
  end

  assign waiting_o = s1_valid_q;
  assign bank_m_o = s1_m_q;
  assign issue_work_o = issue && !s1_move_q;
  assign issue_copy_o = issue && s1_move_q;
  assign x_release_o = issue && s1_release_q;
  assign row_valid_o = issue && row;
  assign draining_o = draining_q;
  always_comb begin
    row_o.kind = s1_kind_q;
    row_o.gate = s1_row_q[1:0];  // the gate rows of a cell follow each other
    row_o.group = to_m ? {2'b0, s1_row_q[15:2]} : s1_row_q;
    row_o.index = 16'(s1_index_q);
    row_o.cell_index = 16'(cell_q);
    row_o.target = 16'(s1_target_q);
    row_o.count = s1_count_q;
    row_o.shift = s1_shift_q;
    row_o.g_sigmoid = s1_g_sigmoid_q;
    row_o.ends = s1_ends_q;
    row_o.first_frame = s1_first_frame_q;
    row_o.last_frame = s1_last_frame_q;
  end

`ifndef SYNTHESIS
  // No more columns are written than are pending.
  assert property (@(posedge clk_i) disable iff (rst_i) !(v_write_next_i && !v_pending));
  assert property (@(posedge clk_i) disable iff (rst_i) !(m_write_next_i && !m_pending));
  // Why no word is issued or decoded; the tests' coverage counts it.
  wire [7:0] stalls = {
    run_i && !ended_q && wait_pending, run_i && !ended_q && wait_x, more && !move && !word_valid_i,
    {5{s1_valid_q}} & {copy_waits, drain_taken, target_taken, bank_written, s1_blocked_q}};
`endif
  wire unused = &{1'b0, pass, batch_i};
endmodule
