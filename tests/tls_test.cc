// SPDX-License-Identifier: Apache-2.0
// TLS with real connections: who gets in, and how the certificate changes while the server runs.
#include <chrono>
#include <cstdio>
#include <ctime>
#include <optional>

#include "base/eventually.h"
#include "base/test_certificates.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/testing.h"
#include "tests/log_capture.h"
#include "tests/temp_folder.h"
#include "tests/test_server.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

constexpr Duration kPoll = std::chrono::milliseconds(5);

class TlsTest : public testing::Test {
 protected:
  TlsTest() { options_.access.tls = {.certificate = files_.certificate, .key = files_.key}; }

  void StartServer() {
    options_.access.poll = kPoll;
    server_.emplace(std::vector{model_}, 1, options_);
  }

  // Opens a new connection and returns the status of one call over it.
  grpc::Status Call(const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const auto channel =
        grpc::CreateCustomChannel(server_->server().address(), credentials, arguments);
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    v1::ListModelsResponse response;
    return v1::SpeechInference::NewStub(channel)->ListModels(&context, {}, &response);
  }
  static std::shared_ptr<grpc::ChannelCredentials> Trusting(const TestAuthority& authority,
                                                            const CertificatePair& own = {}) {
    return grpc::SslCredentials({.pem_root_certs = authority.certificate(),
                                 .pem_private_key = own.key,
                                 .pem_cert_chain = own.certificate});
  }
  void ExpectReloadFails(const std::string& reason) {
    EXPECT_TRUE(Eventually([&] { return log_.Count(reason) > 0; })) << reason;
    EXPECT_THAT(std::string(server_->server().ReloadAccess().message()), HasSubstr(reason));
    EXPECT_EQ(log_.Count("TLS certificate"), 1);
    EXPECT_TRUE(Call(Trusting(authority_)).ok());
  }

  const TempFolder folder_{"tls_test"};
  const TestAuthority authority_;
  const CertificateFiles files_ = authority_.IssueTo(folder_.path(), "server", LocalhostRequest());
  const std::shared_ptr<const Model> model_ = RandomModel({});
  ServingOptions options_;
  const LogCapture log_;  // exists longer than the server's threads
  std::optional<TestServer> server_;
};

TEST_F(TlsTest, OnlyClientsThatTrustTheAuthorityConnect) {
  StartServer();
  EXPECT_TRUE(Call(Trusting(authority_)).ok());
  EXPECT_EQ(Call(Trusting(TestAuthority())).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Call(grpc::InsecureChannelCredentials()).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsTest, ClientsMustShowACertificateOfTheClientsAuthority) {
  const TestAuthority clients;
  options_.access.tls.client_ca = folder_.Write("clients.crt", clients.certificate());
  StartServer();
  EXPECT_TRUE(Call(Trusting(authority_, clients.Issue({.common_name = "alice"}))).ok());
  EXPECT_FALSE(Call(Trusting(authority_)).ok());
  EXPECT_FALSE(Call(Trusting(authority_, authority_.Issue({.common_name = "alice"}))).ok());
  const CertificatePair expired =
      clients.Issue({.common_name = "alice", .valid_until = std::chrono::seconds(-1)});
  EXPECT_FALSE(Call(Trusting(authority_, expired)).ok());
}

TEST_F(TlsTest, OptionalClientCertificatesAreVerifiedIfShown) {
  const TestAuthority clients;
  options_.access.tls.client_ca = folder_.Write("clients.crt", clients.certificate());
  options_.access.tls.client_optional = true;
  StartServer();
  EXPECT_TRUE(Call(Trusting(authority_)).ok());
  EXPECT_TRUE(Call(Trusting(authority_, clients.Issue({.common_name = "alice"}))).ok());
  EXPECT_FALSE(Call(Trusting(authority_, authority_.Issue({.common_name = "alice"}))).ok());
}

TEST_F(TlsTest, AChangedPairIsUsedForNewConnectionsAndKeepsOpenOnes) {
  StartServer();
  const auto channel = grpc::CreateChannel(server_->server().address(), Trusting(authority_));
  ASSERT_TRUE(
      channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(30)));
  const TestAuthority next;
  const CertificatePair pair = next.Issue(LocalhostRequest());
  WriteTestFile(files_.certificate, pair.certificate);
  WriteTestFile(files_.key, pair.key);
  EXPECT_TRUE(Eventually([&] { return Call(Trusting(next)).ok(); }));
  EXPECT_FALSE(Call(Trusting(authority_)).ok());
  grpc::ClientContext context;
  v1::ListModelsResponse response;
  EXPECT_TRUE(v1::SpeechInference::NewStub(channel)->ListModels(&context, {}, &response).ok());
}

TEST_F(TlsTest, ReloadReadsThePairAtOnce) {
  options_.access.poll = std::chrono::hours(1);
  server_.emplace(std::vector{model_}, 1, options_);
  const TestAuthority next;
  next.IssueTo(folder_.path(), "server", LocalhostRequest());
  EXPECT_TRUE(server_->server().ReloadAccess().ok());
  EXPECT_TRUE(Call(Trusting(next)).ok());
}

TEST_F(TlsTest, MetricsTellWhenTheCertificateInServiceExpires) {
  options_.access.poll = std::chrono::hours(1);
  server_.emplace(std::vector{model_}, 1, options_);
  const auto expiry = [&] {
    const std::string page = server_->metrics().Render();
    const std::string name = "\nese_tls_certificate_expiry_seconds ";
    const size_t at = page.find(name);
    return at == page.npos ? 0 : std::stod(page.substr(at + name.size()));
  };
  const double before = expiry();
  EXPECT_GT(before, static_cast<double>(std::time(nullptr)));
  CertificateRequest request = LocalhostRequest();
  request.valid_until = std::chrono::hours(48);
  authority_.IssueTo(folder_.path(), "server", request);
  EXPECT_TRUE(server_->server().ReloadAccess().ok());
  EXPECT_NEAR(expiry() - before, 24 * 3600, 60);
}

TEST_F(TlsTest, AHalfWrittenCertificateKeepsTheOldPair) {
  StartServer();
  const std::string pem = authority_.Issue(LocalhostRequest()).certificate;
  WriteTestFile(files_.certificate, pem.substr(0, pem.size() / 2));
  ExpectReloadFails("server.crt is not complete PEM");
}

TEST_F(TlsTest, AnExpiredCertificateKeepsTheOldPair) {
  StartServer();
  CertificateRequest request = LocalhostRequest();
  request.valid_until = std::chrono::seconds(-1);
  WriteTestFile(files_.certificate, authority_.Issue(request).certificate);
  ExpectReloadFails("server.crt expired on");
}

TEST_F(TlsTest, AKeyOfAnotherCertificateKeepsTheOldPair) {
  StartServer();
  WriteTestFile(files_.key, authority_.Issue(LocalhostRequest()).key);
  ExpectReloadFails("server.key does not belong to the first certificate");
}

TEST_F(TlsTest, AMissingFileKeepsTheOldPair) {
  StartServer();
  ASSERT_EQ(std::remove(files_.key.c_str()), 0);
  ExpectReloadFails("server.key: No such file");
}

TEST_F(TlsTest, ABadPairAtTheStartIsAnError) {
  const auto start = [&] {
    MetricsRegistry metrics;
    return Server::Start(options_, {model_}, nullptr, &metrics).status();
  };
  options_.access.tls.key.clear();
  EXPECT_THAT(std::string(start().message()), HasSubstr("--tls-key belong together"));
  options_.access.tls.key = folder_.Path("none");
  EXPECT_EQ(start().code(), absl::StatusCode::kNotFound);
  options_.access.tls.key = folder_.Write("other.key", authority_.Issue({}).key);
  EXPECT_THAT(std::string(start().message()), HasSubstr("does not belong"));
}

TEST_F(TlsTest, PlaintextForOtherMachinesMustBeAllowed) {
  options_.access.tls = {};
  options_.listen = "0.0.0.0:0";
  MetricsRegistry metrics;
  const absl::Status status = Server::Start(options_, {model_}, nullptr, &metrics).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("--insecure"));
  const auto allowed = AccessControl::Load({.insecure = true}, &metrics);
  ASSERT_TRUE(allowed.ok());
  EXPECT_TRUE((*allowed)->CheckAddress("0.0.0.0:7700").ok());
}

}  // namespace
}  // namespace ese
