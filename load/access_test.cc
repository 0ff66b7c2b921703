// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <sstream>

#include "base/test_certificates.h"
#include "client/fake_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "load/testing.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

std::string WriteFile(const std::string& name, const std::string& content) {
  const std::string path = ::testing::TempDir() + "/load_access_test." + name;
  WriteTestFile(path, content);
  return path;
}

FakeScript NeedsToken() {
  FakeScript script;
  script.bearer = "secret";
  return script;
}

TEST(LoadAccessTest, LoadsAndVerifiesOverTlsWithAToken) {
  const TestAuthority authority;
  const CertificatePair pair = authority.Issue(LocalhostRequest());
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs = {{pair.key, pair.certificate}};
  FakeServer server(NeedsToken(), {FakeModel()}, grpc::SslServerCredentials(options));
  const std::vector<std::string> flags = {"--tls", "--tls-ca",
                                          WriteFile("ca.crt", authority.certificate()),
                                          "--token-file", WriteFile("token", "secret")};
  std::vector<std::string> verify = flags;
  verify.insert(verify.end(), {"--verify", "--return", "posteriors"});
  const Outcome outcome = RunCommand(Short(server, verify));
  EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("4 answered to the end"));

  std::vector<std::string> cut = flags;
  cut.insert(cut.end(), {"--cut-every", "1"});
  EXPECT_THAT(RunCommand(Short(server, cut)).err, HasSubstr("leave out --tls"));
}

TEST(LoadAccessTest, SendsTheTokenOverItsPlaintextConnections) {
  FakeServer server(NeedsToken());
  const Outcome right = RunCommand(Short(server, {"--token-file", WriteFile("token", "secret")}));
  EXPECT_EQ(right.status, 0) << right.out << right.err;
  const Outcome wrong = RunCommand(Short(server, {"--token-file", WriteFile("wrong", "wrong")}));
  EXPECT_EQ(wrong.status, 1);
  EXPECT_THAT(wrong.err, HasSubstr("unknown token; give a token"));
}

}  // namespace
}  // namespace ese
