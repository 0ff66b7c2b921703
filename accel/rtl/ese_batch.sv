// SPDX-License-Identifier: Apache-2.0
// One batch from start to done: reads the descriptor and the model's header and tables, runs the array,
// writes the status. Refuses what it cannot do. What is to be read, and when, is ese_fetch's.
//
//   IDLE ► DESCRIPTOR ► HEADER ► TABLES ► RUN ► STATUS ► DONE ► IDLE
//             └──────────┴─────────┴───────┴─► ABORT (masters come to rest) ► CLEAR ► STATUS or DONE
module ese_batch #(
  parameter int PES = 32,
  parameter int LANES = 64,
  parameter int V_DEPTH = 2048,
  parameter int M_DEPTH = 1024,
  parameter int CELLS = 64,
  parameter int ROWS = 512,
  parameter int PASSES = 32,
  parameter int WATCHDOG = 65536,  // cycles in which nothing moves
  localparam int W = 16 * PES,
  localparam int LW = $clog2(LANES),
  localparam int RW = $clog2(ROWS),
  localparam int CLW = $clog2(CELLS),
  localparam int PW = $clog2(PASSES)
) (
  input  logic                clk_i,
  input  logic                rst_i,
  // Control registers.
  input  logic                start_i,
  input  logic [63:0]         descriptor_i,
  output logic                idle_o,
  output logic                done_o,          // until acknowledged
  input  logic                acknowledge_i,
  output logic [7:0]          error_o,
  output logic [3:0]          state_o,
  // Masters: entries and data in, results out.
  output logic                masters_rst_o,
  output logic                stop_o,
  output logic                entries_command_o,
  output logic [63:0]         entries_addr_o,
  output logic [31:0]         entries_beats_o,
  input  logic                entries_ready_i,
  input  logic                entries_valid_i,
  input  logic [W-1:0]        entries_i,
  output logic                entries_pop_o,
  output logic                data_command_o,
  output logic [63:0]         data_addr_o,
  output logic [31:0]         data_beats_o,
  input  logic                data_ready_i,
  input  logic                data_valid_i,
  input  logic [W-1:0]        data_i,
  output logic                data_pop_o,
  output logic                out_command_o,
  output logic [63:0]         out_addr_o,
  output logic [15:0]         out_words_o,
  output logic                out_word_o,
  output logic [W-1:0]        out_data_o,
  input  logic                read_idle_i,
  input  logic                write_idle_i,    // and checksum_i is of all
  input  logic                read_failed_i,
  input  logic                write_failed_i,
  input  logic                moving_i,        // any transfer, or the array at work
  input  logic                working_i,
  input  logic [63:0]         checksum_i,      // of what was written, but for the status
  // Array and loader.
  output logic                array_rst_o,
  output logic                loader_rst_o,    // it runs while the tables are read, too
  output logic [PW-1:0]       last_pass_o,
  output logic [PW-1:0]       first_output_o,  // pass
  output logic [15:0]         frames_o,
  output logic [LW:0]         lanes_o,
  output logic [16*LANES-1:0] lane_frames_o,
  output logic [15:0]         inputs_o,
  output logic [15:0]         y_columns_o,
  output logic [CLW:0]        cells_o,
  output logic [63:0]         y_out_o,
  output logic [63:0]         c_out_o,
  output logic [63:0]         outputs_o,
  output logic                pass_write_o,
  output logic [PW-1:0]       pass_addr_o,
  output logic [111:0]        pass_data_o,
  output logic [PES-1:0]      row_write_o,
  output logic [RW-1:0]       row_addr_o,
  input  logic                frames_done_i
);
  localparam int RECORD = 512 / W;  // beats
  localparam int BYTES_W = $clog2(W / 8);
  localparam logic [31:0] MAGIC = 32'h43455345;  // "ESEC"
  localparam int VERSION = 2;

  localparam logic [7:0] BAD_BATCH = 8'd1, BAD_MODEL = 8'd2, OTHER_SHAPE = 8'd3, TOO_LARGE = 8'd4,
                         BAD_PASS = 8'd5, READ_FAILED = 8'd6, WRITE_FAILED = 8'd7, STALLED = 8'd8;

  typedef enum logic [3:0] {
    IDLE, DESCRIPTOR, CHECK_BATCH, HEADER, CHECK_HEADER, TABLES, RUN, STATUS, FLUSH, ABORT, CLEAR, DONE
  } state_e;
  state_e state_q;
  assign state_o = state_q;

  // ---- A record is collected beat by beat, the first at the bottom.
  logic [511:0] record_q;
  logic [3:0] beat_q;
  logic [511:0] next_record;
  if (W == 512) begin : g_whole
    assign next_record = state_q == DESCRIPTOR ? data_i : entries_i;
  end else begin : g_parts
    assign next_record = {state_q == DESCRIPTOR ? data_i : entries_i, record_q[511:W]};
  end
  wire last_beat = beat_q == 4'(RECORD - 1);

  // ---- The batch.
  logic [63:0] model_q, inputs_addr_q, state_in_q, status_q;
  logic [15:0] lanes_q;
  logic [31:0] entry_beats_q, first_beats_q, output_beats_q;
  logic [15:0] passes_q, rows_q;
  logic [31:0] table_beats_q;
  logic second_q;            // half of the lanes' frames; cycle of CHECK_BATCH
  logic unaligned_q;

  // ---- Progress.
  logic [15:0] index_q;      // passes, then rows
  logic in_rows_q;
  logic [1:0] part_q;        // of a row's four beats
  logic [31:0] idle_cycles_q;
  logic [63:0] cycles_q, words_q;
  logic [3:0] status_beat_q;
  logic dead_q, status_wanted_q;

  wire take_data = state_q == DESCRIPTOR && data_valid_i;
  wire take_entries = (state_q == HEADER || state_q == TABLES) && entries_valid_i;
  assign data_pop_o = take_data;
  assign entries_pop_o = take_entries;

  ese_fetch #(.PES(PES), .LANES(LANES), .CELLS(CELLS)) u_fetch (
    .clk_i, .rst_i(rst_i || state_q == IDLE), .start_i(state_q == DESCRIPTOR),
    .described_i(state_q == HEADER), .sized_i(state_q == TABLES || state_q == RUN), .descriptor_i,
    .model_i(model_q), .inputs_addr_i(inputs_addr_q), .state_in_i(state_in_q), .frames_i(frames_o),
    .table_beats_i(table_beats_q), .entry_beats_i(entry_beats_q), .first_beats_i(first_beats_q),
    .output_beats_i(output_beats_q), .inputs_i(inputs_o), .y_columns_i(y_columns_o),
    .cells_i(cells_o), .entries_command_o, .entries_addr_o, .entries_beats_o, .entries_ready_i,
    .data_command_o, .data_addr_o, .data_beats_o, .data_ready_i);

  // ---- Tables to the array.
  wire pass_done = state_q == TABLES && take_entries && !in_rows_q && last_beat;
  wire row_beat = state_q == TABLES && take_entries && in_rows_q;
  assign pass_write_o = pass_done;
  assign pass_addr_o = index_q[PW-1:0];
  assign pass_data_o = next_record[111:0];
  assign row_addr_o = index_q[RW-1:0];
  for (genvar p = 0; p < PES; p++) begin : g_row_write
    assign row_write_o[p] = row_beat && part_q == 2'(p / (PES / 4));
  end

  // ---- What is refused.
  wire [31:0] word [16];
  for (genvar k = 0; k < 16; k++) begin : g_word
    assign word[k] = record_q[32*k+:32];
  end
  logic [7:0] header_error;
  always_comb begin
    header_error = '0;
    if (word[0] != MAGIC) header_error = BAD_MODEL;
    else if (word[1] != {16'(PES), 16'(VERSION)}) header_error = OTHER_SHAPE;
    else if (word[2] == 0 || word[3] == 0 || word[4] == 0 || word[5] == 0 || word[6] == 0 ||
             word[7] == 0 || word[9] < 2 || word[9] >= word[2]) header_error = BAD_MODEL;
    else if (word[2] > 32'(PASSES) || word[3] > 32'(ROWS) || word[5] > 32'(V_DEPTH) ||
             word[6] > 32'(V_DEPTH) || word[5] + word[6] > 32'(V_DEPTH) ||
             word[7] > 32'(CELLS)) header_error = TOO_LARGE;
  end

  wire [16:0] target_end = {1'b0, next_record[95:80]} + {1'b0, next_record[63:48]};
  wire to_m = next_record[1:0] == 2'd0;
  wire to_v = next_record[0];
  logic [7:0] pass_error;
  always_comb begin
    pass_error = '0;
    if (next_record[31:16] == 0 || next_record[47:32] == 0 || next_record[63:48] == 0)
      pass_error = BAD_PASS;
    else if (to_m && next_record[33:32] != 0) pass_error = BAD_PASS;
    else if ((to_m && target_end > 17'(M_DEPTH)) || (to_v && target_end > 17'(V_DEPTH)))
      pass_error = TOO_LARGE;
  end

  wire bad_batch = lanes_q == 0 || lanes_q > 16'(LANES) || frames_o == 0 || unaligned_q;
  wire stalled = idle_cycles_q == 32'(WATCHDOG);
  wire [511:0] status = {256'b0, checksum_i, words_q, cycles_q, 56'b0, error_o};
  assign out_word_o = state_q == STATUS;
  assign out_data_o = W'(status >> (W * status_beat_q));
  assign out_command_o = state_q == STATUS && status_beat_q == '0;
  assign out_addr_o = status_q;
  assign out_words_o = 16'(RECORD);

  assign idle_o = state_q == IDLE;
  assign done_o = state_q == DONE;
  // With a dead bus the masters keep what they have offered, until reset.
  assign stop_o = state_q == ABORT || dead_q;
  assign masters_rst_o = rst_i || (state_q == IDLE && !dead_q) || state_q == CLEAR;
  assign array_rst_o = state_q != RUN;
  assign loader_rst_o = array_rst_o && state_q != TABLES;

  wire at_work = state_q != IDLE && state_q != DONE;

  always_ff @(posedge clk_i) begin
    if (rst_i) begin
      state_q <= IDLE;
      error_o <= '0;
      dead_q <= 1'b0;
      idle_cycles_q <= '0;
      status_wanted_q <= 1'b0;
    end else begin
      idle_cycles_q <= moving_i || !at_work ? '0 : idle_cycles_q + 32'd1;
      if (at_work) cycles_q <= cycles_q + 64'd1;
      if (working_i) words_q <= words_q + 64'd1;

      case (state_q)
        IDLE: if (start_i) begin
          state_q <= dead_q ? DONE : DESCRIPTOR;
          error_o <= dead_q ? STALLED : '0;
          beat_q <= '0;
          cycles_q <= '0;
          words_q <= '0;
          second_q <= 1'b0;
          status_wanted_q <= 1'b0;
        end

        DESCRIPTOR: if (take_data) begin
          if (beat_q < 4'(RECORD)) begin
            record_q <= next_record;
            beat_q <= beat_q + 4'd1;
          end else begin
            lane_frames_o <= {data_i, lane_frames_o[16*LANES-1:W]};
            second_q <= 1'b1;
            if (second_q) state_q <= CHECK_BATCH;
          end
        end

        CHECK_BATCH: begin
          // Two cycles: the record's fields, then what they say.
          model_q <= {word[1], word[0]};
          inputs_addr_q <= {word[3], word[2]};
          state_in_q <= {word[5], word[4]};
          y_out_o <= {word[7], word[6]};
          outputs_o <= {word[9], word[8]};
          status_q <= {word[11], word[10]};
          lanes_q <= word[12][31:16] == 0 ? word[12][15:0] : '0;
          lanes_o <= word[12][LW:0];
          frames_o <= word[13][31:16] == 0 ? word[13][15:0] : '0;
          unaligned_q <= |{word[0][5:0], word[2][5:0], word[4][5:0], word[6][5:0], word[8][5:0],
                           word[10][5:0]};
          beat_q <= '0;
          second_q <= 1'b0;
          if (!second_q) begin
            if (bad_batch) begin
              state_q <= ABORT;
              error_o <= BAD_BATCH;
            end else begin
              state_q <= HEADER;
              status_wanted_q <= 1'b1;
            end
          end
        end

        HEADER: if (take_entries) begin
          record_q <= next_record;
          beat_q <= last_beat ? '0 : beat_q + 4'd1;
          if (last_beat) state_q <= CHECK_HEADER;
        end

        CHECK_HEADER: begin
          passes_q <= word[2][15:0];
          last_pass_o <= PW'(word[2] - 32'd1);
          rows_q <= word[3][15:0];
          entry_beats_q <= word[4];
          first_beats_q <= word[8];
          first_output_o <= word[9][PW-1:0];
          output_beats_q <= word[10];
          inputs_o <= word[5][15:0];
          y_columns_o <= word[6][15:0];
          cells_o <= word[7][CLW:0];
          table_beats_q <= word[2] * 32'(RECORD) + (word[3] << 2);
          index_q <= '0;
          in_rows_q <= 1'b0;
          part_q <= '0;
          if (header_error != 0) begin
            state_q <= ABORT;
            error_o <= header_error;
          end else begin
            state_q <= TABLES;
          end
        end

        TABLES: begin
          if (take_entries) begin
            record_q <= next_record;
            if (!in_rows_q) begin
              beat_q <= last_beat ? '0 : beat_q + 4'd1;
              if (last_beat) begin
                in_rows_q <= index_q == passes_q - 16'd1;
                index_q <= index_q == passes_q - 16'd1 ? '0 : index_q + 16'd1;
                if (pass_error != 0) begin
                  state_q <= ABORT;
                  error_o <= pass_error;
                end
              end
            end else begin
              part_q <= part_q + 2'd1;
              if (part_q == 2'd3) begin
                index_q <= index_q + 16'd1;
                if (index_q == rows_q - 16'd1) state_q <= RUN;
              end
            end
          end
          c_out_o <= y_out_o + (64'(y_columns_o) << BYTES_W);
        end

        RUN: begin
          status_beat_q <= '0;
          if (frames_done_i && write_idle_i) state_q <= STATUS;
        end

        STATUS: begin
          status_beat_q <= status_beat_q + 4'd1;
          if (status_beat_q == 4'(RECORD - 1)) state_q <= FLUSH;
        end

        FLUSH: if (write_idle_i) state_q <= DONE;

        ABORT: begin
          status_beat_q <= '0;
          if (read_idle_i && write_idle_i) state_q <= CLEAR;
        end

        CLEAR: state_q <= status_wanted_q ? STATUS : DONE;

        DONE: if (acknowledge_i) state_q <= IDLE;

        default: state_q <= IDLE;
      endcase

      if (at_work && state_q != ABORT) begin
        if (stalled || read_failed_i || write_failed_i) begin
          state_q <= ABORT;
          error_o <= stalled ? STALLED : read_failed_i ? READ_FAILED : WRITE_FAILED;
          status_wanted_q <= 1'b0;
          idle_cycles_q <= '0;
        end
      end else if (state_q == ABORT && stalled) begin
        // The bus does not even end what was begun: only a reset helps.
        state_q <= DONE;
        dead_q <= 1'b1;
      end
    end
  end
endmodule
