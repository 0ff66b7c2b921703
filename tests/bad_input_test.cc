// SPDX-License-Identifier: Apache-2.0
// Clients that do what they should not, in numbers. Each is refused or held back, what it held is
// free afterwards, and a stream beside them goes on and gets its own bits all the time.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/stream_client.h"
#include "tests/test_server.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// A stream of a frame a chunk, each sent when the one before is answered, for as long as it lives.
class Bystander {
 public:
  Bystander(const TestServer& server, const Model& model)
      : content_(MakeContent(model, ContentKind::kInt16, kSanitized ? 20000 : 100000, 77)),
        stub_(server.NewStub()),
        thread_([this](std::stop_token stop) { Run(stop); }) {}

  int answers() const { return answers_; }
  // Repeats `action` until the bystander has got so many answers meanwhile.
  template <typename Action>
  void Through(int answers, Action action) {
    for (const int end = answers_ + answers; answers_ < end && !ended_;) action();
    EXPECT_FALSE(ended_);
  }

 private:
  void Run(const std::stop_token& stop) {
    StreamClient stream(stub_.get());
    bool ok = stream.SendConfig(content_.config);
    const auto frames = static_cast<int64_t>(content_.bytes.size() / content_.sample_bytes);
    while (ok && !stop.stop_requested() && answers_ < frames) {
      ok = stream.SendChunk(
               content_.bytes.substr(answers_ * content_.sample_bytes, content_.sample_bytes)) &&
           stream.ReadUntilChunksDone(answers_ + 1);
      if (ok) ++answers_;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    ended_ = true;
    stream.HalfClose();
    StreamContent answered = content_;
    answered.log_posteriors.resize(answered.log_posteriors.size() / frames * answers_);
    std::erase_if(answered.units, [&](const DecodedUnit& unit) { return unit.frame >= answers_; });
    ExpectAnswersOf(answered, stream.Finish());
  }

  const StreamContent content_;
  const std::unique_ptr<v1::SpeechInference::Stub> stub_;
  std::atomic<int> answers_ = 0;
  std::atomic<bool> ended_ = false;
  std::jthread thread_;
};

int64_t ResidentBytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    int64_t kilobytes = 0;
    if (line.starts_with("VmRSS:") &&
        absl::SimpleAtoi(line.substr(6, line.size() - 6 - 3), &kilobytes)) {
      return kilobytes << 10;
    }
  }
  return 0;
}

class BadInputTest : public testing::Test {
 protected:
  void Start(ServingOptions options = {}) {
    server_ = std::make_unique<TestServer>(std::vector{model_}, 1, options);
    stub_ = server_->NewStub();
    bystander_ = std::make_unique<Bystander>(*server_, *model_);
  }
  // No stream but the bystander's.
  void ExpectAllFree() {
    bystander_->Through(20, [] { std::this_thread::yield(); });
    EXPECT_TRUE(Eventually([&] { return server_->open_streams() <= 1; }));
    bystander_.reset();
    EXPECT_TRUE(server_->server().WaitUntilIdle(std::chrono::seconds(30)));
    EXPECT_EQ(server_->open_streams(), 0);
  }

  const std::shared_ptr<const Model> model_ = MakeAudioModel("m", 1);
  const StreamContent audio_ = MakeContent(*model_, ContentKind::kAudio, 20, 1);
  const StreamContent content_ = MakeContent(*model_, ContentKind::kInt16, 20, 1);
  std::unique_ptr<TestServer> server_;
  std::unique_ptr<v1::SpeechInference::Stub> stub_;
  std::unique_ptr<Bystander> bystander_;
};

TEST_F(BadInputTest, FloodsOfTinyChunks) {
  Start();
  const auto flood = [&] {
    StreamClient stream(stub_.get());
    const std::jthread writer([&] {
      bool ok = stream.SendConfig(audio_.config);
      bystander_->Through(50, [&] {
        for (int i = 0; ok && i < 100; ++i) ok = stream.SendChunk(std::string(2, '\1'));
      });
      EXPECT_TRUE(ok);
      stream.HalfClose();
    });
    const StreamOutcome outcome = stream.Finish();
    EXPECT_TRUE(outcome.status.ok()) << outcome.status.error_message();
    EXPECT_EQ(outcome.defect, "");
    EXPECT_GE(outcome.chunks_done, 100);
  };
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back(flood);
  }
  ExpectAllFree();
}

TEST_F(BadInputTest, HugeChunks) {
  Start();
  bystander_->Through(50, [&] {
    const StreamOutcome outcome =
        RunStream(stub_.get(), content_.config, {content_.bytes, std::string(8 << 20, '\0')});
    EXPECT_EQ(outcome.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  });
  ExpectAllFree();
}

TEST_F(BadInputTest, ReadersThatDoNotRead) {
  Start();
  const std::string chunk(64 << 10, '\0');
  const size_t whole = chunk.size() / content_.sample_bytes * content_.sample_bytes;
  {
    std::vector<std::unique_ptr<StreamClient>> streams;
    std::vector<std::jthread> writers;
    std::atomic<int> sent = 0;
    for (int i = 0; i < 8; ++i) {
      streams.push_back(std::make_unique<StreamClient>(stub_.get()));
      writers.emplace_back([&, stream = streams.back().get()] {
        for (bool ok = stream->SendConfig(content_.config); ok; ++sent) {
          ok = stream->SendChunk(chunk.substr(0, whole));
        }
      });
    }
    // Until all stand still.
    int before = -1, same = 0;
    EXPECT_TRUE(Eventually([&] {
      same = sent == before ? same + 1 : 0;
      before = sent;
      return same > 100;
    }));
    bystander_->Through(100, [] { std::this_thread::yield(); });
    for (const auto& stream : streams) stream->Cancel();
  }
  ExpectAllFree();
}

TEST_F(BadInputTest, CallsThatNeverSendAConfig) {
  ServingOptions options;
  options.lifetime.config_timeout = std::chrono::milliseconds(50);
  Start(options);
  for (int round = 0; round < 5; ++round) {
    std::vector<std::unique_ptr<StreamClient>> silent;
    for (int i = 0; i < 50; ++i) silent.push_back(std::make_unique<StreamClient>(stub_.get()));
    bystander_->Through(10, [] { std::this_thread::yield(); });
    for (const auto& stream : silent) {
      EXPECT_EQ(stream->Finish().status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
    }
  }
  ExpectAllFree();
}

// HTTP/2 by hand (RFC 9113), as no gRPC client sends anything after the end of its stream.
class RawClient {
 public:
  explicit RawClient(const std::string& address) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    const size_t colon = address.rfind(':');
    int port = 0;
    EXPECT_TRUE(absl::SimpleAtoi(address.substr(colon + 1), &port));
    to.sin_port = htons(static_cast<uint16_t>(port));
    inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
    EXPECT_EQ(connect(socket_, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
    Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    SendFrame(kSettings, 0, 0, "");
  }
  ~RawClient() { close(socket_); }

  // Sends no more, and reads until the server has closed the connection, for ten seconds at most.
  // Connections as fast as they can be made would be another test than this one's.
  void Finish() {
    shutdown(socket_, SHUT_WR);
    const timeval patience = {.tv_sec = 10, .tv_usec = 0};
    setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    char bytes[4096];
    while (recv(socket_, bytes, sizeof(bytes), 0) > 0) continue;
  }

  void BeginCall(uint8_t stream) {
    std::string headers;
    for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
             {":method", "POST"},
             {":scheme", "http"},
             {":path", "/ese.v1.SpeechInference/StreamingInfer"},
             {":authority", "localhost"},
             {"te", "trailers"},
             {"content-type", "application/grpc"}}) {
      // A literal that is not indexed (RFC 7541, 6.2.2).
      absl::StrAppend(&headers, std::string(1, '\0'), Length(name), name, Length(value), value);
    }
    SendFrame(kHeaders, kEndHeaders, stream, headers);
  }
  void SendMessage(uint8_t stream, const v1::StreamingInferRequest& request, bool end) {
    const std::string bytes = request.SerializeAsString();
    SendFrame(
        kData, end ? kEndStream : 0, stream,
        absl::StrCat(std::string(3, '\0'), std::string(1, static_cast<char>(bytes.size() >> 8)),
                     Length(bytes), bytes));
  }

 private:
  static constexpr char kData = 0, kHeaders = 1, kSettings = 4;
  static constexpr char kEndStream = 1, kEndHeaders = 4;

  static std::string Length(const std::string& text) {
    return std::string(1, static_cast<char>(text.size()));
  }
  void SendFrame(char type, char flags, uint8_t stream, const std::string& payload) {
    const auto size = payload.size();
    Send(absl::StrCat(std::string(1, '\0'), std::string(1, static_cast<char>(size >> 8)),
                      Length(payload), std::string(1, type), std::string(1, flags),
                      std::string(3, '\0'), std::string(1, static_cast<char>(stream)), payload));
  }
  void Send(const std::string& bytes) {
    // The server may have closed the connection already.
    send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }

  const int socket_;
};

TEST_F(BadInputTest, ContentAfterTheEndOfTheStream) {
  Start();
  v1::StreamingInferRequest config, chunk;
  *config.mutable_config() = content_.config;
  chunk.set_chunk(content_.bytes.substr(0, content_.sample_bytes));
  bystander_->Through(50, [&] {
    RawClient client(server_->server().address());
    for (uint8_t stream = 1; stream < 9; stream += 2) {
      client.BeginCall(stream);
      client.SendMessage(stream, config, /*end=*/false);
      client.SendMessage(stream, chunk, /*end=*/true);
      for (int i = 0; i < 10; ++i) client.SendMessage(stream, chunk, /*end=*/i % 2 == 0);
    }
    client.Finish();
  });
  // They were streams like others, until then.
  EXPECT_TRUE(Eventually([&] {
    return server_->metrics().Render().find("ese_streams_opened_total{model=\"m\"} 1\n") ==
           std::string::npos;
  }));
  ExpectAllFree();
}

TEST_F(BadInputTest, ManyThatResumeTheSameStreamAtOnce) {
  Start();
  StreamClient original(stub_.get());
  ASSERT_TRUE(original.SendConfig(content_.config));
  ASSERT_TRUE(original.SendChunk(content_.bytes.substr(0, 5 * content_.sample_bytes)));
  ASSERT_TRUE(original.RequestCheckpoint());
  ASSERT_TRUE(original.ReadUntilCheckpoints(1));
  v1::StreamingConfig config = content_.config;
  config.set_resume_token(original.outcome().checkpoint.token());
  original.HalfClose();
  EXPECT_TRUE(original.Finish().status.ok());
  std::vector<std::unique_ptr<v1::SpeechInference::Stub>> stubs;
  for (int i = 0; i < 4; ++i) stubs.push_back(server_->NewStub());
  bystander_->Through(30, [&] {
    std::vector<std::unique_ptr<StreamClient>> streams;
    for (int i = 0; i < 16; ++i) {
      streams.push_back(std::make_unique<StreamClient>(stubs[i % stubs.size()].get()));
    }
    std::atomic<int> resumed = 0, refused = 0;
    std::vector<std::jthread> threads;
    for (const auto& stream : streams) {
      threads.emplace_back([&, stream = stream.get()] {
        stream->SendConfig(config);
        stream->RequestCheckpoint();
        if (stream->ReadUntilCheckpoints(1)) {
          ++resumed;  // and holds it until the others have been told
        } else {
          EXPECT_EQ(stream->Finish().status.error_code(), grpc::StatusCode::ALREADY_EXISTS);
          ++refused;
        }
      });
    }
    threads.clear();
    EXPECT_EQ(resumed, 1);
    EXPECT_EQ(refused, 15);
    for (const auto& stream : streams) stream->Cancel();
    EXPECT_TRUE(Eventually([&] { return server_->open_streams() <= 1; }));
  });
  ExpectAllFree();
}

TEST_F(BadInputTest, AHundredThousandStreamsOpenedAtOnce) {
  constexpr int kAttempts = kSanitized ? 4000 : 100000;
  constexpr int kThreads = 4, kAtOnce = 100;
  ServingOptions options;
  options.scheduler.max_streams = 8;
  Start(options);
  bystander_->Through(1, [] { std::this_thread::yield(); });
  std::vector<std::unique_ptr<StreamClient>> open;
  while (open.size() < 7) {
    open.push_back(std::make_unique<StreamClient>(stub_.get()));
    ASSERT_TRUE(open.back()->SendConfig(content_.config));
    ASSERT_TRUE(open.back()->SendChunk(content_.bytes));
    ASSERT_TRUE(open.back()->ReadUntilChunksDone(1));
  }
  std::atomic<int> refused = 0, others = 0;
  const auto rush = [&](int attempts) {
    const auto stub = server_->NewStub();
    for (int done = 0; done < attempts; done += kAtOnce) {
      std::vector<std::unique_ptr<StreamClient>> streams;
      for (int i = 0; i < kAtOnce; ++i) {
        streams.push_back(std::make_unique<StreamClient>(stub.get()));
        streams.back()->SendConfig(content_.config);
        streams.back()->HalfClose();
      }
      for (const auto& stream : streams) {
        const StreamOutcome outcome = stream->Finish();
        const bool is_refused = outcome.status.error_code() == grpc::StatusCode::UNAVAILABLE &&
                                !outcome.retry_after_ms.empty();
        ++(is_refused ? refused : others);
      }
    }
  };
  const auto rush_in_threads = [&](int attempts) {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kThreads; ++i) threads.emplace_back(rush, attempts / kThreads);
  };
  const int answers = bystander_->answers();
  rush_in_threads(kAttempts / 2);
  const int64_t before = ResidentBytes();
  rush_in_threads(kAttempts / 2);
  EXPECT_EQ(refused, kAttempts);
  EXPECT_EQ(others, 0);
  EXPECT_GT(bystander_->answers(), answers);
  if (!kSanitized) {
    EXPECT_LT(ResidentBytes() - before, 16 << 20);
  }
  for (const auto& stream : open) {
    stream->HalfClose();
    ExpectAnswersOf(content_, stream->Finish());
  }
  open.clear();
  ExpectAllFree();
}

// Admission by the processors, seen from a client. The process uses what the test says.
class SaidBudget final : public ProcessorBudget {
 public:
  double processors() const override { return 1; }
  Duration Taken() const override {
    const TimePoint now = Clock::Real()->Now();
    if (busy) taken_ += now - read_at_;
    read_at_ = now;
    return taken_;
  }

  std::atomic<bool> busy = false;

 private:
  mutable TimePoint read_at_ = Clock::Real()->Now();  // read by one thread at a time
  mutable Duration taken_{0};
};

TEST_F(BadInputTest, AServerWithoutProcessorsToSpareTakesNoStreamButServesItsOwn) {
  SaidBudget budget;
  ServingOptions options;
  options.scheduler.processors = &budget;
  options.scheduler.max_load = 1e9;                            // by the processors only
  options.scheduler.target_latency = std::chrono::seconds(3);  // not by the waits
  server_ = std::make_unique<TestServer>(std::vector{model_}, 1, options);
  stub_ = server_->NewStub();
  StreamClient open(stub_.get());
  ASSERT_TRUE(open.SendConfig(content_.config));
  const size_t half = 10 * content_.sample_bytes;
  ASSERT_TRUE(open.SendChunk(content_.bytes.substr(0, half)));
  ASSERT_TRUE(open.ReadUntilChunksDone(1));
  const auto attempt = [&] { return RunStream(stub_.get(), content_.config, {content_.bytes}); };
  EXPECT_TRUE(Eventually([&] { return attempt().status.ok(); }));
  budget.busy = true;
  StreamOutcome refused;
  EXPECT_TRUE(Eventually([&] {
    refused = attempt();
    return !refused.status.ok();
  }));
  EXPECT_EQ(refused.status.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(refused.status.error_message(), HasSubstr("of this server's processors"));
  EXPECT_NE(refused.retry_after_ms, "");
  ASSERT_TRUE(open.SendChunk(content_.bytes.substr(half)));
  open.HalfClose();
  ExpectAnswersOf(content_, open.Finish());
  budget.busy = false;
  EXPECT_TRUE(Eventually([&] { return attempt().status.ok(); }));
  server_->server().Stop();
  server_.reset();  // before the budget
}

}  // namespace
}  // namespace ese
