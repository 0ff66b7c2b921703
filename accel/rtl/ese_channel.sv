// SPDX-License-Identifier: Apache-2.0
// The kernel: an XRT RTL kernel with one argument, the address of a batch's descriptor. Its ports have the
// names from which Vivado infers AXI interfaces.
//
//     s_axi_control ─► ese_control ─► ese_batch ─► tables, commands
//     m_axi_gmem0, 1 (reads) ─► entries ──────────► ese_array ─► words ─► m_axi_gmem2 (writes)
//     m_axi_gmem2 (reads) ─► y, x, c ─► ese_loader ─────┘
module ese_channel #(
  parameter int PES = 32,
  parameter int LANES = 64,
  parameter int V_DEPTH = 2048,  // columns of inputs and all layers' outputs
  parameter int M_DEPTH = 1024,  // cells of a layer
  parameter int CELLS = 64,      // cells of a PE in all layers
  parameter int ROWS = 512,      // rows of a PE in all matrices
  parameter int PASSES = 32,
  parameter int READ_DEPTH = 256,
  parameter int WRITE_DEPTH = 512,
  parameter int WATCHDOG = 65536,
  localparam int W = 16 * PES
) (
  input  logic           ap_clk,
  input  logic           ap_rst_n,
  input  logic [5:0]     s_axi_control_awaddr,
  input  logic           s_axi_control_awvalid,
  output logic           s_axi_control_awready,
  input  logic [31:0]    s_axi_control_wdata,
  input  logic [3:0]     s_axi_control_wstrb,
  input  logic           s_axi_control_wvalid,
  output logic           s_axi_control_wready,
  output logic [1:0]     s_axi_control_bresp,
  output logic           s_axi_control_bvalid,
  input  logic           s_axi_control_bready,
  input  logic [5:0]     s_axi_control_araddr,
  input  logic           s_axi_control_arvalid,
  output logic           s_axi_control_arready,
  output logic [31:0]    s_axi_control_rdata,
  output logic [1:0]     s_axi_control_rresp,
  output logic           s_axi_control_rvalid,
  input  logic           s_axi_control_rready,
  output logic           interrupt,
  // The packed model: a burst from each port in turn.
  output logic [63:0]    m_axi_gmem0_araddr,
  output logic [7:0]     m_axi_gmem0_arlen,
  output logic [2:0]     m_axi_gmem0_arsize,
  output logic [1:0]     m_axi_gmem0_arburst,
  output logic           m_axi_gmem0_arvalid,
  input  logic           m_axi_gmem0_arready,
  input  logic [W-1:0]   m_axi_gmem0_rdata,
  input  logic [1:0]     m_axi_gmem0_rresp,
  input  logic           m_axi_gmem0_rlast,
  input  logic           m_axi_gmem0_rvalid,
  output logic           m_axi_gmem0_rready,
  output logic [63:0]    m_axi_gmem1_araddr,
  output logic [7:0]     m_axi_gmem1_arlen,
  output logic [2:0]     m_axi_gmem1_arsize,
  output logic [1:0]     m_axi_gmem1_arburst,
  output logic           m_axi_gmem1_arvalid,
  input  logic           m_axi_gmem1_arready,
  input  logic [W-1:0]   m_axi_gmem1_rdata,
  input  logic [1:0]     m_axi_gmem1_rresp,
  input  logic           m_axi_gmem1_rlast,
  input  logic           m_axi_gmem1_rvalid,
  output logic           m_axi_gmem1_rready,
  // The batch.
  output logic [63:0]    m_axi_gmem2_araddr,
  output logic [7:0]     m_axi_gmem2_arlen,
  output logic [2:0]     m_axi_gmem2_arsize,
  output logic [1:0]     m_axi_gmem2_arburst,
  output logic           m_axi_gmem2_arvalid,
  input  logic           m_axi_gmem2_arready,
  input  logic [W-1:0]   m_axi_gmem2_rdata,
  input  logic [1:0]     m_axi_gmem2_rresp,
  input  logic           m_axi_gmem2_rlast,
  input  logic           m_axi_gmem2_rvalid,
  output logic           m_axi_gmem2_rready,
  output logic [63:0]    m_axi_gmem2_awaddr,
  output logic [7:0]     m_axi_gmem2_awlen,
  output logic [2:0]     m_axi_gmem2_awsize,
  output logic [1:0]     m_axi_gmem2_awburst,
  output logic           m_axi_gmem2_awvalid,
  input  logic           m_axi_gmem2_awready,
  output logic [W-1:0]   m_axi_gmem2_wdata,
  output logic [W/8-1:0] m_axi_gmem2_wstrb,
  output logic           m_axi_gmem2_wlast,
  output logic           m_axi_gmem2_wvalid,
  input  logic           m_axi_gmem2_wready,
  input  logic [1:0]     m_axi_gmem2_bresp,
  input  logic           m_axi_gmem2_bvalid,
  output logic           m_axi_gmem2_bready
);
  localparam int VW = $clog2(V_DEPTH);
  localparam int LW = $clog2(LANES);
  localparam int RW = $clog2(ROWS);
  localparam int CLW = $clog2(CELLS);
  localparam int PW = $clog2(PASSES);

  logic rst;
  always_ff @(posedge ap_clk) rst <= !ap_rst_n;

  assign m_axi_gmem0_arsize = 3'($clog2(W / 8));
  assign m_axi_gmem1_arsize = 3'($clog2(W / 8));
  assign m_axi_gmem2_arsize = 3'($clog2(W / 8));
  assign m_axi_gmem2_awsize = 3'($clog2(W / 8));
  assign m_axi_gmem0_arburst = 2'b01;
  assign m_axi_gmem1_arburst = 2'b01;
  assign m_axi_gmem2_arburst = 2'b01;
  assign m_axi_gmem2_awburst = 2'b01;

  logic start, idle, done, acknowledge;
  logic [63:0] descriptor;
  ese_pkg::error_e error;
  ese_pkg::batch_state_e state;
  ese_control u_control (
    .clk_i(ap_clk), .rst_i(rst), .s_awaddr(s_axi_control_awaddr), .s_awvalid(s_axi_control_awvalid),
    .s_awready(s_axi_control_awready), .s_wdata(s_axi_control_wdata),
    .s_wstrb(s_axi_control_wstrb), .s_wvalid(s_axi_control_wvalid),
    .s_wready(s_axi_control_wready), .s_bresp(s_axi_control_bresp),
    .s_bvalid(s_axi_control_bvalid), .s_bready(s_axi_control_bready),
    .s_araddr(s_axi_control_araddr), .s_arvalid(s_axi_control_arvalid),
    .s_arready(s_axi_control_arready), .s_rdata(s_axi_control_rdata),
    .s_rresp(s_axi_control_rresp), .s_rvalid(s_axi_control_rvalid),
    .s_rready(s_axi_control_rready), .interrupt_o(interrupt), .start_o(start),
    .descriptor_o(descriptor), .acknowledge_o(acknowledge), .idle_i(idle), .done_i(done),
    .error_i(error), .state_i(state));

  // ---- The batch, and what the masters bring and take.
  logic masters_rst, stop, array_rst, loader_rst, frames_done, working;
  ese_pkg::batch_t batch;
  logic [16*LANES-1:0] lane_frames;
  ese_pkg::read_command_t entries_command, data_command;
  ese_pkg::write_command_t batch_command, array_command, out_command;
  logic entries_command_valid, entries_ready, entries_valid, table_pop, entries_pop;
  logic data_command_valid, data_ready, data_valid, descriptor_pop, load_pop;
  logic [W-1:0] entries, data;
  logic batch_command_valid, array_command_valid, out_ready, batch_word, array_word, popped;
  logic [W-1:0] batch_word_data, array_word_data, array_word_upper;
  logic array_pair;
  logic [LANES-1:0] array_strobe;
  logic entries_idle, data_idle, write_idle, entries_failed, data_failed, write_failed;
  logic entries_beat, data_beat, write_beat;
  logic [63:0] checksum;
  logic checksum_settled;
  logic [CLW:0] cells_loaded;
  logic [CLW-1:0] cell_in_work;
  logic pass_write;
  logic [PW-1:0] pass_addr;
  ese_pkg::pass_t pass_data;
  logic [PES-1:0] row_write;
  logic [RW-1:0] row_addr;
  logic unused_last;

  ese_batch #(
    .PES(PES), .LANES(LANES), .V_DEPTH(V_DEPTH), .M_DEPTH(M_DEPTH), .CELLS(CELLS), .ROWS(ROWS),
    .PASSES(PASSES), .WATCHDOG(WATCHDOG)
  ) u_batch (
    .clk_i(ap_clk), .rst_i(rst), .start_i(start), .descriptor_i(descriptor), .idle_o(idle),
    .done_o(done), .acknowledge_i(acknowledge), .error_o(error), .state_o(state),
    .masters_rst_o(masters_rst), .stop_o(stop), .entries_command_valid_o(entries_command_valid),
    .entries_command_o(entries_command), .entries_ready_i(entries_ready),
    .entries_valid_i(entries_valid), .entries_i(entries), .entries_pop_o(table_pop),
    .data_command_valid_o(data_command_valid), .data_command_o(data_command),
    .data_ready_i(data_ready), .data_valid_i(data_valid), .data_i(data), .data_pop_o(descriptor_pop),
    .out_command_valid_o(batch_command_valid), .out_command_o(batch_command),
    .out_word_o(batch_word), .out_data_o(batch_word_data), .read_idle_i(entries_idle && data_idle),
    .write_idle_i(write_idle && checksum_settled), .read_failed_i(entries_failed || data_failed),
    .write_failed_i(write_failed), .moving_i(entries_beat || data_beat || write_beat || working),
    .working_i(working), .checksum_i(checksum), .array_rst_o(array_rst), .loader_rst_o(loader_rst),
    .batch_o(batch), .lane_frames_o(lane_frames), .pass_write_o(pass_write),
    .pass_addr_o(pass_addr), .pass_data_o(pass_data), .row_write_o(row_write), .row_addr_o(row_addr),
    .frames_done_i(frames_done));

  ese_entry_reader #(.W(W), .DEPTH(READ_DEPTH)) u_entries (
    .clk_i(ap_clk), .rst_i(masters_rst), .stop_i(stop), .command_i(entries_command_valid),
    .addr_i(entries_command.addr), .beats_i(entries_command.beats), .ready_o(entries_ready),
    .valid_o(entries_valid), .data_o(entries), .pop_i(entries_pop || table_pop),
    .idle_o(entries_idle), .failed_o(entries_failed), .beat_o(entries_beat),
    .m_araddr({m_axi_gmem1_araddr, m_axi_gmem0_araddr}),
    .m_arlen({m_axi_gmem1_arlen, m_axi_gmem0_arlen}),
    .m_arvalid({m_axi_gmem1_arvalid, m_axi_gmem0_arvalid}),
    .m_arready({m_axi_gmem1_arready, m_axi_gmem0_arready}),
    .m_rdata({m_axi_gmem1_rdata, m_axi_gmem0_rdata}),
    .m_rresp({m_axi_gmem1_rresp, m_axi_gmem0_rresp}),
    .m_rlast({m_axi_gmem1_rlast, m_axi_gmem0_rlast}),
    .m_rvalid({m_axi_gmem1_rvalid, m_axi_gmem0_rvalid}),
    .m_rready({m_axi_gmem1_rready, m_axi_gmem0_rready}));

  ese_axi_read #(.W(W), .DEPTH(READ_DEPTH)) u_data (
    .clk_i(ap_clk), .rst_i(masters_rst), .stop_i(stop), .command_i(data_command_valid),
    .addr_i(data_command.addr), .beats_i(data_command.beats), .ready_o(data_ready),
    .valid_o(data_valid), .data_o(data), .last_o(unused_last), .pop_i(load_pop || descriptor_pop),
    .idle_o(data_idle), .failed_o(data_failed), .beat_o(data_beat), .m_araddr(m_axi_gmem2_araddr),
    .m_arlen(m_axi_gmem2_arlen), .m_arvalid(m_axi_gmem2_arvalid), .m_arready(m_axi_gmem2_arready),
    .m_rdata(m_axi_gmem2_rdata), .m_rresp(m_axi_gmem2_rresp), .m_rlast(m_axi_gmem2_rlast),
    .m_rvalid(m_axi_gmem2_rvalid), .m_rready(m_axi_gmem2_rready));

  assign out_command = batch_command_valid ? batch_command : array_command;
  ese_axi_write #(.W(W), .DEPTH(WRITE_DEPTH)) u_out (
    .clk_i(ap_clk), .rst_i(masters_rst), .stop_i(stop),
    .command_i(batch_command_valid || array_command_valid), .addr_i(out_command.addr),
    .words_i(out_command.words), .pairs_i(out_command.pairs),
    .strobe_i(batch_command_valid ? '1 : array_strobe), .ready_o(out_ready),
    .word_i(batch_word || array_word), .data_i(batch_word ? batch_word_data : array_word_data),
    .pair_i(array_pair), .upper_i(array_word_upper), .popped_o(popped), .idle_o(write_idle),
    .failed_o(write_failed), .beat_o(write_beat), .m_awaddr(m_axi_gmem2_awaddr),
    .m_awlen(m_axi_gmem2_awlen), .m_awvalid(m_axi_gmem2_awvalid), .m_awready(m_axi_gmem2_awready),
    .m_wdata(m_axi_gmem2_wdata), .m_wstrb(m_axi_gmem2_wstrb), .m_wlast(m_axi_gmem2_wlast),
    .m_wvalid(m_axi_gmem2_wvalid), .m_wready(m_axi_gmem2_wready), .m_bresp(m_axi_gmem2_bresp),
    .m_bvalid(m_axi_gmem2_bvalid), .m_bready(m_axi_gmem2_bready));

  ese_checksum #(.W(2 * W)) u_checksum (
    .clk_i(ap_clk), .rst_i(masters_rst), .word_i(array_word),
    .data_i({array_pair ? array_word_upper : '0, array_word_data}), .settled_o(checksum_settled),
    .sum_o(checksum));

  logic x_loaded, x_release, v_load, v_load_ready, cell_load, cell_load_ready;
  logic [VW-1:0] v_load_addr;
  logic [CLW+LW-1:0] cell_load_addr;
  ese_loader #(.LANES(LANES), .V_DEPTH(V_DEPTH), .CELLS(CELLS)) u_loader (
    .clk_i(ap_clk), .rst_i(loader_rst), .batch_i(batch), .valid_i(data_valid), .pop_o(load_pop),
    .x_loaded_o(x_loaded), .x_release_i(x_release), .cells_loaded_o(cells_loaded),
    .cell_i(cell_in_work), .v_load_o(v_load), .v_load_addr_o(v_load_addr),
    .v_load_ready_i(v_load_ready), .cell_load_o(cell_load), .cell_load_addr_o(cell_load_addr),
    .cell_load_ready_i(cell_load_ready));

  ese_array #(
    .PES(PES), .LANES(LANES), .V_DEPTH(V_DEPTH), .M_DEPTH(M_DEPTH), .CELLS(CELLS), .ROWS(ROWS),
    .PASSES(PASSES), .WORDS(WRITE_DEPTH)
  ) u_array (
    .clk_i(ap_clk), .rst_i(array_rst), .batch_i(batch), .lane_frames_i(lane_frames),
    .frames_done_o(frames_done), .working_o(working), .pass_write_i(pass_write),
    .pass_addr_i(pass_addr), .pass_data_i(pass_data), .row_write_i(row_write), .row_addr_i(row_addr),
    .row_data_i(entries), .entries_valid_i(entries_valid && !array_rst), .entries_i(entries),
    .entries_pop_o(entries_pop), .x_loaded_i(x_loaded), .x_release_o(x_release),
    .cells_loaded_i(cells_loaded), .cell_o(cell_in_work), .v_load_i(v_load),
    .v_load_addr_i(v_load_addr), .cell_load_i(cell_load), .cell_load_addr_i(cell_load_addr),
    .load_data_i(data), .v_load_ready_o(v_load_ready), .cell_load_ready_o(cell_load_ready),
    .word_o(array_word), .word_data_o(array_word_data), .word_pair_o(array_pair),
    .word_upper_o(array_word_upper), .command_valid_o(array_command_valid),
    .command_o(array_command), .command_strobe_o(array_strobe), .command_ready_i(out_ready),
    .popped_i(popped));
  wire unused = &{1'b0, unused_last};
endmodule
