// SPDX-License-Identifier: Apache-2.0
// The PEs in pairs. Each pair has its own replica of the two banks of activations.
//
//     V [x ; y0 ; y1 ...]   M [m]          written by results (first), copies, and the loader (last)
//        │ a column for each PE │
//       PE 0   PE 1   ...    PE P-1        in lockstep, driven by ese_issue and ese_drain
module ese_array #(
  parameter int PES = 32,
  parameter int LANES = 64,
  parameter int V_DEPTH = 2048,
  parameter int M_DEPTH = 1024,
  parameter int CELLS = 64,
  parameter int ROWS = 512,
  parameter int PASSES = 32,
  parameter int WORDS = 512,
  localparam int W = 16 * PES,
  localparam int VW = $clog2(V_DEPTH),
  localparam int MW = $clog2(M_DEPTH),
  localparam int COLUMN_W = VW > MW ? VW : MW,
  localparam int SUM = 15 + COLUMN_W,
  localparam int LW = $clog2(LANES),
  localparam int RW = $clog2(ROWS),
  localparam int CLW = $clog2(CELLS),
  localparam int PW = $clog2(PASSES),
  localparam int FW = $clog2(WORDS) + 1
) (
  input  logic                clk_i,
  input  logic                rst_i,
  // The batch; stable out of reset.
  input  ese_pkg::batch_t     batch_i,
  input  logic [16*LANES-1:0] lane_frames_i,
  output logic                frames_done_o,
  output logic                working_o,      // the multipliers get a word
  // Tables; written while this is in reset.
  input  logic                pass_write_i,
  input  logic [PW-1:0]       pass_addr_i,
  input  ese_pkg::pass_t      pass_data_i,
  input  logic [PES-1:0]      row_write_i,
  input  logic [RW-1:0]       row_addr_i,
  input  logic [W-1:0]        row_data_i,     // 64 bits for each of P/4 PEs
  // Entries.
  input  logic                entries_valid_i,
  input  logic [W-1:0]        entries_i,
  output logic                entries_pop_o,
  // Loader.
  input  logic                x_loaded_i,
  output logic                x_release_o,
  input  logic [CLW:0]        cells_loaded_i,
  output logic [CLW-1:0]      cell_o,         // the cell of each PE whose rows are issued
  input  logic                v_load_i,
  input  logic [VW-1:0]       v_load_addr_i,
  input  logic                cell_load_i,
  input  logic [CLW+LW-1:0]   cell_load_addr_i,
  input  logic [W-1:0]        load_data_i,
  output logic                v_load_ready_o,
  output logic                cell_load_ready_o,
  // Words to memory.
  output logic                word_o,
  output logic [W-1:0]        word_data_o,
  output logic                word_pair_o,
  output logic [W-1:0]        word_upper_o,
  output logic                command_valid_o,
  output ese_pkg::write_command_t command_o,
  output logic [LANES-1:0]    command_strobe_o,
  input  logic                command_ready_i,
  input  logic                popped_i
);
  // ---- Orders.
  ese_pkg::issue_t issue;
  ese_pkg::row_t row;
  ese_pkg::drain_t drain;
  logic decode_move, waiting, bank_m, issue_work, issue_copy, frames_issued, draining;
  logic [PES-1:0] decode_blocked, waiting_blocked;
  logic row_valid, drain_done, drain_idle;
  logic [LANES-1:0] row_active, row_ending;

  // ---- Writes to the banks.
  logic result_v, result_m, result_v_next, result_m_next, result_ends;
  logic [COLUMN_W-1:0] result_addr;
  logic [8*LANES-1:0] result_data;
  logic [LANES-1:0] result_mask, result_ending;
  logic [1:0] copy_q;
  logic [COLUMN_W-1:0] copy_addr_q;
  logic [LANES-1:0] copy_mask_q, copy_ending_q;
  logic copy_ends_q, copy_start_q, copy_room_q;
  logic [8*LANES-1:0] moved_q;
  wire copy_v = copy_q[1];
  wire v_result = result_v || copy_v;
  wire v_write = v_result || v_load_i;
  wire [COLUMN_W-1:0] v_result_addr = copy_v ? copy_addr_q : result_addr;
  wire [VW-1:0] v_addr = v_load_i ? v_load_addr_i : v_result_addr[VW-1:0];
  wire [W-1:0] v_data = v_load_i ? load_data_i : copy_v ? moved_q : result_data;
  wire [LANES-1:0] v_mask = v_load_i ? '1 : copy_v ? copy_mask_q : result_mask;
  assign v_load_ready_o = !(v_result || (waiting && !bank_m));

  ese_issue #(.LANES(LANES), .COLUMN_W(COLUMN_W), .PASSES(PASSES), .ROWS(ROWS), .CELLS(CELLS)) u_issue (
    .clk_i, .rst_i, .run_i(!rst_i), .batch_i, .lane_frames_i, .frames_issued_o(frames_issued),
    .pass_write_i, .pass_addr_i, .pass_data_i, .word_valid_i(entries_valid_i),
    .word_pop_o(entries_pop_o), .x_loaded_i, .x_release_o, .issue_o(issue),
    .decode_move_o(decode_move), .decode_blocked_i(|decode_blocked),
    .waiting_blocked_i(|waiting_blocked), .waiting_o(waiting), .bank_m_o(bank_m),
    .issue_work_o(issue_work), .issue_copy_o(issue_copy), .v_write_i(v_result), .m_write_i(result_m),
    .v_write_next_i(result_v_next || copy_q[0]), .m_write_next_i(result_m_next),
    .copy_start_i(copy_start_q), .copy_room_i(copy_room_q), .row_valid_o(row_valid), .row_o(row),
    .row_active_o(row_active), .row_ending_o(row_ending), .drain_done_i(drain_done),
    .draining_o(draining));

  logic [8*LANES*PES-1:0] collected;
  logic [32*PES-1:0] logits_p5;
  logic [16*PES-1:0] c_p20;
  logic drain_word, drain_pair;
  logic [W-1:0] drain_word_data;
  logic [FW-1:0] room;

  ese_drain #(
    .PES(PES), .LANES(LANES), .COLUMN_W(COLUMN_W), .ROWS(ROWS), .CELLS(CELLS), .WORDS(WORDS)
  ) u_drain (
    .clk_i, .rst_i, .batch_i, .row_valid_i(row_valid), .row_i(row), .row_active_i(row_active),
    .row_ending_i(row_ending), .done_o(drain_done), .idle_o(drain_idle), .cells_loaded_i,
    .drain_o(drain), .collected_i(collected), .logits_p5_i(logits_p5), .c_p20_i(c_p20),
    .v_write_o(result_v), .m_write_o(result_m), .v_write_next_o(result_v_next),
    .m_write_next_o(result_m_next), .write_addr_o(result_addr), .write_data_o(result_data),
    .write_mask_o(result_mask), .write_ends_o(result_ends), .write_ending_o(result_ending),
    .copy_send_i(issue_copy && issue.issue_first && row.ends), .word_o(drain_word),
    .word_data_o(drain_word_data), .word_pair_o(drain_pair), .word_upper_o, .command_valid_o,
    .command_o, .command_strobe_o, .command_ready_i, .copy_word_i(issue_copy && row.ends), .popped_i,
    .room_o(room));

  assign cell_load_ready_o = !drain.update_p19;
  assign working_o = issue_work;
  assign cell_o = row.cell_index[CLW-1:0];
  assign frames_done_o = frames_issued && !draining && drain_idle && copy_q == '0;

  // ---- Copies: the column of M that PE 0 reads goes to V.
  logic [8*LANES-1:0] pe0_column;
  always_ff @(posedge clk_i) begin
    copy_q <= rst_i ? '0 : {copy_q[0], issue_copy};
    if (issue_copy && issue.issue_first) copy_addr_q <= row.target[COLUMN_W-1:0];
    else if (copy_v) copy_addr_q <= copy_addr_q + 1'b1;
    if (issue_copy) begin
      copy_mask_q <= row_active;
      copy_ending_q <= row_ending;
      copy_ends_q <= row.ends;
    end
    moved_q <= pe0_column;
    copy_start_q <= drain_idle && command_ready_i;
    copy_room_q <= room > FW'(4);
  end

  // ---- Words to memory: the drain's, and the columns of y for lanes whose last frame this is. The bytes
  // of other lanes are not written, and must not count in the checksum.
  wire copy_word = copy_v && copy_ends_q;
  wire y_word = (result_v && result_ends) || copy_word;
  wire [LANES-1:0] y_ending = copy_v ? copy_ending_q : result_ending;
  logic [8*LANES-1:0] y_data;
  for (genvar i = 0; i < LANES; i++) begin : g_ending
    assign y_data[8*i+:8] = (copy_v ? moved_q[8*i+:8] : result_data[8*i+:8]) & {8{y_ending[i]}};
  end
  assign word_o = drain_word || y_word;
  assign word_pair_o = drain_word && drain_pair;
  assign word_data_o = y_word ? y_data : drain_word_data;

  // ---- PEs.
  logic issued_m_q;
  always_ff @(posedge clk_i) if (issue.issue) issued_m_q <= bank_m;

  for (genvar pair = 0; pair < PES / 2; pair++) begin : g_pair
    logic [COLUMN_W-1:0] addr [2];
    logic [8*LANES-1:0] v_column [2];
    logic [8*LANES-1:0] m_column [2];

    ese_act_mem #(.LANES(LANES), .DEPTH(V_DEPTH)) u_v (
      .clk_i, .write_i(v_write), .write_addr_i(v_addr), .write_data_i(v_data), .write_mask_i(v_mask),
      .read_i(issue.issue && !bank_m), .a_addr_i(addr[0][VW-1:0]), .a_data_o(v_column[0]),
      .b_addr_i(addr[1][VW-1:0]), .b_data_o(v_column[1]));
    ese_act_mem #(.LANES(LANES), .DEPTH(M_DEPTH)) u_m (
      .clk_i, .write_i(result_m), .write_addr_i(result_addr[MW-1:0]), .write_data_i(result_data),
      .write_mask_i(result_mask), .read_i(issue.issue && bank_m), .a_addr_i(addr[0][MW-1:0]),
      .a_data_o(m_column[0]), .b_addr_i(addr[1][MW-1:0]), .b_data_o(m_column[1]));

    for (genvar half = 0; half < 2; half++) begin : g_pe
      localparam int P = 2 * pair + half;
      ese_pe #(.LANES(LANES), .COLUMN_W(COLUMN_W), .SUM(SUM), .CELLS(CELLS), .ROWS(ROWS)) u_pe (
        .clk_i, .entry_i(decode_move ? 16'b0 : entries_i[16*P+:16]), .issue_i(issue),
        .decode_blocked_o(decode_blocked[P]), .waiting_blocked_o(waiting_blocked[P]),
        .addr_o(addr[half]), .column_i(issued_m_q ? m_column[half] : v_column[half]),
        .row_write_i(row_write_i[P]), .row_write_addr_i(row_addr_i),
        .row_write_data_i(row_data_i[64*(P%(PES/4))+:ese_pkg::ROW_BITS]), .drain_i(drain),
        .load_i(cell_load_i), .load_addr_i(cell_load_addr_i), .load_data_i(load_data_i[16*P+:16]),
        .collected_o(collected[8*LANES*P+:8*LANES]), .logit_p5_o(logits_p5[32*P+:32]),
        .c_p20_o(c_p20[16*P+:16]));
    end
    if (pair == 0) begin : g_move
      assign pe0_column = issued_m_q ? m_column[0] : v_column[0];
    end
  end

  if (W != 8 * LANES) begin : g_shape
    $error("LANES must be twice PES: a beat holds an entry for each PE and a byte for each lane");
  end
`ifndef SYNTHESIS
  assert property (@(posedge clk_i) disable iff (rst_i) !(result_v && copy_v));
  assert property (@(posedge clk_i) disable iff (rst_i) !(v_load_i && !v_load_ready_o));
  assert property (@(posedge clk_i) disable iff (rst_i) !(drain_word && y_word));
`endif
endmodule
