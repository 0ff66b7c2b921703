// SPDX-License-Identifier: Apache-2.0
// Reflection as grpcurl uses it, and what many open calls of it cost the server.
#include "server/reflection.h"

#include <filesystem>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/descriptor.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "grpc/reflection/v1alpha/reflection.grpc.pb.h"
#include "gtest/gtest.h"
#include "model/testing.h"
#include "tests/stream_client.h"
#include "tests/test_server.h"

namespace ese {
namespace {

using grpc::reflection::v1alpha::ServerReflection;
using grpc::reflection::v1alpha::ServerReflectionRequest;
using grpc::reflection::v1alpha::ServerReflectionResponse;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class ReflectionCall {
 public:
  explicit ReflectionCall(ServerReflection::Stub* stub)
      : stream_(stub->ServerReflectionInfo(&context_)) {}

  // Returns false if the call has ended.
  bool Ask(const ServerReflectionRequest& request) {
    return stream_->Write(request) && stream_->Read(&response_);
  }
  grpc::Status Finish() {
    stream_->WritesDone();
    return stream_->Finish();
  }
  void Cancel() { context_.TryCancel(); }
  const ServerReflectionResponse& response() const { return response_; }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<ServerReflectionRequest, ServerReflectionResponse>>
      stream_;
  ServerReflectionResponse response_;
};

ServerReflectionRequest ListServices() {
  ServerReflectionRequest request;
  request.set_list_services("*");
  return request;
}

ServerReflectionRequest Symbol(const std::string& name) {
  ServerReflectionRequest request;
  request.set_file_containing_symbol(name);
  return request;
}

std::vector<std::string> Files(const ServerReflectionResponse& response) {
  std::vector<std::string> names;
  for (const std::string& bytes : response.file_descriptor_response().file_descriptor_proto()) {
    google::protobuf::FileDescriptorProto file;
    EXPECT_TRUE(file.ParseFromString(bytes));
    names.push_back(file.name());
  }
  return names;
}

// Threads of this process, which are also the server's.
auto Threads() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"),
                       std::filesystem::directory_iterator());
}

class ReflectionTest : public testing::Test {
 protected:
  TestServer server_{{RandomModel({})}, 1};
  const std::shared_ptr<grpc::Channel> channel_ = server_.Connect();
  const std::unique_ptr<ServerReflection::Stub> stub_ = ServerReflection::NewStub(channel_);
};

TEST_F(ReflectionTest, ListsAndDescribesTheServices) {
  ReflectionCall call(stub_.get());
  ASSERT_TRUE(call.Ask(ListServices()));
  std::vector<std::string> services;
  for (const auto& service : call.response().list_services_response().service()) {
    services.push_back(service.name());
  }
  EXPECT_THAT(services, UnorderedElementsAre("ese.v1.SpeechInference", "grpc.health.v1.Health",
                                             "grpc.reflection.v1alpha.ServerReflection"));
  for (const std::string& service : services) {
    ASSERT_TRUE(call.Ask(Symbol(service)));
    EXPECT_EQ(Files(call.response()).size(), 1u) << service;
    EXPECT_EQ(call.response().original_request().file_containing_symbol(), service);
  }
  ASSERT_TRUE(call.Ask(Symbol("ese.v1.StreamingConfig.tenant")));
  EXPECT_THAT(Files(call.response()), ElementsAre("ese/v1/speech.proto"));
  ServerReflectionRequest by_name;
  by_name.set_file_by_filename("ese/v1/speech.proto");
  ASSERT_TRUE(call.Ask(by_name));
  EXPECT_THAT(Files(call.response()), ElementsAre("ese/v1/speech.proto"));
  EXPECT_TRUE(call.Finish().ok());
}

TEST_F(ReflectionTest, WhatIsMissingIsNotFoundAndTheCallContinues) {
  ReflectionCall call(stub_.get());
  ServerReflectionRequest extension, extensions, file;
  extension.mutable_file_containing_extension()->set_containing_type("ese.v1.Model");
  extensions.set_all_extension_numbers_of_type("ese.v1.Nothing");
  file.set_file_by_filename("nothing.proto");
  for (const auto& request : {Symbol("ese.v1.Nothing"), extension, extensions, file}) {
    ASSERT_TRUE(call.Ask(request));
    EXPECT_EQ(call.response().error_response().error_code(), grpc::StatusCode::NOT_FOUND);
    EXPECT_THAT(call.response().error_response().error_message(), HasSubstr("this server has no"));
  }
  extensions.set_all_extension_numbers_of_type("ese.v1.Model");
  ASSERT_TRUE(call.Ask(extensions));
  EXPECT_EQ(call.response().all_extension_numbers_response().base_type_name(), "ese.v1.Model");
  ASSERT_TRUE(call.Ask(ServerReflectionRequest()));
  EXPECT_EQ(call.response().error_response().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_TRUE(call.Finish().ok());
}

TEST_F(ReflectionTest, NamesThatAreTooLongEndTheCall) {
  ReflectionCall call(stub_.get());
  EXPECT_FALSE(call.Ask(Symbol(std::string(1000, 's'))));
  ExpectError(call.Finish(), grpc::StatusCode::INVALID_ARGUMENT,
              "file_containing_symbol has 1000 bytes");
}

TEST_F(ReflectionTest, ManyOpenCallsCostNoThreadsAndHealthIsAnswered) {
  constexpr int kCalls = 2000;
  const auto health = grpc::health::v1::Health::NewStub(channel_);
  const auto check = [&] {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckResponse response;
    const grpc::Status status = health->Check(&context, {}, &response);
    return status.ok() && response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
  };
  std::vector<std::unique_ptr<ReflectionCall>> calls;
  while (static_cast<int>(calls.size()) < Reflection::kMaxCalls) {
    calls.push_back(std::make_unique<ReflectionCall>(stub_.get()));
    ASSERT_TRUE(calls.back()->Ask(ListServices()));
  }
  EXPECT_TRUE(check());
  const auto threads = Threads();
  while (static_cast<int>(calls.size()) < kCalls) {
    calls.push_back(std::make_unique<ReflectionCall>(stub_.get()));
  }
  EXPECT_TRUE(check());
  EXPECT_LE(Threads(), threads + 8) << "gRPC's client may start a few of its own";
  for (int i = Reflection::kMaxCalls; i < kCalls; ++i) {
    ExpectError(calls[i]->Finish(), grpc::StatusCode::RESOURCE_EXHAUSTED, "calls of reflection");
  }
  for (int i = 0; i < Reflection::kMaxCalls; ++i) {
    EXPECT_TRUE(calls[i]->Ask(ListServices())) << "the calls that are open continue";
    calls[i]->Cancel();
  }
  EXPECT_TRUE(Eventually([&] { return ReflectionCall(stub_.get()).Ask(ListServices()); }));
}

}  // namespace
}  // namespace ese
