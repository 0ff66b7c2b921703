// SPDX-License-Identifier: Apache-2.0
#include "client/speech_client.h"

#include <thread>

#include "client/content.h"
#include "client/fake_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// Long enough for any machine where an answer is expected; short where none will come.
constexpr Duration kLong = std::chrono::minutes(2);
constexpr Duration kShort = std::chrono::milliseconds(50);

std::unique_ptr<SpeechClient> ConnectTo(const FakeServer& server, Duration timeout = kLong) {
  auto client = SpeechClient::Connect({server.address(), timeout});
  // On a busy machine even the connection may take longer than a short time limit.
  while (absl::IsDeadlineExceeded(client.status())) {
    client = SpeechClient::Connect({server.address(), timeout});
  }
  EXPECT_TRUE(client.ok()) << client.status();
  return *std::move(client);
}

std::string Message(const absl::Status& status) { return std::string(status.message()); }

v1::StreamingConfig AudioConfig() { return MakeConfig(FakeModel(), InputKind::kAudio); }

TEST(SpeechClientTest, NothingListeningNamesAddressAndRemedy) {
  const std::string address = DeadAddress();
  const absl::Status status = SpeechClient::Connect({address, kLong}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(status), AllOf(HasSubstr(address), HasSubstr("start ese-server")));
}

TEST(SpeechClientTest, EmptyAddress) {
  EXPECT_EQ(SpeechClient::Connect({"", kLong}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(SpeechClientTest, FindsTheOnlyModelAndModelsByName) {
  FakeServer server;
  const auto client = ConnectTo(server);
  EXPECT_EQ(client->FindModel("")->name(), "fake");
  EXPECT_EQ(client->FindModel("fake")->input_dim(), 24u);
  const absl::Status status = client->FindModel("other").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(status),
              AllOf(HasSubstr("\"other\""), HasSubstr("choose"), HasSubstr("fake")));
}

TEST(SpeechClientTest, SeveralModelsNeedAName) {
  v1::Model second = FakeModel();
  second.set_name("second");
  FakeServer server({}, {FakeModel(), second});
  const auto client = ConnectTo(server);
  const absl::Status status = client->FindModel("").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Message(status), HasSubstr("fake, second"));
  EXPECT_EQ(client->FindModel("second")->name(), "second");
}

TEST(SpeechClientTest, NoModels) {
  FakeServer server({}, {});
  EXPECT_EQ(ConnectTo(server)->FindModel("").status().code(), absl::StatusCode::kNotFound);
}

TEST(SpeechStreamTest, SendsAndReceivesInTurn) {
  FakeServer server({.units = {"K", "AE"}});
  const auto stream = ConnectTo(server)->Open(AudioConfig());  // outlives its client
  v1::StreamingInferResponse response;
  ASSERT_TRUE(stream->Receive(&response).value());
  EXPECT_EQ(response.model().name(), "fake");
  for (int chunk = 1; chunk <= 2; ++chunk) {
    ASSERT_TRUE(stream->Send(std::string(3200, 'x')).ok());
    ASSERT_TRUE(stream->Receive(&response).value());
    EXPECT_EQ(response.chunks_done(), chunk);
    ASSERT_EQ(response.units_size(), 1);
  }
  ASSERT_TRUE(stream->HalfClose().ok());
  ASSERT_TRUE(stream->Receive(&response).value());
  EXPECT_TRUE(response.is_final());
  EXPECT_FALSE(stream->Receive(&response).value());
  EXPECT_FALSE(stream->Receive(&response).value());  // and again
  ASSERT_EQ(server.calls().size(), 1u);
  EXPECT_EQ(server.calls()[0].content, std::string(6400, 'x'));
  EXPECT_TRUE(server.calls()[0].half_closed);
}

TEST(SpeechStreamTest, RefusalIsTheErrorOfReceivingAndSending) {
  FakeServer server({.refusal = {grpc::StatusCode::UNAVAILABLE, "server is full"}});
  const auto stream = ConnectTo(server)->Open(AudioConfig());
  v1::StreamingInferResponse response;
  const absl::Status status = stream->Receive(&response).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(status), AllOf(HasSubstr(server.address()), HasSubstr("server is full"),
                                     HasSubstr("try again later")));
  EXPECT_EQ(stream->Send("xx"), status);
  EXPECT_EQ(stream->HalfClose(), status);
}

TEST(SpeechStreamTest, SendingToACallThatTheServerEndedWithOk) {
  FakeServer server({.fail_at_response = 1, .failure = grpc::Status::OK});
  const auto stream = ConnectTo(server)->Open(AudioConfig());
  v1::StreamingInferResponse response;
  ASSERT_TRUE(stream->Receive(&response).value());
  ASSERT_TRUE(stream->Send("xx").ok());
  EXPECT_FALSE(stream->Receive(&response).value());
  EXPECT_EQ(stream->Send("xx").code(), absl::StatusCode::kAborted);
}

TEST(SpeechStreamTest, SilentServerIsGivenUp) {
  FakeServer server({.silent_after_chunks = 0});
  const auto stream = ConnectTo(server, kShort)->Open(AudioConfig());
  v1::StreamingInferResponse response;
  absl::StatusOr<bool> received = stream->Receive(&response);
  if (received.ok()) {  // unless even the acceptance took too long on a busy machine
    ASSERT_TRUE(stream->Send("xx").ok());
    received = stream->Receive(&response);
  }
  EXPECT_EQ(received.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(Message(received.status()),
              AllOf(HasSubstr(server.address()), HasSubstr("answered nothing for 0.05 s")));
}

TEST(SpeechStreamTest, SilenceAfterHalfCloseIsGivenUp) {
  FakeServer server({.hang_at_end = true});
  const auto stream = ConnectTo(server, kShort)->Open(AudioConfig());
  (void)stream->HalfClose();
  v1::StreamingInferResponse response;
  absl::StatusOr<bool> received = stream->Receive(&response);
  while (received.ok() && *received) received = stream->Receive(&response);
  EXPECT_EQ(received.status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST(SpeechStreamTest, AnIdleStreamIsNotGivenUp) {
  // Nothing is owed while nothing is sent: Receive waits beyond the time limit, until Cancel.
  FakeServer server;
  const auto stream = ConnectTo(server)->Open(AudioConfig());
  v1::StreamingInferResponse response;
  ASSERT_TRUE(stream->Receive(&response).value());
  std::thread other([&] { stream->Cancel(); });
  EXPECT_EQ(stream->Receive(&response).status().code(), absl::StatusCode::kCancelled);
  other.join();
}

TEST(SpeechStreamTest, VanishingServerEndsTheCall) {
  FakeServer server;
  const auto stream = ConnectTo(server)->Open(AudioConfig());
  v1::StreamingInferResponse response;
  ASSERT_TRUE(stream->Receive(&response).value());
  server.Stop();
  absl::StatusOr<bool> received = stream->Receive(&response);
  EXPECT_FALSE(received.ok());
  EXPECT_FALSE(stream->Send("xx").ok());
}

TEST(SpeechStreamTest, DestructionWithUnreadResponsesEnds) {
  FakeServer server;
  const auto stream = ConnectTo(server)->Open(AudioConfig());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(stream->Send("xx").ok());
  server.AwaitChunks(10);
}

TEST(FromGrpcTest, KeepsCodeAndAddsAddress) {
  EXPECT_TRUE(FromGrpc(grpc::Status::OK, "a:1").ok());
  const absl::Status status =
      FromGrpc({grpc::StatusCode::INVALID_ARGUMENT, "bad frame; send 24 values"}, "a:1");
  EXPECT_EQ(status, absl::InvalidArgumentError("server a:1: bad frame; send 24 values"));
  EXPECT_THAT(Message(FromGrpc({grpc::StatusCode::UNIMPLEMENTED, ""}, "a:1")),
              HasSubstr("is it an ese-server?"));
}

}  // namespace
}  // namespace ese
