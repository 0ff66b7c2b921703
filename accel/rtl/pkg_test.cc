// SPDX-License-Identifier: Apache-2.0
// Compares the formats of ese_pkg.sv with those of accel/card: constants and enums by their values,
// and structs by what they read from records that accel/card wrote. A change on only one side fails
// here.
#include <gtest/gtest.h>
#include <verilated.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <vector>

#include "Vese_pkg_probe_pkg.h"
#include "accel/card/card_format.h"
#include "accel/card/card_model.h"
#include "accel/random_batch.h"
#include "model/testing.h"

namespace ese {
namespace {

constexpr CardShape kShape = {.pes = 8, .lanes = 16};

class PkgTest : public testing::Test {
 protected:
  PkgTest() : probe_(&context_) { Show(nullptr, 0); }

  // Gives the probe a record that begins with these bytes and continues with zeros.
  void Show(const uint8_t* bytes, size_t size) {
    static_assert(sizeof(probe_.record_i) == kCardRecordBytes);
    ASSERT_LE(size, size_t{kCardRecordBytes});
    std::array<uint8_t, kCardRecordBytes> record{};
    if (size > 0) std::memcpy(record.data(), bytes, size);
    std::memcpy(&probe_.record_i, record.data(), record.size());
    probe_.eval();
  }

  VerilatedContext context_;
  Vese_pkg_probe_pkg probe_;
};

RandomModelOptions Options() {
  return {.inputs = 13,
          .layers = {{.cells = 19, .projection = 13, .peepholes = true},
                     {.cells = 11},
                     {.cells = 9, .projection = 10, .g_activation = GActivation::kSigmoid}},
          .units = 33,
          .density = 0.4};
}

TEST_F(PkgTest, ConstantsEqualThoseOfTheCard) {
  EXPECT_EQ(probe_.packed_magic_o, kCardMagic);
  EXPECT_EQ(probe_.packed_version_o, kCardFormatVersion);
  EXPECT_EQ(probe_.record_bytes_o, uint32_t{kCardRecordBytes});
  EXPECT_EQ(probe_.row_bytes_o, sizeof(CardRow));
  EXPECT_EQ(probe_.entry_bits_o, uint32_t{kCardWeightBits + kCardGapBits});
  EXPECT_EQ(probe_.weight_bits_o, uint32_t{kCardWeightBits});
}

TEST_F(PkgTest, EnumsEqualThoseOfTheCard) {
  const PassKind kinds[] = {PassKind::kGates, PassKind::kProjection, PassKind::kOutput,
                            PassKind::kCopy};
  for (int k = 0; k < 4; ++k) {
    EXPECT_EQ(probe_.pass_kinds_o[k], static_cast<uint32_t>(kinds[k])) << k;
    EXPECT_EQ(probe_.gates_o[k], static_cast<uint32_t>(k));  // the order of rows in a model
  }
  const CardError errors[] = {CardError::kNone,       CardError::kBadBatch,    CardError::kBadModel,
                              CardError::kOtherShape, CardError::kTooLarge,    CardError::kBadPass,
                              CardError::kReadFailed, CardError::kWriteFailed, CardError::kStalled};
  static_assert(std::size(errors) == static_cast<size_t>(kLastCardError) + 1);
  for (int k = 0; k < 9; ++k) {
    EXPECT_EQ(probe_.errors_o[k], static_cast<uint32_t>(errors[k])) << k;
  }
  EXPECT_EQ(probe_.batch_done_o, 11u);
}

TEST_F(PkgTest, HeaderIsReadAsTheCardWritesIt) {
  const auto model = RandomModel(Options());
  const auto card = PackForCard(*model, kShape);
  ASSERT_TRUE(card.ok()) << card.status();
  uint32_t first_output = 0, output_beats = 0;
  for (const CardPass& pass : card->passes) {
    if (pass.kind != PassKind::kOutput) ++first_output;
    if (pass.kind == PassKind::kOutput) output_beats += uint32_t(pass.rows * pass.entries);
  }
  const CardPass& first = card->passes.front();
  const uint32_t expected[] = {kCardMagic,
                               kCardFormatVersion,
                               uint32_t(kShape.pes),
                               uint32_t(card->passes.size()),
                               uint32_t(card->rows),
                               uint32_t(card->entry_beats),
                               uint32_t(card->inputs),
                               uint32_t(card->y_columns),
                               uint32_t(card->cells),
                               uint32_t(first.rows * first.entries),
                               first_output,
                               output_beats};
  Show(card->bytes.data(), kCardRecordBytes);
  for (int k = 0; k < 12; ++k) EXPECT_EQ(probe_.header_o[k], expected[k]) << k;
}

TEST_F(PkgTest, PassesAreReadAsTheCardWritesThem) {
  const auto model = RandomModel(Options());
  const auto card = PackForCard(*model, kShape);
  ASSERT_TRUE(card.ok()) << card.status();
  uint32_t first_row = 0;
  for (size_t k = 0; k < card->passes.size(); ++k) {
    const CardPass& pass = card->passes[k];
    Show(card->bytes.data() + (k + 1) * kCardRecordBytes, kCardRecordBytes);
    EXPECT_EQ(probe_.pass_o[0], static_cast<uint32_t>(pass.kind));
    EXPECT_EQ(probe_.pass_o[1], uint32_t{pass.g_sigmoid});
    if (pass.kind == PassKind::kGates || pass.kind == PassKind::kProjection) {
      EXPECT_EQ(probe_.pass_o[2], uint32_t(pass.shift));
    }
    EXPECT_EQ(probe_.pass_o[3], uint32_t(pass.entries));
    EXPECT_EQ(probe_.pass_o[4], uint32_t(pass.rows));
    EXPECT_EQ(probe_.pass_o[5], uint32_t(pass.count));
    EXPECT_EQ(probe_.pass_o[6], uint32_t(pass.source));
    EXPECT_EQ(probe_.pass_o[7], uint32_t(pass.target));
    if (pass.matrix != nullptr) {
      EXPECT_EQ(probe_.pass_o[8], first_row);
      first_row += uint32_t(pass.rows);
    }
  }
}

// The first row of PE 0 is row 0, gate i of cell 0; the second is gate f.
TEST_F(PkgTest, RowConstantsAreReadAsTheCardWritesThem) {
  const auto model = RandomModel(Options());
  const auto card = PackForCard(*model, kShape);
  ASSERT_TRUE(card.ok()) << card.status();
  const Matrix& matrix = *card->passes.front().matrix;
  const uint8_t* const rows = card->bytes.data() + (1 + card->passes.size()) * kCardRecordBytes;
  for (int row = 0; row < 2; ++row) {
    const size_t row_bytes = size_t{probe_.row_bytes_o} * kShape.pes;
    Show(rows + size_t(row) * row_bytes, probe_.row_bytes_o);
    EXPECT_EQ(static_cast<int32_t>(probe_.row_o[0]), matrix.bias[row]);
    EXPECT_EQ(static_cast<int32_t>(probe_.row_o[1]), model->layers[0].peepholes[row]);
    EXPECT_EQ(probe_.row_o[2], uint32_t{matrix.shift[row]});
  }
}

TEST_F(PkgTest, DescriptorIsReadAsTheCardWritesIt) {
  const auto model = RandomModel(Options());
  const auto card = PackForCard(*model, kShape);
  ASSERT_TRUE(card.ok()) << card.status();
  const OwnedBatch batch = RandomBatch(*model, {3, 5, 2}, 1);
  const BatchAddresses at = {.model = 0x1'0000'0040,
                             .inputs = 0x2'0000'0080,
                             .state_in = 0x3'0000'00C0,
                             .state_out = 0x4'0000'0100,
                             .outputs = 0x5'0000'0140,
                             .status = 0x6'0000'0180};
  const std::vector<uint8_t> bytes = PackDescriptor(*card, batch.lanes, at);
  Show(bytes.data(), kCardRecordBytes);
  const uint64_t expected[] = {at.model,     at.inputs,  at.state_in,
                               at.state_out, at.outputs, at.status};
  for (int k = 0; k < 6; ++k) EXPECT_EQ(probe_.addresses_o[k], expected[k]) << k;
  EXPECT_EQ(probe_.descriptor_o[0], 3u);  // lanes
  EXPECT_EQ(probe_.descriptor_o[1], 5u);  // frames of the longest lane
}

TEST_F(PkgTest, StatusIsWrittenAsTheCardReadsIt) {
  const CardStatus status = {
      .error = 7, .cycles = 0x1'0000'0002, .working = 0x3'0000'0004, .checksum = 0x5'0000'0006};
  static_assert(sizeof(status) == kCardRecordBytes);
  Show(reinterpret_cast<const uint8_t*>(&status), sizeof(status));
  EXPECT_EQ(probe_.status_error_o, status.error);
  EXPECT_EQ(probe_.status_o[0], status.cycles);
  EXPECT_EQ(probe_.status_o[1], status.working);
  EXPECT_EQ(probe_.status_o[2], status.checksum);
}

}  // namespace
}  // namespace ese
