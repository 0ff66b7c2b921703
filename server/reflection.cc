// SPDX-License-Identifier: Apache-2.0
#include "server/reflection.h"

#include <chrono>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "server/message_bytes.h"

namespace ese {

using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using grpc::reflection::v1alpha::ServerReflectionRequest;
using grpc::reflection::v1alpha::ServerReflectionResponse;

namespace {

// A call that does nothing for this long is ended, so that it does not keep others out.
constexpr Duration kPatience = std::chrono::seconds(30);

const DescriptorPool& Pool() { return *DescriptorPool::generated_pool(); }

// Adds the file after those that it imports.
void AddFile(const FileDescriptor& file, std::set<const FileDescriptor*>* seen,
             grpc::reflection::v1alpha::FileDescriptorResponse* out) {
  if (!seen->insert(&file).second) return;
  for (int i = 0; i < file.dependency_count(); ++i) AddFile(*file.dependency(i), seen, out);
  google::protobuf::FileDescriptorProto proto;
  file.CopyTo(&proto);
  out->add_file_descriptor_proto(proto.SerializeAsString());
}

absl::Status AnswerFile(const FileDescriptor* file, const std::string& what,
                        ServerReflectionResponse* response) {
  if (file == nullptr) return absl::NotFoundError(absl::StrCat("this server has no ", what));
  std::set<const FileDescriptor*> seen;
  AddFile(*file, &seen, response->mutable_file_descriptor_response());
  return absl::OkStatus();
}

absl::Status AnswerExtension(const grpc::reflection::v1alpha::ExtensionRequest& request,
                             ServerReflectionResponse* response) {
  const auto* type = Pool().FindMessageTypeByName(request.containing_type());
  const FieldDescriptor* extension =
      type == nullptr ? nullptr : Pool().FindExtensionByNumber(type, request.extension_number());
  return AnswerFile(extension == nullptr ? nullptr : extension->file(),
                    absl::StrCat("extension ", request.extension_number(), " of type \"",
                                 request.containing_type(), "\""),
                    response);
}

absl::Status AnswerExtensions(const std::string& name, ServerReflectionResponse* response) {
  const auto* type = Pool().FindMessageTypeByName(name);
  if (type == nullptr) {
    return absl::NotFoundError(absl::StrCat("this server has no type \"", name, "\""));
  }
  auto* out = response->mutable_all_extension_numbers_response();
  out->set_base_type_name(name);
  std::vector<const FieldDescriptor*> extensions;
  Pool().FindAllExtensions(type, &extensions);
  for (const FieldDescriptor* extension : extensions) {
    out->add_extension_number(extension->number());
  }
  return absl::OkStatus();
}

absl::Status Answer(const ServerReflectionRequest& request,
                    const std::vector<std::string>& services, ServerReflectionResponse* response) {
  switch (request.message_request_case()) {
    case ServerReflectionRequest::kFileByFilename:
      return AnswerFile(Pool().FindFileByName(request.file_by_filename()),
                        absl::StrCat("file \"", request.file_by_filename(), "\""), response);
    case ServerReflectionRequest::kFileContainingSymbol:
      return AnswerFile(Pool().FindFileContainingSymbol(request.file_containing_symbol()),
                        absl::StrCat("symbol \"", request.file_containing_symbol(), "\""),
                        response);
    case ServerReflectionRequest::kFileContainingExtension:
      return AnswerExtension(request.file_containing_extension(), response);
    case ServerReflectionRequest::kAllExtensionNumbersOfType:
      return AnswerExtensions(request.all_extension_numbers_of_type(), response);
    case ServerReflectionRequest::kListServices:
      for (const std::string& name : services) {
        response->mutable_list_services_response()->add_service()->set_name(name);
      }
      return absl::OkStatus();
    case ServerReflectionRequest::MESSAGE_REQUEST_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("the request asks for nothing; set one of its fields");
}

}  // namespace

ServerReflectionResponse Reflect(const ServerReflectionRequest& request,
                                 const std::vector<std::string>& services) {
  ServerReflectionResponse response;
  response.set_valid_host(request.host());
  *response.mutable_original_request() = request;
  const absl::Status status = Answer(request, services, &response);
  if (!status.ok()) {
    response.mutable_error_response()->set_error_code(static_cast<int>(status.code()));
    response.mutable_error_response()->set_error_message(std::string(status.message()));
  }
  return response;
}

// Reads a request, writes its response, and so on until the client half-closes the call.
class Reflection::Call final : public CallHandler {
 public:
  Call(RpcCall* call, Reflection* reflection) : call_(call), reflection_(reflection) {}

 private:
  void OnStart() override { Read(); }

  void OnReadDone(bool ok) override {
    if (finished_) return;
    if (!ok) return Finish(absl::OkStatus());
    ServerReflectionRequest request;
    if (const absl::Status status = ParseRequest(&message_, &request); !status.ok()) {
      return Finish(status);
    }
    call_->NoteUseful();
    auto response = SerializeResponse(Reflect(request, reflection_->services_));
    if (!response.ok()) return Finish(response.status());
    message_ = *std::move(response);
    SetTimer();
    writing_ = true;
    call_->Write(message_);
  }

  void OnWriteDone(bool ok) override {
    writing_ = false;
    if (finished_) return;
    if (!ok) return Finish(absl::CancelledError("the client has gone away"));
    Read();
  }

  void OnCancel() override {
    if (finished_ || writing_) return;  // the write will fail
    Finish(call_->WhyCancelled());
  }

  void OnTimer() override {
    if (finished_ || writing_) return call_->Cancel();
    Finish(absl::DeadlineExceededError(
        absl::StrCat("no request came for ", ToSeconds(kPatience), " s; start another call")));
  }

  void OnDone() override { --reflection_->calls_; }

  void SetTimer() { call_->SetTimer(Clock::Real()->Now() + kPatience); }

  void Read() {
    SetTimer();
    message_.Clear();
    call_->Read(&message_);
  }

  void Finish(const absl::Status& status) {
    finished_ = true;
    call_->Finish(status);
  }

  RpcCall* const call_;
  Reflection* const reflection_;
  grpc::ByteBuffer message_;  // belongs to gRPC while it is read or written
  bool writing_ = false;
  bool finished_ = false;
};

Reflection::Reflection(std::vector<std::string> services) : services_(std::move(services)) {
  services_.emplace_back("grpc.reflection.v1alpha.ServerReflection");
}

std::shared_ptr<CallHandler> Reflection::Handle(RpcCall* call) {
  if (++calls_ > kMaxCalls) {
    --calls_;
    return std::make_shared<RefusedCall>(
        call, absl::ResourceExhaustedError(absl::StrCat(
                  "this server answers at most ", kMaxCalls,
                  " calls of reflection at once; end the calls that are not used, or try again "
                  "later")));
  }
  return std::make_shared<Call>(call, this);
}

}  // namespace ese
