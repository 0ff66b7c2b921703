// SPDX-License-Identifier: Apache-2.0
#include "client/speech_client.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/retry_after.h"
#include "base/status.h"
#include "client/speech_call.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

namespace ese {
namespace {

std::chrono::system_clock::time_point DeadlineAfter(Duration timeout) {
  return std::chrono::system_clock::now() +
         std::chrono::duration_cast<std::chrono::system_clock::duration>(timeout);
}

std::string Names(const v1::ListModelsResponse& models) {
  return absl::StrJoin(models.models(), ", ", [](std::string* out, const v1::Model& model) {
    absl::StrAppend(out, model.name());
  });
}

}  // namespace

absl::Status FromGrpc(const grpc::Status& status, const std::string& address) {
  if (status.ok()) return absl::OkStatus();
  std::string message = absl::StrCat("server ", address, ": ", status.error_message());
  switch (status.error_code()) {
    case grpc::StatusCode::UNAVAILABLE:
      absl::StrAppend(&message, "; check whether it is running and has room, or try again later");
      break;
    case grpc::StatusCode::UNIMPLEMENTED:
      absl::StrAppend(&message, "; it does not offer ese.v1.SpeechInference: is it an ese-server?");
      break;
    case grpc::StatusCode::CANCELLED:
      absl::StrAppend(&message,
                      "; the call was cancelled, either here or by a server that shut down");
      break;
    default:
      break;
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), message);
}

absl::Status FromGrpc(const grpc::Status& status, const std::string& address,
                      const grpc::ClientContext& context) {
  absl::Status result = FromGrpc(status, address);
  if (result.ok()) return result;
  const auto& metadata = context.GetServerTrailingMetadata();
  const auto at = metadata.find("retry-after-ms");
  int64_t milliseconds = 0;
  if (at != metadata.end() &&
      absl::SimpleAtoi(absl::string_view(at->second.data(), at->second.size()), &milliseconds) &&
      milliseconds >= 0) {
    SetRetryAfter(std::chrono::milliseconds(milliseconds), &result);
  }
  return result;
}

grpc::ChannelArguments MakeChannelArguments() {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // Look for a server that restarts at least once a second; gRPC's default is two minutes.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  // Log-posteriors of a large chunk may exceed gRPC's limit of 4 MB.
  arguments.SetMaxReceiveMessageSize(64 << 20);
  return arguments;
}

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& address) {
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(),
                                   MakeChannelArguments());
}

absl::StatusOr<std::unique_ptr<SpeechClient>> SpeechClient::Connect(const ClientOptions& options) {
  ESE_ASSIGN_OR_RETURN(std::unique_ptr<SpeechClient> client, Create(options));
  ESE_RETURN_IF_ERROR(client->AwaitConnection());
  return client;
}

absl::StatusOr<std::unique_ptr<SpeechClient>> SpeechClient::Create(const ClientOptions& options) {
  if (options.address.empty()) {
    return absl::InvalidArgumentError("the server's address is empty; give it as HOST:PORT");
  }
  return std::unique_ptr<SpeechClient>(new SpeechClient(options, MakeChannel(options.address)));
}

absl::Status SpeechClient::AwaitConnection() const {
  const auto deadline = DeadlineAfter(options_.timeout);
  grpc_connectivity_state state = channel_->GetState(/*try_to_connect=*/true);
  while (state != GRPC_CHANNEL_READY) {
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN) {
      return absl::UnavailableError(absl::StrCat(
          "nothing listens at ", options_.address,
          "; start ese-server there, or name the server's address with --server HOST:PORT"));
    }
    if (!channel_->WaitForStateChange(state, deadline)) {
      return absl::DeadlineExceededError(absl::StrCat(
          "no connection to ", options_.address, " within ", ToSeconds(options_.timeout),
          " s; check the address (--server) and the network, or wait longer (--timeout)"));
    }
    state = channel_->GetState(/*try_to_connect=*/true);
  }
  return absl::OkStatus();
}

SpeechClient::SpeechClient(ClientOptions options, std::shared_ptr<grpc::Channel> channel)
    : options_(std::move(options)),
      channel_(std::move(channel)),
      stub_(v1::SpeechInference::NewStub(channel_)) {}

absl::StatusOr<v1::ListModelsResponse> SpeechClient::ListModels() const {
  grpc::ClientContext context;
  context.set_deadline(DeadlineAfter(options_.timeout));
  v1::ListModelsResponse response;
  ESE_RETURN_IF_ERROR(
      FromGrpc(stub_->ListModels(&context, v1::ListModelsRequest(), &response), options_.address));
  return response;
}

absl::StatusOr<v1::Model> SpeechClient::FindModel(const std::string& name) const {
  ESE_ASSIGN_OR_RETURN(const v1::ListModelsResponse models, ListModels());
  if (models.models().empty()) {
    return absl::NotFoundError(
        absl::StrCat("server ", options_.address, " serves no model; start it with one"));
  }
  if (name.empty()) {
    if (models.models_size() == 1) return models.models(0);
    return absl::InvalidArgumentError(
        absl::StrCat("server ", options_.address,
                     " serves several models; choose with --model: ", Names(models)));
  }
  for (const v1::Model& model : models.models()) {
    if (model.name() == name) return model;
  }
  return absl::NotFoundError(absl::StrCat("server ", options_.address, " has no model \"", name,
                                          "\"; choose with --model: ", Names(models)));
}

std::unique_ptr<SpeechStream> SpeechClient::Open(const v1::StreamingConfig& config) const {
  auto call = std::make_unique<SpeechStream::Call>(stub_, options_);
  call->Start(config);
  return std::unique_ptr<SpeechStream>(new SpeechStream(std::move(call)));
}

SpeechStream::SpeechStream(std::unique_ptr<Call> call) : call_(std::move(call)) {}
SpeechStream::~SpeechStream() { call_->CancelAndWait(); }
absl::Status SpeechStream::Send(std::string chunk) { return call_->Send(std::move(chunk)); }
absl::Status SpeechStream::HalfClose() { return call_->HalfClose(); }
absl::StatusOr<bool> SpeechStream::Receive(v1::StreamingInferResponse* response) {
  return call_->Receive(response);
}
void SpeechStream::Cancel() { call_->Cancel(); }

}  // namespace ese
