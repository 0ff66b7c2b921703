// SPDX-License-Identifier: Apache-2.0
// Streams audio from standard input to ese-server and prints each recognised unit after its time in
// seconds. The audio is signed 16-bit little-endian samples, mono, at the model's rate.
//
//   arecord -q -f S16_LE -r 16000 -t raw | recognize HOST:PORT[,HOST:PORT...] [MODEL]
//
// If a server drains or dies, the stream continues on the next one from its last checkpoint.
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_split.h"
#include "ese/client/resuming_stream.h"
#include "ese/v1/speech.pb.h"

namespace {

constexpr size_t kChunkBytes = 3200;  // 100 ms at 16 kHz

absl::Status SendSamples(std::FILE* input, ese::ResumingStream& stream) {
  std::string chunk(kChunkBytes, '\0');
  while (const size_t samples = std::fread(chunk.data(), 2, kChunkBytes / 2, input)) {
    // An error means that the stream has ended.
    if (absl::Status status = stream.Send(chunk.substr(0, 2 * samples)); !status.ok())
      return status;
  }
  if (std::ferror(input)) {
    stream.Cancel();
    return absl::DataLossError("standard input could not be read");
  }
  return stream.HalfClose();
}

absl::Status PrintUnits(ese::ResumingStream& stream) {
  bool final = false;
  ese::v1::StreamingInferResponse response;
  while (true) {
    const absl::StatusOr<bool> more = stream.Receive(&response);
    if (!more.ok()) return more.status();
    if (!*more) break;
    for (const ese::v1::RecognizedUnit& unit : response.units()) {
      std::printf("%.3f %s\n", unit.start_seconds(), unit.symbol().c_str());
    }
    std::fflush(stdout);
    final = response.is_final();
  }
  if (!final) return absl::InternalError("the call ended without a final response");
  return absl::OkStatus();
}

absl::Status Recognize(const std::string& servers, const std::string& model) {
  ese::ResumingClientOptions options;
  options.addresses = absl::StrSplit(servers, ',');
  const auto client = ese::ResumingClient::Connect(options);
  if (!client.ok()) return client.status();

  ese::v1::StreamingConfig config;
  config.set_model(model);
  config.mutable_audio();  // no rate is set, which means the model's rate
  config.set_return_units(true);
  const std::unique_ptr<ese::ResumingStream> stream = (*client)->Open(config);

  // Send and receive at the same time: the server stops reading when its answers are not read.
  absl::Status received;
  std::thread receiver([&] { received = PrintUnits(*stream); });
  absl::Status status = SendSamples(stdin, *stream);
  receiver.join();
  status.Update(received);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) {
    std::cerr << "usage: recognize HOST:PORT[,HOST:PORT...] [MODEL] < SAMPLES\n";
    return 2;
  }
  const absl::Status status = Recognize(argv[1], argc == 3 ? argv[2] : "");
  if (!status.ok()) {
    std::cerr << "recognize: " << status << "\n";
    return 1;
  }
  return 0;
}
