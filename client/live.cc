// SPDX-License-Identifier: Apache-2.0
#include "client/live.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/status.h"
#include "client/recognize.h"

namespace ese {
namespace {

void PrintUnits(const v1::StreamingInferResponse& response, bool times, std::ostream& out) {
  for (const v1::RecognizedUnit& unit : response.units()) {
    if (times) {
      out << absl::StreamFormat("%8.3f s  %s\n", unit.start_seconds(), unit.symbol());
    } else {
      out << unit.symbol() << ' ';
    }
    out.flush();
  }
}

}  // namespace

InterruptibleInput::InterruptibleInput(int fd) : fd_(fd), wake_(eventfd(0, EFD_CLOEXEC)) {}
InterruptibleInput::~InterruptibleInput() {
  if (wake_ >= 0) close(wake_);
}

size_t InterruptibleInput::Read(char* buffer, size_t size) {
  size_t filled = 0;
  while (filled < size) {
    pollfd waits[2] = {{fd_, POLLIN, 0}, {wake_, POLLIN, 0}};
    if (poll(waits, 2, /*timeout=*/-1) < 0) {
      if (errno == EINTR) continue;
      break;
    }
    if (waits[1].revents != 0) break;
    const ssize_t got = read(fd_, buffer + filled, size - filled);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (got <= 0) break;
    filled += static_cast<size_t>(got);
  }
  return filled;
}

void InterruptibleInput::Interrupt() {
  // Fails only after 2^64 - 2 earlier interrupts.
  eventfd_write(wake_, 1);
}

absl::Status RunLive(const ResumingClientOptions& servers, const LiveOptions& options,
                     Console& console) {
  ESE_ASSIGN_OR_RETURN(const std::unique_ptr<ResumingClient> client,
                       ResumingClient::Connect(servers));
  ESE_ASSIGN_OR_RETURN(const v1::Model model, client->FindModel(options.model));
  ESE_ASSIGN_OR_RETURN(ContentEncoder encoder,
                       ContentEncoder::Create(model, options.input, options.rate_hz));
  InterruptibleInput input(console.in);
  if (!input.ok())
    return absl::ErrnoToStatus(
        errno, "eventfd: the system is out of file descriptors; close other programs");

  std::vector<int16_t> block(std::max(1, options.rate_hz / kBlocksPerSecond));
  const size_t block_bytes = block.size() * sizeof(int16_t);
  bool odd = false;
  RecognizeHooks hooks;
  hooks.next_chunk = [&](std::string* chunk) -> absl::StatusOr<bool> {
    const size_t bytes = input.Read(reinterpret_cast<char*>(block.data()), block_bytes);
    const bool last = bytes < block_bytes;
    odd = bytes % sizeof(int16_t) != 0;
    const auto samples = absl::MakeConstSpan(block).first(bytes / sizeof(int16_t));
    ESE_RETURN_IF_ERROR(encoder.Encode(samples, last, chunk));
    return !last;
  };
  hooks.on_response = [&](const v1::StreamingInferResponse& response) {
    PrintUnits(response, options.times, console.out);
  };
  hooks.interrupt = [&] { input.Interrupt(); };
  const absl::Status status = Recognize(*client, model, options.input, hooks);
  if (!options.times) console.out << '\n';
  console.out.flush();
  if (odd && status.ok()) {
    console.err
        << "ese-client: standard input ended in the middle of a sample; is it 16-bit mono PCM?\n";
  }
  return status;
}

}  // namespace ese
