// SPDX-License-Identifier: Apache-2.0
// How a client proves who it is, and how it encrypts: TLS, client certificates and bearer tokens.
// Every program of this project makes its channels here. Functions are thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/channel.h"
#include "grpcpp/support/channel_arguments.h"
#include "grpcpp/support/client_interceptor.h"

namespace ese {

// All files but the token are PEM. Files are read whenever a channel is made.
struct AccessOptions {
  bool tls = false;
  std::string ca_file;           // who may sign the server's certificate; empty: the system's list
  std::string certificate_file;  // the client's own certificate and chain, for mutual TLS
  std::string key_file;          // its private key
  std::string server_name;       // expected in the certificate; empty: the host of the address
  std::string token_file;        // holds the bearer token; empty: `token`
  std::string token;             // empty: none
  // Tokens go unencrypted only to this machine (loopback and Unix sockets) unless this is set.
  bool token_over_plaintext = false;
};

// The contents of the files that AccessOptions names.
struct AccessFiles {
  std::string ca;
  std::string certificate;
  std::string key;
  std::string token;
};

// Reads and checks the files. NOT_FOUND if one cannot be read; INVALID_ARGUMENT if the options
// contradict each other, a file does not hold what it should or the key is of another certificate;
// FAILED_PRECONDITION if the client's certificate has expired.
absl::StatusOr<AccessFiles> ReadAccessFiles(const AccessOptions& options);

using ChannelInterceptors =
    std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>;

// Returns the interceptor that adds the token to each call, or none if there is no token. Errors
// are those of ReadAccessFiles, and FAILED_PRECONDITION if the token would go unencrypted to
// another machine.
absl::StatusOr<ChannelInterceptors> MakeTokenInterceptors(const std::string& address,
                                                          const AccessOptions& options);

// Makes a channel to HOST:PORT or unix:PATH that is not connected yet. It never shares a connection
// with another channel. Errors are those of MakeTokenInterceptors.
absl::StatusOr<std::shared_ptr<grpc::Channel>> MakeChannel(const std::string& address,
                                                           const AccessOptions& options);
// The settings of these channels.
grpc::ChannelArguments MakeChannelArguments();

}  // namespace ese
