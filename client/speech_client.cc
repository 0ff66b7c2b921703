// SPDX-License-Identifier: Apache-2.0
#include "client/speech_client.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/retry_after.h"
#include "base/status.h"
#include "client/speech_call.h"
#include "client/tls_diagnosis.h"

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
    case grpc::StatusCode::UNAUTHENTICATED:
      absl::StrAppend(&message,
                      "; give a token that the server knows, with --token-file FILE or in the "
                      "environment variable ESE_TOKEN");
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

absl::Status AwaitConnection(grpc::Channel& channel, const ClientOptions& options) {
  const auto deadline = DeadlineAfter(options.timeout);
  grpc_connectivity_state state = channel.GetState(/*try_to_connect=*/true);
  while (state != GRPC_CHANNEL_READY) {
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN) {
      return DiagnoseConnection(options.address, options.access, options.timeout);
    }
    if (!channel.WaitForStateChange(state, deadline)) {
      return absl::DeadlineExceededError(absl::StrCat(
          "no connection to ", options.address, " within ", ToSeconds(options.timeout),
          " s; check the address (--server) and the network, or wait longer (--timeout)"));
    }
    state = channel.GetState(/*try_to_connect=*/true);
  }
  return absl::OkStatus();
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
  ESE_ASSIGN_OR_RETURN(std::shared_ptr<grpc::Channel> channel,
                       MakeChannel(options.address, options.access));
  return std::unique_ptr<SpeechClient>(new SpeechClient(options, std::move(channel)));
}

absl::Status SpeechClient::AwaitConnection() const {
  return ese::AwaitConnection(*channel_, options_);
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
