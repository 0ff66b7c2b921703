// SPDX-License-Identifier: Apache-2.0
// Restarts under load. Of two replicas one is drained and the other is killed, and both come back.
// No stream loses a frame, and no bit differs.
#include <signal.h>

#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/test_paths.h"
#include "client/resuming_stream.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/testing.h"
#include "tests/program.h"
#include "tests/stream_client.h"
#include "tests/temp_folder.h"

namespace ese {
namespace {

constexpr int kStreams = 30;
constexpr int kFrames = 300;

// Makes threads wait at stages of their work until the test lets them continue.
class Stages {
 public:
  // Called by thread `thread` when it reaches the stage. Waits until the stage is open for it.
  void Arrive(int stage, int thread) {
    std::unique_lock<std::mutex> lock(mutex_);
    ++arrived_[stage];
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_[stage][thread % 2]; });
  }
  // Waits until all threads have reached the stage.
  void AwaitAll(int stage) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return arrived_[stage] == kStreams; });
  }
  // Opens the stage for the threads whose number modulo 2 is `remainder`.
  void Open(int stage, int remainder) {
    std::lock_guard<std::mutex> lock(mutex_);
    open_[stage][remainder] = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_[2] = {};
  bool open_[2][2] = {};
};

// An ese-server that can be started again at its address.
class Replica {
 public:
  // The folder holds model.ese and the key for checkpoints.
  Replica(const TempFolder& folder, const std::string& name)
      : model_(folder.Path("model.ese")),
        key_(folder.Path("key")),
        ready_(folder.Path(name + ".ready")) {
    Start();
  }

  void Start() {
    std::filesystem::remove(ready_);
    program_.emplace(
        BinaryDir() + "/bin/ese-server",
        std::vector<std::string>{"--model", model_, "--checkpoint-key", key_, "--listen", address_,
                                 "--metrics", "", "--channels", "1", "--drain-seconds", "60",
                                 "--ready-file", ready_, "--max-load", "0"});
    address_ = WaitForGrpcAddress(ready_);
    EXPECT_NE(address_, "") << program_->error_output();
  }
  int End(int signal) {
    program_->Signal(signal);
    return program_->Wait();
  }
  const std::string& address() const { return address_; }

 private:
  const std::string model_;
  const std::string key_;
  const std::string ready_;
  std::string address_ = "127.0.0.1:0";
  std::optional<Program> program_;
};

struct Played {
  absl::Status status;
  std::vector<float> log_posteriors;
  std::vector<DecodedUnit> units;
  int64_t resumed = 0;
};

// Plays the content and stops after each third of it. Sends each chunk when the previous one is
// answered.
Played Play(const StreamContent& content, int number, const ResumingClientOptions& options,
            Stages& stages) {
  Played played;
  const auto client = ResumingClient::Connect(options);
  if (!client.ok()) return {client.status(), {}, {}, 0};
  const auto stream = (*client)->Open(content.config);
  v1::StreamingInferResponse response;
  const auto receive = [&] {
    const absl::StatusOr<bool> more = stream->Receive(&response);
    played.status = more.status();
    if (!more.ok() || !*more) return false;
    const std::vector<float> values = ToFloats(response.log_posteriors());
    played.log_posteriors.insert(played.log_posteriors.end(), values.begin(), values.end());
    for (const v1::RecognizedUnit& unit : response.units()) {
      played.units.push_back({unit.index(), unit.frame()});
    }
    return true;
  };
  const size_t chunk_bytes =
      (content.bytes.size() / content.sample_bytes / 60) * content.sample_bytes;
  int64_t sent = 0;
  int stage = 0;
  for (size_t at = 0; at < content.bytes.size(); at += chunk_bytes) {
    if (stage < 2 && at >= content.bytes.size() * (stage + 1) / 3) stages.Arrive(stage++, number);
    if (!stream->Send(content.bytes.substr(at, chunk_bytes)).ok()) break;
    ++sent;
    while (receive() && response.chunks_done() < sent) {
    }
  }
  while (stage < 2) stages.Arrive(stage++, number);  // if the stream was lost
  if (played.status.ok() && stream->HalfClose().ok()) {
    while (receive()) {
    }
  }
  played.resumed = stream->resumed();
  return played;
}

TEST(RestartTest, NoStreamIsLostAndNoBitDiffersAfterADrainAndAKill) {
  const TempFolder folder("restart_test");
  ModelDraft draft = RandomModelDraft({.inputs = 12, .layers = {{.cells = 64, .projection = 32}}});
  draft.name = "restarted";
  draft.blank = 0;
  const std::string bytes = *SerializeModel(draft);
  folder.Write("model.ese", bytes);
  folder.Write("key", std::string(32, 'k'));
  const std::shared_ptr<const Model> model = *Model::FromBytes(bytes);

  Replica drained(folder, "drained");
  Replica killed(folder, "killed");
  std::vector<StreamContent> contents;
  for (int i = 0; i < kStreams; ++i) {
    contents.push_back(
        MakeContent(*model, i % 3 == 0 ? ContentKind::kFloat32 : ContentKind::kInt16, kFrames, i));
  }
  Stages stages;
  std::vector<Played> played(kStreams);
  std::vector<std::thread> threads;
  for (int i = 0; i < kStreams; ++i) {
    ResumingClientOptions options;
    options.addresses = {drained.address(), killed.address()};
    if (i % 3 == 1) std::swap(options.addresses[0], options.addresses[1]);
    options.timeout = std::chrono::minutes(1);
    options.checkpoint_every_frames = 7;
    options.reconnect.first_wait = std::chrono::milliseconds(10);
    threads.emplace_back([&, i, options] { played[i] = Play(contents[i], i, options, stages); });
  }

  // One server drains while half of the streams are sending and half are silent. All of them leave
  // it.
  stages.AwaitAll(0);
  stages.Open(0, 0);
  EXPECT_EQ(drained.End(SIGTERM), 0);
  stages.Open(0, 1);
  drained.Start();
  // The other is killed in the same way. The silent streams are certainly still on it then.
  stages.AwaitAll(1);
  stages.Open(1, 0);
  EXPECT_EQ(killed.End(SIGKILL), 128 + SIGKILL);
  stages.Open(1, 1);
  killed.Start();
  for (std::thread& thread : threads) thread.join();

  for (int i = 0; i < kStreams; ++i) {
    SCOPED_TRACE(i);
    EXPECT_TRUE(played[i].status.ok()) << played[i].status;
    EXPECT_EQ(played[i].log_posteriors, contents[i].log_posteriors);
    EXPECT_EQ(played[i].units, contents[i].units);
    const int begun_at_drained = i % 3 == 1 ? 0 : 1;
    const int silent_at_kill = i % 2;
    EXPECT_GE(played[i].resumed, begun_at_drained + silent_at_kill);
  }
}

}  // namespace
}  // namespace ese
