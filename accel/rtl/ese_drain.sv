// SPDX-License-Identifier: Apache-2.0
// Takes a finished row out of the PEs, one lane a cycle. It drives the controls along ese_cell's pipeline,
// writes the columns that the PEs have collected to the banks, and sends to memory: logits, c of the last
// frame, and y of each lane's last frame.
//
//     row ─► wait: collector, room for the words, c of this cell loaded ─► run: lanes 0 .. used-1
//                 p0 ── p5 logit ── p7 y ── p19 m, c' ── p28 h          (cycles, see ese_cell.sv)
//                        │           └────────┴─► collectors ─► a column a cycle, PE 0 .. P-1
//                        └─► a pair of words                        └─► y: a word, bytes of ending lanes
module ese_drain #(
  parameter int PES = 32,
  parameter int LANES = 64,
  parameter int COLUMN_W = 11,
  parameter int ROWS = 512,
  parameter int CELLS = 64,
  parameter int WORDS = 512,  // places of the output FIFO
  localparam int W = 16 * PES,
  localparam int LW = $clog2(LANES),
  localparam int RW = $clog2(ROWS),
  localparam int CLW = $clog2(CELLS),
  localparam int PEW = $clog2(PES),
  localparam int FW = $clog2(WORDS) + 1
) (
  input  logic                    clk_i,
  input  logic                    rst_i,
  input  ese_pkg::batch_t         batch_i,
  // From ese_issue.
  input  logic                    row_valid_i,
  input  ese_pkg::row_t           row_i,
  input  logic [LANES-1:0]        row_active_i,
  input  logic [LANES-1:0]        row_ending_i,
  output logic                    done_o,
  output logic                    idle_o,         // no lane is in the pipeline, no column waits to be written
  input  logic [CLW:0]            cells_loaded_i,
  // To the PEs, and their results.
  output ese_pkg::drain_t         drain_o,
  input  logic [8*LANES*PES-1:0]  collected_i,
  input  logic [32*PES-1:0]       logits_p5_i,
  input  logic [16*PES-1:0]       c_p20_i,
  // Columns to the banks.
  output logic                    v_write_o,
  output logic                    m_write_o,
  output logic                    v_write_next_o,
  output logic                    m_write_next_o,
  output logic [COLUMN_W-1:0]     write_addr_o,
  output logic [8*LANES-1:0]      write_data_o,
  output logic [LANES-1:0]        write_mask_o,
  output logic                    write_ends_o,   // the column also goes to memory: y of the lanes that end
  output logic [LANES-1:0]        write_ending_o,
  // A copy of M to V begins, and its columns also go to memory. Only when idle_o and command_ready_i.
  input  logic                    copy_send_i,
  // Words to memory, and the commands that say where they go.
  output logic                    word_o,
  output logic [W-1:0]            word_data_o,
  output logic                    word_pair_o,
  output logic [W-1:0]            word_upper_o,
  output logic                    command_valid_o,
  output ese_pkg::write_command_t command_o,
  output logic [LANES-1:0]        command_strobe_o,
  input  logic                    command_ready_i,
  input  logic                    copy_word_i,    // a word of such a copy is under way
  input  logic                    popped_i,
  output logic [FW-1:0]           room_o
);
  // The fewest cycles of a drain: an o row reads what its g row wrote 20 cycles into the pipeline.
  localparam int SHORTEST = 24;
  localparam int BYTES_W = $clog2(W / 8);
  localparam int LAST = 28;

  // ---- The row that is drained.
  ese_pkg::row_t row_q;
  logic [LANES-1:0] active_q, ending_q;
  logic [4:1] arriving_q;
  logic waiting_q, running_q;
  logic [LW:0] count_cycles_q;

  wire [LW:0] lanes = batch_i.lanes[LW:0];
  wire [CLW-1:0] cell_index = row_q.cell_index[CLW-1:0];
  wire gates = row_q.kind == ese_pkg::PASS_GATES;
  wire logits = row_q.kind == ese_pkg::PASS_OUTPUT;
  wire projection = row_q.kind == ese_pkg::PASS_PROJECTION;
  wire collects = (gates && row_q.gate == ese_pkg::GATE_O) || projection;
  wire sends_c = gates && row_q.gate == ese_pkg::GATE_G && row_q.last_frame;
  wire sends_y = projection && row_q.ends;
  wire sends = logits || sends_c || sends_y;
  wire [15:0] first_of_group = row_q.group << PEW;
  wire [15:0] left = row_q.count - first_of_group;
  logic [PEW:0] row_columns_q;  // settled before the row may run
  logic [FW-1:0] words_q;
  wire [LW:0] cycles = lanes < (LW + 1)'(SHORTEST) ? (LW + 1)'(SHORTEST) : lanes;

  logic collecting_q;
  logic [FW-1:0] room_q;
  // Words leave in the order of their commands.
  wire wait_collector = (collects && collecting_q) || (sends && collecting_q && write_ends_o);
  wire wait_room = sends && (room_q < words_q || !command_ready_i);
  wire wait_cell = gates && row_q.first_frame && cells_loaded_i <= {1'b0, cell_index};
  wire run = waiting_q && !wait_collector && !wait_room && !wait_cell;
  wire last_cycle = running_q && count_cycles_q == cycles - 1'b1;

  always_ff @(posedge clk_i) begin
    if (row_valid_i) begin
      row_q <= row_i;
      active_q <= row_active_i;
      ending_q <= row_ending_i;
    end
    row_columns_q <= left < 16'(PES) ? (PEW + 1)'(left) : (PEW + 1)'(PES);
    words_q <= sends_y ? FW'(row_columns_q) : FW'(lanes);
    if (rst_i) begin
      arriving_q <= '0;
      waiting_q <= 1'b0;
      running_q <= 1'b0;
      count_cycles_q <= '0;
    end else begin
      arriving_q <= {arriving_q[3:1], row_valid_i};
      waiting_q <= arriving_q[4] || (waiting_q && !run);
      running_q <= run || (running_q && !last_cycle);
      count_cycles_q <= running_q ? count_cycles_q + 1'b1 : '0;
    end
  end
  assign done_o = last_cycle;

  // ---- The controls of a lane, stage by stage.
  localparam int F_VALID = 0, F_I = 1, F_F = 2, F_G = 3, F_O = 4, F_Y = 5, F_LOGIT = 6, F_TANH = 7,
                 F_ACTIVE = 8, F_END = 9, F_SEND = 10, F_SHIFT = 11, F_LANE = 16,
                 F_CELL = F_LANE + LW, CTL = F_CELL + CLW;
  logic [CTL-1:0] stage [0:LAST];
  wire valid_p0 = running_q && count_cycles_q < lanes;
  wire [LW-1:0] lane_p0 = count_cycles_q[LW-1:0];
  wire end_p0 = valid_p0 && count_cycles_q == lanes - 1'b1;

  always_comb begin
    stage[0] = '0;
    stage[0][F_VALID] = valid_p0;
    stage[0][F_I] = valid_p0 && gates && row_q.gate == ese_pkg::GATE_I;
    stage[0][F_F] = valid_p0 && gates && row_q.gate == ese_pkg::GATE_F;
    stage[0][F_G] = valid_p0 && gates && row_q.gate == ese_pkg::GATE_G;
    stage[0][F_O] = valid_p0 && gates && row_q.gate == ese_pkg::GATE_O;
    stage[0][F_Y] = valid_p0 && projection;
    stage[0][F_LOGIT] = valid_p0 && logits;
    stage[0][F_TANH] = row_q.gate == ese_pkg::GATE_G && !row_q.g_sigmoid;
    stage[0][F_ACTIVE] = active_q[lane_p0];
    stage[0][F_END] = end_p0;
    stage[0][F_SEND] = valid_p0 && sends_c;
    stage[0][F_SHIFT+:5] = row_q.shift;
    stage[0][F_LANE+:LW] = lane_p0;
    stage[0][F_CELL+:CLW] = cell_index;
  end

  for (genvar k = 1; k <= LAST; k++) begin : g_stage
    always_ff @(posedge clk_i) begin
      if (rst_i) stage[k] <= '0;
      else stage[k] <= stage[k-1];
    end
  end

  always_comb begin
    drain_o.hold = arriving_q[4];
    drain_o.row_index = 16'(row_q.index[RW-1:0]);
    drain_o.cell_p0 = 16'({stage[0][F_CELL+:CLW], stage[0][F_LANE+:LW]});
    drain_o.lane_p1 = 8'(stage[1][F_LANE+:LW]);
    drain_o.y_shift_p5 = stage[5][F_SHIFT+:5];
    drain_o.tanh_p7 = stage[7][F_TANH];
    drain_o.y_p7 = stage[7][F_Y];
    drain_o.lane_p7 = 8'(stage[7][F_LANE+:LW]);
    drain_o.lane_p15 = 8'(stage[15][F_LANE+:LW]);
    drain_o.lane_p16 = 8'(stage[16][F_LANE+:LW]);
    drain_o.i_p16 = stage[16][F_I];
    drain_o.f_p16 = stage[16][F_F];
    drain_o.m_shift_p18 = stage[18][F_SHIFT+:4];
    drain_o.update_p19 = stage[19][F_G];
    drain_o.active_p19 = stage[19][F_ACTIVE];
    drain_o.m_p19 = stage[19][F_O];
    drain_o.cell_p19 = 16'({stage[19][F_CELL+:CLW], stage[19][F_LANE+:LW]});
    drain_o.lane_p28 = 8'(stage[28][F_LANE+:LW]);
    drain_o.h_p28 = stage[28][F_G];
  end

  // ---- Columns.
  logic [COLUMN_W-1:0] column_q;
  logic [PEW:0] columns_q, pe_q;
  logic [LANES-1:0] mask_q;
  logic to_m_q, writing_q;
  wire last_column = writing_q && pe_q == columns_q - 1'b1;
  wire collected = (stage[19][F_O] && stage[19][F_END]) || (stage[7][F_Y] && stage[7][F_END]);

  assign v_write_next_o = writing_q && !to_m_q;
  assign m_write_next_o = writing_q && to_m_q;

  // The column of PE pe_q, by halving: indexing all columns makes a shifter that tools are slow to trim.
  logic [8*LANES*PES-1:0] halved;
  always_comb begin
    halved = collected_i;
    for (int k = PEW - 1; k >= 0; k--) if (pe_q[k]) halved = halved >> (8 * LANES << k);
  end

  always_ff @(posedge clk_i) begin
    if (run && collects) begin
      column_q <= row_column;
      columns_q <= row_columns_q;
      mask_q <= active_q;
      write_ends_o <= sends_y;
      write_ending_o <= ending_q;
      to_m_q <= gates;
    end else if (writing_q) begin
      column_q <= column_q + 1'b1;
    end
    if (rst_i) begin
      collecting_q <= 1'b0;
      writing_q <= 1'b0;
      pe_q <= '0;
      v_write_o <= 1'b0;
      m_write_o <= 1'b0;
    end else begin
      collecting_q <= (run && collects) || (collecting_q && !last_column);
      writing_q <= collected || (writing_q && !last_column);
      pe_q <= writing_q ? pe_q + 1'b1 : '0;
      v_write_o <= v_write_next_o;
      m_write_o <= m_write_next_o;
    end
    write_addr_o <= column_q;
    write_data_o <= halved[8*LANES-1:0];
    write_mask_o <= mask_q;
  end

  // ---- Words.
  logic [63:0] c_addr_q, outputs_addr_q;
  logic [63:0] y_addr_q;  // where column 0 of V would lie
  logic [63:0] row_y_addr_q;
  logic started_q;
  wire send = run && sends;
  wire [COLUMN_W-1:0] row_column = row_q.target[COLUMN_W-1:0] + COLUMN_W'(first_of_group);
  wire [63:0] copy_addr = y_addr_q + (64'(row_i.target[COLUMN_W-1:0]) << BYTES_W);
  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      started_q <= 1'b0;
      room_q <= FW'(WORDS);
      word_o <= 1'b0;
    end else begin
      started_q <= 1'b1;
      room_q <= room_q - (send ? words_q : '0) - FW'(copy_word_i) + FW'(popped_i);
      word_o <= stage[5][F_LOGIT] || stage[20][F_SEND];
    end
    if (!started_q) begin
      c_addr_q <= batch_i.c_out;
      outputs_addr_q <= batch_i.outputs;
      y_addr_q <= batch_i.y_out - (64'(batch_i.inputs) << BYTES_W);
    end else if (send && logits) begin
      outputs_addr_q <= outputs_addr_q + 64'(LANES * W / 4);
    end else if (send && sends_c) begin
      c_addr_q <= c_addr_q + 64'(LANES * W / 8);
    end
    row_y_addr_q <= y_addr_q + (64'(row_column) << BYTES_W);
    word_data_o <= stage[5][F_LOGIT] ? logits_p5_i[0+:W] : c_p20_i;
    word_pair_o <= stage[5][F_LOGIT];
    word_upper_o <= logits_p5_i[W+:W];
  end
  assign command_valid_o = send || copy_send_i;
  always_comb begin
    command_o.pairs = !copy_send_i && logits;
    command_o.addr = logits ? outputs_addr_q : sends_c ? c_addr_q : row_y_addr_q;
    command_o.words = logits ? 16'(lanes) << 1 : 16'(words_q);
    command_strobe_o = sends_y ? ending_q : '1;
    if (copy_send_i) begin
      command_o.addr = copy_addr;
      command_o.words = row_i.count;
      command_strobe_o = row_ending_i;
    end
  end
  assign room_o = room_q;

  logic in_pipe;
  always_comb begin
    in_pipe = 1'b0;
    for (int k = 0; k <= LAST; k++) in_pipe = in_pipe || stage[k][F_VALID];
  end
  assign idle_o = !(|arriving_q || waiting_q || running_q || in_pipe || collecting_q || v_write_o ||
                    m_write_o || word_o);

`ifndef SYNTHESIS
  wire logit_p5 = stage[5][F_LOGIT];
  wire send_p20 = stage[20][F_SEND];
  wire [2:0] stalls = {3{waiting_q}} & {wait_cell, wait_room, wait_collector};
  // One row at a time; one word a cycle; one row in the collectors.
  assert property (@(posedge clk_i) disable iff (rst_i) !(row_valid_i && (|arriving_q || waiting_q)));
  assert property (@(posedge clk_i) disable iff (rst_i) !(logit_p5 && send_p20));
  assert property (@(posedge clk_i) disable iff (rst_i) !(drain_o.y_p7 && drain_o.m_p19));
  assert property (@(posedge clk_i) disable iff (rst_i) !(collected && writing_q));
`endif
  wire unused = &{1'b0, batch_i, row_q};
endmodule
