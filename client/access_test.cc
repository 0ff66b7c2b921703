// SPDX-License-Identifier: Apache-2.0
// TLS and tokens: each program path against a server in this process, and each fault's message.
#include "client/access.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>

#include "base/test_certificates.h"
#include "client/client_command.h"
#include "client/fake_server.h"
#include "client/speech_client.h"
#include "client/tls_diagnosis.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr Duration kLong = std::chrono::minutes(2);

std::string WriteFile(const std::string& name, const std::string& content) {
  const std::string path = ::testing::TempDir() + "/access_test." + name;
  WriteTestFile(path, content);
  return path;
}

std::string Message(const absl::Status& status) { return std::string(status.message()); }

CertificateRequest ExpiredRequest() {
  CertificateRequest request = LocalhostRequest();
  request.valid_until = std::chrono::hours(-1);
  return request;
}

class AccessTest : public ::testing::Test {
 protected:
  std::shared_ptr<grpc::ServerCredentials> Credentials(const CertificateRequest& request,
                                                       bool mutual = false) const {
    const CertificatePair pair = authority_.Issue(request);
    grpc::SslServerCredentialsOptions options(
        mutual ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
               : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE);
    if (mutual) options.pem_root_certs = authority_.certificate();
    options.pem_key_cert_pairs = {{pair.key, pair.certificate}};
    return grpc::SslServerCredentials(options);
  }

  AccessOptions Tls() const {
    AccessOptions options;
    options.tls = true;
    options.ca_file = WriteFile("ca.crt", authority_.certificate());
    return options;
  }

  // Tls() with a certificate of the client that `authority` signs.
  AccessOptions Mutual(const TestAuthority& authority, const CertificateRequest& request) const {
    const CertificateFiles files =
        authority.IssueTo(::testing::TempDir(), "access_test.client", request);
    AccessOptions options = Tls();
    options.certificate_file = files.certificate;
    options.key_file = files.key;
    return options;
  }

  const TestAuthority authority_;
};

absl::Status ListModels(const std::string& address, const AccessOptions& access) {
  const auto client = SpeechClient::Connect({address, kLong, access});
  if (!client.ok()) return client.status();
  return (*client)->ListModels().status();
}

TEST_F(AccessTest, TlsConnectsByAddressAndByName) {
  FakeServer server({}, {FakeModel()}, Credentials(LocalhostRequest()));
  EXPECT_EQ(ListModels(server.address(), Tls()), absl::OkStatus());
  AccessOptions named = Tls();
  named.server_name = "localhost";
  EXPECT_EQ(ListModels(server.address(), named), absl::OkStatus());
}

TEST_F(AccessTest, ExpiredServerCertificate) {
  FakeServer server({}, {FakeModel()}, Credentials(ExpiredRequest()));
  const absl::Status status = ListModels(server.address(), Tls());
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Message(status),
              AllOf(HasSubstr(server.address()), HasSubstr("has expired"), HasSubstr("renew")));
}

TEST_F(AccessTest, OtherHostInServerCertificate) {
  CertificateRequest request;
  request.alternative_names = {"DNS:speech.example"};
  FakeServer server({}, {FakeModel()}, Credentials(request));
  EXPECT_THAT(Message(ListModels(server.address(), Tls())),
              AllOf(HasSubstr("not for \"127.0.0.1\""), HasSubstr("--tls-server-name")));
  AccessOptions named = Tls();
  named.server_name = "speech.example";
  EXPECT_EQ(ListModels(server.address(), named), absl::OkStatus());
  named.server_name = "other.example";
  EXPECT_THAT(Message(ListModels(server.address(), named)), HasSubstr("not for \"other.example\""));
}

TEST_F(AccessTest, UnknownAuthority) {
  FakeServer server({}, {FakeModel()}, Credentials(LocalhostRequest()));
  AccessOptions options = Tls();
  options.ca_file = WriteFile("other.crt", TestAuthority("another").certificate());
  EXPECT_THAT(Message(ListModels(server.address(), options)),
              AllOf(HasSubstr("not trusted"), HasSubstr("--tls-ca")));
}

TEST_F(AccessTest, MutualTls) {
  FakeServer server({}, {FakeModel()}, Credentials(LocalhostRequest(), /*mutual=*/true));
  EXPECT_EQ(ListModels(server.address(), Mutual(authority_, LocalhostRequest())), absl::OkStatus());
  EXPECT_THAT(Message(ListModels(server.address(), Tls())), HasSubstr("--tls-certificate"));
  EXPECT_THAT(
      Message(ListModels(server.address(), Mutual(TestAuthority("another"), LocalhostRequest()))),
      HasSubstr("does not accept the client certificate"));
}

TEST_F(AccessTest, PlaintextAndTlsDoNotMix) {
  FakeServer encrypted({}, {FakeModel()}, Credentials(LocalhostRequest()));
  EXPECT_THAT(Message(ListModels(encrypted.address(), {})), HasSubstr("add --tls"));
  FakeServer plain;
  EXPECT_THAT(Message(ListModels(plain.address(), Tls())),
              AllOf(HasSubstr("does not speak TLS"), HasSubstr("leave out --tls")));
}

TEST_F(AccessTest, ListenerThatNeverAnswers) {
  const std::string path = ::testing::TempDir() + "/access_test.silent";
  unlink(path.c_str());
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path.copy(address.sun_path, sizeof(address.sun_path) - 1), sizeof(address.sun_path));
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  EXPECT_THAT(Message(DiagnoseConnection("unix:" + path, Tls(), std::chrono::milliseconds(50))),
              HasSubstr("does not answer the TLS handshake"));
  close(fd);
  unlink(path.c_str());
}

TEST_F(AccessTest, NoSocketAtAUnixPath) {
  EXPECT_THAT(Message(ListModels("unix:/nonexistent/socket", {})),
              HasSubstr("nothing listens at unix:/nonexistent/socket"));
}

TEST_F(AccessTest, FaultsOfTheOwnFiles) {
  AccessOptions missing = Tls();
  missing.ca_file = "/nonexistent/ca.crt";
  absl::Status status = ReadAccessFiles(missing).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Message(status), AllOf(HasSubstr("/nonexistent/ca.crt"), HasSubstr("--tls-ca")));

  AccessOptions garbage = Tls();
  garbage.ca_file = WriteFile("garbage", "hello");
  EXPECT_THAT(Message(ReadAccessFiles(garbage).status()), HasSubstr("holds no certificate"));

  AccessOptions swapped = Mutual(authority_, LocalhostRequest());
  swapped.key_file = WriteFile("other.key", authority_.Issue(LocalhostRequest()).key);
  EXPECT_THAT(Message(ReadAccessFiles(swapped).status()), HasSubstr("is not the key of"));
  swapped.key_file = swapped.certificate_file;
  EXPECT_THAT(Message(ReadAccessFiles(swapped).status()), HasSubstr("holds no private key"));
  swapped.key_file.clear();
  EXPECT_THAT(Message(ReadAccessFiles(swapped).status()), HasSubstr("--tls-key"));

  status = ReadAccessFiles(Mutual(authority_, ExpiredRequest())).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(Message(status), HasSubstr("has expired; renew"));

  AccessOptions without_tls = Tls();
  without_tls.tls = false;
  EXPECT_THAT(Message(ReadAccessFiles(without_tls).status()), HasSubstr("need --tls"));
}

TEST_F(AccessTest, TokenOverTlsAndOverLoopback) {
  FakeScript script;
  script.bearer = "secret";
  FakeServer encrypted(script, {FakeModel()}, Credentials(LocalhostRequest()));
  FakeServer plain(script);
  AccessOptions options = Tls();
  options.token_file = WriteFile("token", "secret\n");
  EXPECT_EQ(ListModels(encrypted.address(), options), absl::OkStatus());
  AccessOptions direct;
  direct.token = "secret";
  EXPECT_EQ(ListModels(plain.address(), direct), absl::OkStatus());

  direct.token = "wrong";
  for (const AccessOptions& wrong : {direct, AccessOptions()}) {
    const absl::Status status = ListModels(plain.address(), wrong);
    EXPECT_EQ(status.code(), absl::StatusCode::kUnauthenticated);
    EXPECT_THAT(Message(status), AllOf(HasSubstr("--token-file"), HasSubstr("ESE_TOKEN")));
  }
}

TEST_F(AccessTest, UnusableTokens) {
  AccessOptions options;
  options.token_file = WriteFile("empty", "\n");
  EXPECT_THAT(Message(ReadAccessFiles(options).status()), HasSubstr("is empty"));
  options.token_file = WriteFile("lines", "one\ntwo\n");
  EXPECT_EQ(ReadAccessFiles(options).status().code(), absl::StatusCode::kInvalidArgument);
  options.token_file = "/nonexistent/token";
  EXPECT_THAT(Message(ReadAccessFiles(options).status()), HasSubstr("--token-file"));
}

TEST_F(AccessTest, TokenStaysOnThisMachineWithoutTls) {
  AccessOptions options;
  options.token = "secret";
  for (const char* here : {"127.0.0.1:1", "127.8.8.8:1", "localhost:1", "[::1]:1", "unix:/tmp/x"}) {
    EXPECT_TRUE(MakeChannel(here, options).ok()) << here;
  }
  for (const char* there : {"10.0.0.1:1", "127.example:1", "localhost.example:1", "[::2]:1"}) {
    const absl::Status status = MakeChannel(there, options).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << there;
    EXPECT_THAT(Message(status), AllOf(HasSubstr("unencrypted"), HasSubstr("--tls")));
  }
  options.token_over_plaintext = true;
  EXPECT_TRUE(MakeChannel("10.0.0.1:1", options).ok());
}

int RunClient(const std::vector<std::string>& arguments, std::string* err) {
  std::vector<const char*> argv = {"ese-client"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  std::ostringstream out;
  std::ostringstream errors;
  const int status = ClientMain(static_cast<int>(argv.size()), argv.data(), {-1, out, errors});
  *err = errors.str();
  return status;
}

TEST_F(AccessTest, FlagsAndVariableOfTheCommand) {
  FakeScript script;
  script.bearer = "secret";
  FakeServer server(script, {FakeModel()}, Credentials(LocalhostRequest(), /*mutual=*/true));
  const AccessOptions mutual = Mutual(authority_, LocalhostRequest());
  std::vector<std::string> arguments = {
      "models",    "--server",      server.address(),    "--tls",
      "--tls-ca",  mutual.ca_file,  "--tls-certificate", mutual.certificate_file,
      "--tls-key", mutual.key_file, "--tls-server-name", "localhost"};
  std::string err;
  EXPECT_EQ(RunClient(arguments, &err), 1);
  EXPECT_THAT(err, HasSubstr("unknown token; give a token"));
  setenv("ESE_TOKEN", "secret", /*overwrite=*/1);
  EXPECT_EQ(RunClient(arguments, &err), 0) << err;
  arguments.insert(arguments.end(), {"--token-file", WriteFile("wrong", "wrong")});
  EXPECT_EQ(RunClient(arguments, &err), 1) << "the file has precedence";
  unsetenv("ESE_TOKEN");
}

}  // namespace
}  // namespace ese
