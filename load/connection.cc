// SPDX-License-Identifier: Apache-2.0
#include "load/connection.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "base/status.h"
#include "client/dial.h"
#include "client/speech_client.h"
#include "grpcpp/create_channel_posix.h"

namespace ese {

absl::StatusOr<std::unique_ptr<LoadConnection>> LoadConnection::Dial(const std::string& address,
                                                                     Duration timeout,
                                                                     const AccessOptions& access) {
  if (access.tls) {
    ESE_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::Channel> channel,
                         MakeChannel(address, access));
    ESE_RETURN_IF_ERROR(ese::AwaitConnection(*channel, {address, timeout, access}));
    return std::unique_ptr<LoadConnection>(new LoadConnection(address, -1, channel));
  }
  ESE_ASSIGN_OR_RETURN(ChannelInterceptors interceptors, MakeTokenInterceptors(address, access));
  ESE_ASSIGN_OR_RETURN(UniqueFd fd, DialSocket(address, timeout));
  // A duplicate, because gRPC closes its own at any time.
  const int own = fcntl(fd.get(), F_DUPFD_CLOEXEC, 0);
  return std::unique_ptr<LoadConnection>(new LoadConnection(
      address, own,
      grpc::experimental::CreateCustomInsecureChannelWithInterceptorsFromFd(
          address, fd.Release(), MakeChannelArguments(), std::move(interceptors))));
}

LoadConnection::LoadConnection(std::string address, int fd,
                               const std::shared_ptr<grpc::Channel>& channel)
    : address_(std::move(address)), fd_(fd), stub_(v1::SpeechInference::NewStub(channel)) {}

LoadConnection::~LoadConnection() {
  if (fd_ >= 0) close(fd_);
}

void LoadConnection::Cut() {
  broken_ = true;
  shutdown(fd_, SHUT_RDWR);
}

LoadConnections::LoadConnections(std::vector<std::string> addresses, int count, Duration timeout,
                                 AccessOptions access)
    : addresses_(std::move(addresses)),
      count_(count),
      timeout_(timeout),
      access_(std::move(access)),
      connections_(addresses_.size() * count) {}

absl::StatusOr<std::shared_ptr<LoadConnection>> LoadConnections::Get(size_t server, int number) {
  std::shared_ptr<LoadConnection>& connection = connections_[server * count_ + number % count_];
  if (!connection || connection->broken()) {
    ESE_ASSIGN_OR_RETURN(connection, LoadConnection::Dial(addresses_[server], timeout_, access_));
  }
  return connection;
}

bool LoadConnections::CutNext() {
  for (size_t i = 0; i < connections_.size(); ++i) {
    const auto& connection = connections_[next_cut_++ % connections_.size()];
    if (!connection || connection->broken()) continue;
    connection->Cut();
    return true;
  }
  return false;
}

}  // namespace ese
