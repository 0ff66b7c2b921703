// Decides, cycle by cycle, which word of entries all PEs work on.
//
//     word FIFO ─► decode: a column and a weight in each PE (stage 1) ─► issue: activations are read
//
// A step is a list of passes (docs/hardware.md). A word in stage 1 waits while a PE asks for a column
// that is still to be written, while its bank is being written, or while a finished row would find the
// drain taken. Passes that move columns (copy, and the store of y at the end) decode no words.
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
  input  logic [15:0]         frames_i,
  input  logic [16*LANES-1:0] lane_frames_i,
  input  logic [COLUMN_W-1:0] y_base_i,
  input  logic [15:0]         y_columns_i,
  output logic                frames_issued_o,  // all of them
  input  logic                store_i,          // then: read y once
  output logic                store_issued_o,
  // Pass table.
  input  logic                pass_write_i,
  input  logic [PW-1:0]       pass_addr_i,
  input  logic [95:0]         pass_data_i,
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
  output logic [COLUMN_W-1:0] pending_low_o,
  output logic [COLUMN_W:0]   pending_high_o,
  input  logic                blocked_i,
  output logic                waiting_o,        // stage 1 is taken
  output logic                bank_m_o,         // and reads M, not V
  output logic                issue_o,
  output logic                issue_first_o,
  output logic                issue_work_o,     // a word of entries, not a move
  output logic                issue_copy_o,
  output logic                issue_store_o,
  // Writes to the banks, this cycle.
  input  logic                v_write_i,
  input  logic                v_result_i,       // it is a result: the next of the pending columns
  input  logic [COLUMN_W-1:0] v_addr_i,
  input  logic                m_write_i,
  input  logic [COLUMN_W-1:0] m_addr_i,
  input  logic                store_ready_i,
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
  output logic                row_first_frame_o,
  output logic                row_last_frame_o,
  input  logic                drain_done_i,
  output logic                draining_o
);
  localparam logic [1:0] GATES = 2'd0, PROJECTION = 2'd1, OUTPUT = 2'd2, COPY = 2'd3;

  // ---- Decode: where we are in the batch.
  logic [95:0] passes [PASSES];
  logic [PW-1:0] pass_q;
  logic [15:0] row_q, entry_q, frame_q;
  logic settle_q, storing_q, stored_q;
  logic [LANES-1:0] active_q;

  always_ff @(posedge clk_i) if (pass_write_i) passes[pass_addr_i] <= pass_data_i;

  wire [95:0] pass = passes[pass_q];
  wire [1:0] kind = pass[1:0];
  wire move = storing_q || kind == COPY;
  wire [15:0] entries = storing_q ? y_columns_i : pass[31:16];
  wire [15:0] rows = storing_q ? 16'd1 : pass[47:32];
  wire last_entry = entry_q == entries - 16'd1;
  wire last_row = row_q == rows - 16'd1;
  wire last_pass = pass_q == last_pass_i;
  wire start = entry_q == '0 && row_q == '0;
  wire wait_x = start && pass_q == '0 && !storing_q && !x_loaded_i;
  wire more = storing_q ? !stored_q : run_i && frame_q != frames_i;

  logic s1_valid_q, issue;
  wire decode = more && !settle_q && !wait_x && (move || word_valid_i) && (!s1_valid_q || issue);

  assign decode_o = decode;
  assign decode_move_o = move;
  assign decode_first_o = entry_q == '0;
  assign decode_base_o = storing_q ? y_base_i : pass[64+:COLUMN_W];
  assign word_pop_o = decode && !move;
  assign frames_issued_o = run_i && frame_q == frames_i && !s1_valid_q;
  assign store_issued_o = stored_q && !s1_valid_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      pass_q <= '0;
      row_q <= '0;
      entry_q <= '0;
      frame_q <= '0;
      settle_q <= 1'b1;
      storing_q <= 1'b0;
      stored_q <= 1'b0;
    end else begin
      settle_q <= 1'b0;
      if (store_i) storing_q <= 1'b1;
      if (decode) begin
        entry_q <= last_entry ? '0 : entry_q + 16'd1;
        if (last_entry) row_q <= last_row ? '0 : row_q + 16'd1;
        if (last_entry && last_row && storing_q) stored_q <= 1'b1;
        if (last_entry && last_row && !storing_q) begin
          pass_q <= last_pass ? '0 : pass_q + 1'b1;
          if (last_pass) begin
            frame_q <= frame_q + 16'd1;
            settle_q <= 1'b1;  // active_q follows
          end
        end
      end
    end
    for (int i = 0; i < LANES; i++) active_q[i] <= lane_frames_i[16*i+:16] > frame_q;
  end

  // ---- Stage 1.
  logic s1_store_q, s1_first_q, s1_last_q, s1_pass_first_q, s1_frame_last_q, s1_release_q;
  logic s1_m_q, s1_move_q;
  logic [1:0] s1_kind_q;
  logic [15:0] s1_row_q, s1_count_q;
  logic [COLUMN_W-1:0] s1_target_q;

  always_ff @(posedge clk_i) begin
    if (rst_i) s1_valid_q <= 1'b0;
    else s1_valid_q <= decode || (s1_valid_q && !issue);
    if (decode) begin
      s1_store_q <= storing_q;
      s1_move_q <= move;
      s1_kind_q <= kind;
      s1_m_q <= !storing_q && (kind == PROJECTION || kind == COPY);
      s1_first_q <= entry_q == '0;
      s1_last_q <= last_entry;
      s1_pass_first_q <= start;
      s1_frame_last_q <= last_entry && last_row && last_pass;
      s1_release_q <= last_entry && last_row && pass_q == '0 && !storing_q;
      s1_row_q <= row_q;
      s1_count_q <= pass[63:48];
      s1_target_q <= pass[80+:COLUMN_W];
      row_shift_o <= pass[7:3];
      row_g_sigmoid_o <= pass[2];
      row_active_o <= active_q;
      row_first_frame_o <= frame_q == '0;
      row_last_frame_o <= frame_q == frames_i - 16'd1;
    end
  end

  // ---- Columns that a pass is still to write, [low, high) of each bank.
  logic [COLUMN_W-1:0] v_low_q, m_low_q;
  logic [COLUMN_W:0] v_high_q, m_high_q;
  wire v_pending = {1'b0, v_low_q} != v_high_q;
  wire m_pending = {1'b0, m_low_q} != m_high_q;
  wire to_m = !s1_store_q && s1_kind_q == GATES;
  wire to_v = !s1_store_q && (s1_kind_q == PROJECTION || s1_kind_q == COPY);
  wire [COLUMN_W:0] target_end = {1'b0, s1_target_q} + (COLUMN_W + 1)'(s1_count_q);

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      v_low_q <= '0;
      m_low_q <= '0;
      v_high_q <= '0;
      m_high_q <= '0;
    end else begin
      if (issue && s1_pass_first_q && to_v) begin
        v_low_q <= s1_target_q;
        v_high_q <= target_end;
      end else if (v_result_i) begin
        v_low_q <= v_addr_i + 1'b1;
      end
      if (issue && s1_pass_first_q && to_m) begin
        m_low_q <= s1_target_q;
        m_high_q <= target_end;
      end else if (m_write_i) begin
        m_low_q <= m_addr_i + 1'b1;
      end
    end
  end
  assign pending_low_o = s1_m_q ? m_low_q : v_low_q;
  assign pending_high_o = s1_m_q ? m_high_q : v_high_q;

  // ---- Issue.
  logic draining_q;
  wire target_taken = s1_pass_first_q && ((to_v && v_pending) || (to_m && m_pending));
  wire row = s1_last_q && !s1_move_q;
  assign issue = s1_valid_q && !blocked_i && !(s1_m_q ? m_write_i : v_write_i) && !target_taken &&
                 !(row && draining_q) && !(s1_store_q && !store_ready_i);

  logic [RW-1:0] row_index_q;
  logic [CLW-1:0] cell_q;
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      draining_q <= 1'b0;
      row_index_q <= '0;
      cell_q <= '0;
    end else begin
      draining_q <= row_o || (draining_q && !drain_done_i);
      if (row_o) row_index_q <= row_index_q + 1'b1;
      if (row_o && s1_kind_q == GATES && s1_row_q[1:0] == 2'd3) cell_q <= cell_q + 1'b1;
      if (issue && s1_frame_last_q) begin
        row_index_q <= '0;
        cell_q <= '0;
      end
    end
  end

  assign waiting_o = s1_valid_q;
  assign bank_m_o = s1_m_q;
  assign issue_o = issue;
  assign issue_first_o = s1_first_q;
  assign issue_work_o = issue && !s1_move_q;
  assign issue_copy_o = issue && s1_move_q && !s1_store_q;
  assign issue_store_o = issue && s1_store_q;
  assign x_release_o = issue && s1_release_q;
  assign row_o = issue && row;
  assign row_kind_o = s1_kind_q;
  assign row_gate_o = s1_row_q[1:0];
  assign row_group_o = s1_kind_q == GATES ? {2'b0, s1_row_q[15:2]} : s1_row_q;
  assign row_index_o = row_index_q;
  assign row_cell_o = cell_q;
  assign row_target_o = s1_target_q;
  assign row_count_o = s1_count_q;
  assign draining_o = draining_q;

`ifndef SYNTHESIS
  // A pass does not read the bank that it writes, so it cannot wait for itself.
  assert property (@(posedge clk_i) disable iff (rst_i) !(s1_valid_q && (s1_m_q ? to_m : to_v)));
  // Pending columns are written in order.
  assert property (@(posedge clk_i) disable iff (rst_i) !(v_result_i && v_addr_i != v_low_q));
  assert property (@(posedge clk_i) disable iff (rst_i) !(m_write_i && m_addr_i != m_low_q));
  assert property (@(posedge clk_i) disable iff (rst_i) !(v_write_i && s1_valid_q && !s1_m_q && issue));
`endif
  wire unused = &{1'b0, pass[15:8], pass[95:80+COLUMN_W], pass[79:64+COLUMN_W], OUTPUT};
endmodule
