// SPDX-License-Identifier: Apache-2.0
// Streams whose calls break continue elsewhere. The verifier compares their posteriors with those
// of an unbroken run.
#include "gtest/gtest.h"
#include "load/testing.h"

namespace ese {
namespace {

const grpc::Status kBroken(grpc::StatusCode::UNAVAILABLE, "scripted break");

LoadOptions Resuming(const FakeServer& server) {
  LoadOptions options = ShortRun(server);
  options.resume = true;
  options.checkpoint_every_frames = 2;
  options.verify = true;
  return options;
}

TEST(LoadTest, BrokenStreamsContinueWithTheSameBits) {
  FakeServer server({.fail_at_response = 5, .failure = kBroken, .failing_calls = 9});
  const LoadReport report = Load(Resuming(server));
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.completed, 6);
  EXPECT_EQ(report.breaks, 9);
  EXPECT_EQ(report.resumed, 9);
  EXPECT_EQ(report.resume.count(), 9);
  EXPECT_EQ(report.chunks_answered, report.chunks_due);
  EXPECT_TRUE(report.verified);
  EXPECT_EQ(report.frames_verified, 6 * 10);
  EXPECT_EQ(report.differing, 0);
}

TEST(LoadTest, ResumesWithinAChunk) {
  FakeServer server({.fail_at_response = 3, .failure = kBroken, .failing_calls = 6});
  LoadOptions options = Resuming(server);
  options.source.input = InputKind::kAudio;
  options.source.chunk_ms = 50;
  const LoadReport report = Load(options);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.resumed, 6);
  EXPECT_EQ(report.differing, 0);
}

TEST(LoadTest, ResumesStreamsOfCutConnections) {
  FakeServer server;
  LoadOptions options = Resuming(server);
  options.connections = 3;
  options.cut_every = std::chrono::milliseconds(40);
  const LoadReport report = Load(options);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.completed, 6);
  EXPECT_GT(report.cuts, 0);
  EXPECT_GT(report.resumed, 0);
  EXPECT_EQ(report.breaks, report.resumed);
  EXPECT_EQ(report.differing, 0);
}

TEST(LoadTest, StreamsOfADrainingServerContinueOnTheOther) {
  FakeServer drains({.drain_after_chunks = 4});
  FakeServer other;
  LoadOptions options = Resuming(drains);
  options.addresses.push_back(other.address());
  const LoadReport report = Load(options);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.resumed, 3);  // the streams that had begun there
  EXPECT_EQ(report.differing, 0);
}

TEST(LoadTest, FindsWrongPosteriors) {
  // The server resumes with the state of a new stream, so what follows differs.
  FakeServer server(
      {.fail_at_response = 5, .failure = kBroken, .failing_calls = 6, .forgets_state = true});
  const LoadReport report = Load(Resuming(server));
  EXPECT_EQ(report.completed, 6);
  EXPECT_EQ(report.differing, 6);
  EXPECT_FALSE(report.ok());
}

TEST(LoadTest, StreamsWithoutAnUndisturbedOneAreUnverified) {
  FakeServer server({.drain_after_chunks = 4});  // refuses the undisturbed streams
  LoadOptions options = Resuming(server);
  options.timeout = kShortTimeout;
  const LoadReport report = Load(options);
  EXPECT_GT(report.unverified, 0);
  EXPECT_EQ(report.differing, 0);
  EXPECT_EQ(report.frames_verified, 0);
}

TEST(LoadTest, GivesUpUndisturbedStreamsThatAreNeverAccepted) {
  FakeServer server({.accepted_calls = 6});
  LoadOptions options = ShortRun(server);
  options.verify = true;
  options.timeout = kShortTimeout;
  const LoadReport report = Load(options);
  EXPECT_EQ(report.completed, 6);
  EXPECT_EQ(report.unverified, 6);
}

TEST(LoadTest, StreamsThatNoServerContinuesAreLost) {
  FakeServer server({.drain_after_chunks = 4});
  LoadOptions options = Resuming(server);
  options.verify = false;
  options.timeout = kShortTimeout;
  const LoadReport report = Load(options);
  EXPECT_EQ(report.completed, 0);
  EXPECT_EQ(report.breaks, 6);
  EXPECT_EQ(report.resumed, 0);
}

}  // namespace
}  // namespace ese
