// SPDX-License-Identifier: Apache-2.0
#include "server/server_credentials.h"

#include <cstdlib>
#include <utility>

#include "grpc/grpc.h"

namespace ese {
namespace {

constexpr char kAuthorization[] = "authorization";

using Check = std::function<absl::Status(const CallHeaders&)>;

absl::string_view AsText(const grpc_slice& slice) {
  return {reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)), GRPC_SLICE_LENGTH(slice)};
}

void Process(void* check, grpc_auth_context* context, const grpc_metadata* metadata, size_t count,
             grpc_process_auth_metadata_done_cb done, void* call) {
  CallHeaders headers;
  for (size_t i = 0; i < count; ++i) {
    const absl::string_view key = AsText(metadata[i].key);
    if (key == ":path") headers.method = std::string(AsText(metadata[i].value));
    if (key == kAuthorization) headers.authorization.emplace_back(AsText(metadata[i].value));
  }
  auto names = grpc_auth_context_find_properties_by_name(context, GRPC_X509_CN_PROPERTY_NAME);
  if (const grpc_auth_property* name = grpc_auth_property_iterator_next(&names)) {
    headers.certificate_name.assign(name->value, name->value_length);
  }
  const absl::Status status = (*static_cast<const Check*>(check))(headers);
  const std::string message(status.message());
  done(call, nullptr, 0, nullptr, 0, static_cast<grpc_status_code>(status.code()),
       status.ok() ? nullptr : message.c_str());
}

}  // namespace

CallHeaders CallHeaders::Of(const std::string& method, const grpc::ServerContextBase& context) {
  CallHeaders headers{.method = method, .authorization = {}, .certificate_name = {}};
  const auto [begin, end] = context.client_metadata().equal_range(kAuthorization);
  for (auto each = begin; each != end; ++each) {
    headers.authorization.emplace_back(each->second.data(), each->second.size());
  }
  const auto names = context.auth_context()->FindPropertyValues(GRPC_X509_CN_PROPERTY_NAME);
  if (!names.empty()) headers.certificate_name.assign(names[0].data(), names[0].size());
  return headers;
}

void CheckCalls(grpc_server_credentials* credentials, Check check) {
  grpc_server_credentials_set_auth_metadata_processor(
      credentials, {.process = Process,
                    .destroy = [](void* state) { delete static_cast<Check*>(state); },
                    .state = new Check(std::move(check))});
}

CoreServerCredentials::~CoreServerCredentials() { grpc_server_credentials_release(credentials_); }

void CoreServerCredentials::SetAuthMetadataProcessor(
    const std::shared_ptr<grpc::AuthMetadataProcessor>& /*processor*/) {
  std::abort();
}

int CoreServerCredentials::AddPortToServer(const std::string& address, grpc_server* server) {
  return grpc_server_add_http2_port(server, address.c_str(), credentials_);
}

}  // namespace ese
