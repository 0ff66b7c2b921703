// SPDX-License-Identifier: Apache-2.0
#include "server/checkpoint.h"

#include <fstream>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/testing.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

constexpr UnixSeconds kNow = 1'000'000;
constexpr Duration kMaxAge = std::chrono::seconds(60);
constexpr Duration kLong = std::chrono::hours(24);

StreamCheckpoint MakeCheckpoint(uint32_t seed = 1) {
  std::mt19937 random(seed);
  StreamCheckpoint checkpoint;
  checkpoint.model_fingerprint = "0123456789abcdef";
  checkpoint.tenant = "gold";
  checkpoint.stream_id = RandomStreamId();
  checkpoint.frame = 123456789012;
  checkpoint.input = InputKind::kInt16;
  checkpoint.posteriors = true;
  checkpoint.units = true;
  checkpoint.last_unit = 7;
  checkpoint.state = StreamState(*RandomModel({}));
  for (int16_t& c : checkpoint.state.c) c = static_cast<int16_t>(random());
  for (int8_t& y : checkpoint.state.y) y = static_cast<int8_t>(random());
  return checkpoint;
}

CheckpointSealer SealerOf(char key) { return CheckpointSealer({std::string(32, key)}); }

void ExpectRefused(const CheckpointSealer& sealer, const std::string& token, absl::StatusCode code,
                   const std::string& message) {
  const absl::Status status = sealer.Open(token, kNow, kMaxAge).status();
  EXPECT_EQ(status.code(), code) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(message));
}

TEST(CheckpointTest, OpenReturnsWhatWasSealedByAnySealerWithTheSameKey) {
  for (const InputKind input : {InputKind::kAudio, InputKind::kFloat32, InputKind::kInt16}) {
    StreamCheckpoint checkpoint = MakeCheckpoint();
    checkpoint.input = input;
    const std::string token = SealerOf('k').Seal(checkpoint, kNow);
    const auto opened = SealerOf('k').Open(token, kNow, kMaxAge);
    ASSERT_TRUE(opened.ok()) << opened.status();
    EXPECT_EQ(opened->model_fingerprint, checkpoint.model_fingerprint);
    EXPECT_EQ(opened->tenant, "gold");
    EXPECT_EQ(opened->stream_id, checkpoint.stream_id);
    EXPECT_EQ(opened->frame, checkpoint.frame);
    EXPECT_EQ(opened->input, input);
    EXPECT_EQ(opened->posteriors, true);
    EXPECT_EQ(opened->units, true);
    EXPECT_EQ(opened->last_unit, 7);
    EXPECT_TRUE(std::equal(opened->state.c.begin(), opened->state.c.end(),
                           checkpoint.state.c.begin(), checkpoint.state.c.end()));
    EXPECT_TRUE(std::equal(opened->state.y.begin(), opened->state.y.end(),
                           checkpoint.state.y.begin(), checkpoint.state.y.end()));
  }
}

TEST(CheckpointTest, TokensRevealNothingAndNeverRepeat) {
  const StreamCheckpoint checkpoint = MakeCheckpoint();
  const std::string token = SealerOf('k').Seal(checkpoint, kNow);
  EXPECT_EQ(token.find(checkpoint.model_fingerprint), token.npos);
  const std::string outputs(reinterpret_cast<const char*>(checkpoint.state.y.data()),
                            checkpoint.state.y.size());
  EXPECT_EQ(token.find(outputs), token.npos);
  // The nonces differ, and so does everything after them.
  const std::string again = SealerOf('k').Seal(checkpoint, kNow);
  EXPECT_NE(again.substr(16, 12), token.substr(16, 12));
  EXPECT_NE(again.substr(28), token.substr(28));
}

TEST(CheckpointTest, AnyBytesCanBeSealed) {
  for (const char* body : {"", "x", "no checkpoint"}) {
    ExpectRefused(SealerOf('k'), SealerOf('k').SealBody(body), absl::StatusCode::kInvalidArgument,
                  "contains no valid checkpoint");
  }
}

TEST(CheckpointTest, EveryFlippedBitIsRefused) {
  const CheckpointSealer sealer = SealerOf('k');
  const std::string token = sealer.Seal(MakeCheckpoint(), kNow);
  for (size_t bit = 0; bit < token.size() * 8; ++bit) {
    std::string altered = token;
    altered[bit / 8] = static_cast<char>(altered[bit / 8] ^ (1 << (bit % 8)));
    const absl::StatusCode code = sealer.Open(altered, kNow, kMaxAge).status().code();
    EXPECT_EQ(code, bit / 8 < 8 ? absl::StatusCode::kInvalidArgument
                                : absl::StatusCode::kPermissionDenied)
        << "bit " << bit;
  }
}

TEST(CheckpointTest, EveryTruncationAndEveryExtensionIsRefused) {
  const CheckpointSealer sealer = SealerOf('k');
  const std::string token = sealer.Seal(MakeCheckpoint(), kNow);
  for (size_t size = 0; size < token.size(); ++size) {
    ExpectRefused(sealer, token.substr(0, size), absl::StatusCode::kInvalidArgument,
                  "Checkpoint.token unchanged");
  }
  ExpectRefused(sealer, token + "x", absl::StatusCode::kInvalidArgument, "truncated or damaged");
}

TEST(CheckpointTest, RandomBytesAreRefused) {
  std::mt19937 random(1);
  for (int i = 0; i < 1000; ++i) {
    std::string bytes(random() % 300, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    EXPECT_FALSE(SealerOf('k').Open(bytes, kNow, kMaxAge).ok());
  }
}

TEST(CheckpointTest, AnotherVersionIsNamed) {
  std::string token = SealerOf('k').Seal(MakeCheckpoint(), kNow);
  token[3] = 1;  // a token that is signed but not encrypted
  ExpectRefused(SealerOf('k'), token, absl::StatusCode::kInvalidArgument, "has version 1");
}

TEST(CheckpointTest, AnotherKeyIsRefused) {
  const std::string token = SealerOf('k').Seal(MakeCheckpoint(), kNow);
  ExpectRefused(SealerOf('l'), token, absl::StatusCode::kPermissionDenied, "--checkpoint-key");
  ExpectRefused(CheckpointSealer::Random(), token, absl::StatusCode::kPermissionDenied, "altered");
  EXPECT_FALSE(CheckpointSealer::Random()
                   .Open(CheckpointSealer::Random().Seal(MakeCheckpoint(), kNow), kNow, kMaxAge)
                   .ok());
}

TEST(CheckpointTest, AnOldKeyIsStillAcceptedNextToTheNewOne) {
  const CheckpointSealer both({std::string(32, 'n'), std::string(32, 'o')});
  EXPECT_TRUE(both.Open(SealerOf('o').Seal(MakeCheckpoint(), kNow), kNow, kMaxAge).ok());
  EXPECT_TRUE(SealerOf('n').Open(both.Seal(MakeCheckpoint(), kNow), kNow, kMaxAge).ok());
}

TEST(CheckpointTest, TheMaximumAgeIsExactToTheSecond) {
  const CheckpointSealer sealer = SealerOf('k');
  const std::string token = sealer.Seal(MakeCheckpoint(), kNow - 60);
  EXPECT_TRUE(sealer.Open(token, kNow, kMaxAge).ok());
  EXPECT_EQ(sealer.Open(token, kNow + 1, kMaxAge).status().code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(sealer.Open(token, kNow + 1, kLong).ok());
  // The clocks of replicas may differ.
  EXPECT_TRUE(sealer.Open(sealer.Seal(MakeCheckpoint(), kNow + 5), kNow, kMaxAge).ok());
}

TEST(CheckpointTest, ASealedTokenWithoutACheckpointIsRefused) {
  StreamCheckpoint checkpoint = MakeCheckpoint();
  checkpoint.frame = -1;
  ExpectRefused(SealerOf('k'), SealerOf('k').Seal(checkpoint, kNow),
                absl::StatusCode::kInvalidArgument, "contains no valid checkpoint");
}

TEST(CheckpointTest, KeysAreReadFromFiles) {
  const std::string path = testing::TempDir() + "ese_checkpoint_key";
  std::ofstream(path, std::ios::binary) << std::string(32, 'k');
  const auto sealer = CheckpointSealer::FromFiles({path});
  ASSERT_TRUE(sealer.ok()) << sealer.status();
  EXPECT_TRUE(sealer->Open(SealerOf('k').Seal(MakeCheckpoint(), kNow), kNow, kMaxAge).ok());
  std::ofstream(path, std::ios::binary) << std::string(31, 'k');
  EXPECT_THAT(std::string(CheckpointSealer::FromFiles({path}).status().message()),
              HasSubstr("has 31 bytes, but needs at least 32"));
  EXPECT_EQ(CheckpointSealer::FromFiles({path + ".none"}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(CheckpointSealer::FromFiles({"/dev/zero"}).status().message()),
              HasSubstr("/dev/zero is a device"));
}

TEST(CheckpointTest, StreamIdsDiffer) { EXPECT_NE(RandomStreamId(), RandomStreamId()); }

}  // namespace
}  // namespace ese
