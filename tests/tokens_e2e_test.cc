// SPDX-License-Identifier: Apache-2.0
// Bearer tokens and tenants with real connections.
#include <chrono>
#include <memory>
#include <optional>

#include "base/eventually.h"
#include "base/test_certificates.h"
#include "gmock/gmock.h"
#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"
#include "model/testing.h"
#include "tests/log_capture.h"
#include "tests/stream_client.h"
#include "tests/temp_folder.h"
#include "tests/test_server.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

constexpr char kListModels[] = "/ese.v1.SpeechInference/ListModels";
constexpr char kStreamingInfer[] = "/ese.v1.SpeechInference/StreamingInfer";
constexpr char kHealthCheck[] = "/grpc.health.v1.Health/Check";
constexpr char kReflection[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

// The hashes of the tokens alpha and beta.
constexpr char kAlpha[] = "8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8";
constexpr char kBeta[] = "f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753";

// One StreamingInfer call that sends its config and reads the first answer.
class OpenStream {
 public:
  OpenStream(const std::shared_ptr<grpc::Channel>& channel, const std::string& authorization,
             v1::StreamingConfig config)
      : stub_(v1::SpeechInference::NewStub(channel)) {
    if (!authorization.empty()) context_.AddMetadata("authorization", authorization);
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    call_ = stub_->StreamingInfer(&context_);
    v1::StreamingInferRequest request;
    *request.mutable_config() = std::move(config);
    call_->Write(request);
    v1::StreamingInferResponse response;
    open_ = call_->Read(&response);
    if (!open_) status_ = call_->Finish();
  }
  ~OpenStream() { End(); }

  bool open() const { return open_; }
  const grpc::Status& status() const { return status_; }  // if the stream could not be opened
  void End() {
    if (!open_) return;
    open_ = false;
    call_->WritesDone();
    v1::StreamingInferResponse response;
    while (call_->Read(&response)) {
    }
    EXPECT_TRUE(call_->Finish().ok());
  }

 private:
  const std::unique_ptr<v1::SpeechInference::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::StreamingInferRequest, v1::StreamingInferResponse>>
      call_;
  bool open_ = false;
  grpc::Status status_;
};

class TokensTest : public testing::Test {
 protected:
  TokensTest() {
    options_.access.tokens = folder_.Path("tokens");
    options_.access.poll = std::chrono::milliseconds(5);
    WriteTokens(std::string(kAlpha) + " gold\n" + kBeta + " free max_streams=0\n");
    config_ = MakeContent(*model_, ContentKind::kFloat32, 1, 1).config;
  }

  void WriteTokens(const std::string& text) { WriteTestFile(folder_.Path("tokens"), text); }
  void StartServer() {
    server_.emplace(std::vector{model_}, 1, options_);
    channel_ = server_->Connect();
  }

  // Calls a method with one empty message. Each value becomes metadata `authorization`.
  grpc::Status Call(const std::string& method, const std::vector<std::string>& authorization) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    for (const std::string& value : authorization) context.AddMetadata("authorization", value);
    grpc::CompletionQueue queue;
    grpc::GenericStub stub(channel_);
    const auto call = stub.PrepareCall(&context, method, &queue);
    void* tag = nullptr;
    bool ok = false;
    call->StartCall(&tag);
    queue.Next(&tag, &ok);
    const grpc::Slice empty;
    call->WriteLast(grpc::ByteBuffer(&empty, 1), {}, &tag);
    queue.Next(&tag, &ok);
    do {
      grpc::ByteBuffer message;
      call->Read(&message, &tag);
      queue.Next(&tag, &ok);
    } while (ok);
    grpc::Status status;
    call->Finish(&status, &tag);
    queue.Next(&tag, &ok);
    return status;
  }
  std::unique_ptr<OpenStream> Open(const std::string& authorization,
                                   const std::string& tenant = "") {
    v1::StreamingConfig config = config_;
    config.set_tenant(tenant);
    return std::make_unique<OpenStream>(channel_, authorization, config);
  }

  const TempFolder folder_{"tokens_e2e_test"};
  const std::shared_ptr<const Model> model_ = MakeAudioModel("model", 1);
  v1::StreamingConfig config_;
  ServingOptions options_;
  const LogCapture log_;  // exists longer than the server's threads
  std::optional<TestServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(TokensTest, EveryServiceButHealthNeedsAKnownToken) {
  StartServer();
  const std::vector<std::vector<std::string>> unknown = {{},
                                                         {"Bearer gamma"},
                                                         {"Bearer "},
                                                         {"alpha"},
                                                         {"Basic alpha"},
                                                         {std::string("Bearer ") + kAlpha},
                                                         {"Bearer alpha "},
                                                         {"Bearer alpha", "Bearer alpha"}};
  for (const auto& authorization : unknown) {
    for (const char* method : {kListModels, kStreamingInfer, kReflection, "/no.Such/Method"}) {
      ExpectError(Call(method, authorization), grpc::StatusCode::UNAUTHENTICATED, "Bearer TOKEN");
    }
    EXPECT_TRUE(Call(kHealthCheck, authorization).ok());
  }
  for (const char* method : {kListModels, kReflection, kHealthCheck}) {
    EXPECT_TRUE(Call(method, {"Bearer alpha"}).ok()) << method;
    EXPECT_TRUE(Call(method, {"bearer alpha"}).ok()) << method;
  }
  EXPECT_EQ(Call(kStreamingInfer, {"Bearer alpha"}).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(TokensTest, TheTokenDecidesTheTenant) {
  StartServer();
  EXPECT_TRUE(Open("Bearer alpha")->open());
  EXPECT_TRUE(Open("Bearer alpha", "gold")->open());
  ExpectError(Open("Bearer alpha", "silver")->status(), grpc::StatusCode::PERMISSION_DENIED,
              "the caller is \"gold\"");
}

TEST_F(TokensTest, QuotasLimitTheOpenStreamsOfATenant) {
  WriteTokens(std::string(kAlpha) + " gold max_streams=2\n" + kBeta + " free max_streams=0\n");
  StartServer();
  ExpectError(Open("Bearer beta")->status(), grpc::StatusCode::RESOURCE_EXHAUSTED, "max_streams=0");
  const auto first = Open("Bearer alpha");
  const auto second = Open("Bearer alpha");
  EXPECT_TRUE(first->open() && second->open());
  ExpectError(Open("Bearer alpha")->status(), grpc::StatusCode::RESOURCE_EXHAUSTED,
              "may have 2 streams");
  first->End();
  EXPECT_TRUE(Eventually([&] { return Open("Bearer alpha")->open(); }));
}

TEST_F(TokensTest, MetricsCountTheRefusedCallersByReason) {
  StartServer();
  Call(kListModels, {});
  Call(kStreamingInfer, {"Bearer gamma"});
  Call(kReflection, {"Basic alpha"});
  EXPECT_FALSE(Open("Bearer beta")->open());
  EXPECT_TRUE(Open("Bearer alpha")->open());
  Call(kHealthCheck, {});
  const std::string page = server_->metrics().Render();
  EXPECT_THAT(page, HasSubstr("ese_callers_refused_total{reason=\"no_token\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("ese_callers_refused_total{reason=\"unknown_token\"} 2\n"));
  EXPECT_THAT(page, HasSubstr("ese_callers_refused_total{reason=\"quota\"} 1\n"));
}

TEST_F(TokensTest, ChangedTokensApplyToNewCallsOnly) {
  StartServer();
  const auto before = Open("Bearer alpha");
  ASSERT_TRUE(before->open());
  WriteTokens(std::string(kBeta) + " gold\n");
  EXPECT_TRUE(Eventually([&] {
    return Call(kListModels, {"Bearer alpha"}).error_code() == grpc::StatusCode::UNAUTHENTICATED;
  }));
  EXPECT_TRUE(Open("Bearer beta")->open());
  before->End();  // expects OK
}

TEST_F(TokensTest, ABadLineLeavesTheOldTokensInForce) {
  StartServer();
  WriteTokens(std::string(kBeta) + " gold\n" + kAlpha + " gold max=1\n");
  EXPECT_TRUE(Eventually([&] { return log_.Count("tokens:2: \"max=1\" is no setting") > 0; }));
  EXPECT_EQ(log_.Count("file of tokens"), 1);
  EXPECT_THAT(std::string(server_->server().ReloadAccess().message()), HasSubstr("tokens:2: "));
  EXPECT_TRUE(Call(kListModels, {"Bearer alpha"}).ok());
  ExpectError(Open("Bearer beta")->status(), grpc::StatusCode::RESOURCE_EXHAUSTED, "free");
}

TEST_F(TokensTest, ABadFileAtTheStartIsAnError) {
  const auto start = [&] {
    MetricsRegistry metrics;
    return Server::Start(options_, {model_}, nullptr, &metrics).status();
  };
  WriteTokens("nonsense\n");
  EXPECT_THAT(std::string(start().message()), HasSubstr("tokens:1: "));
  options_.access.tokens = folder_.Path("none");
  EXPECT_EQ(start().code(), absl::StatusCode::kNotFound);
}

TEST_F(TokensTest, ACertificateCanNameTheTenant) {
  const TestAuthority authority;
  const CertificateFiles files = authority.IssueTo(folder_.path(), "server", LocalhostRequest());
  options_.access.tls = {.certificate = files.certificate,
                         .key = files.key,
                         .client_ca = folder_.Write("ca.crt", authority.certificate()),
                         .client_optional = true};
  WriteTokens(std::string(kAlpha) + " gold\ncertificate site max_streams=1\n");
  StartServer();
  const auto connect = [&](const CertificatePair& own) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    channel_ =
        grpc::CreateCustomChannel(server_->server().address(),
                                  grpc::SslCredentials({.pem_root_certs = authority.certificate(),
                                                        .pem_private_key = own.key,
                                                        .pem_cert_chain = own.certificate}),
                                  arguments);
  };
  connect(authority.Issue({.common_name = "site"}));
  EXPECT_TRUE(Call(kListModels, {}).ok());
  ExpectError(Open("", "gold")->status(), grpc::StatusCode::PERMISSION_DENIED, "\"site\"");
  EXPECT_TRUE(Open("Bearer alpha", "gold")->open());
  EXPECT_EQ(Call(kListModels, {"Bearer gamma"}).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  connect(authority.Issue({.common_name = "gold"}));
  EXPECT_EQ(Call(kListModels, {}).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  connect({});
  EXPECT_EQ(Call(kListModels, {}).error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

}  // namespace
}  // namespace ese
