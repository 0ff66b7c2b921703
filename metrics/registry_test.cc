// SPDX-License-Identifier: Apache-2.0
#include "metrics/registry.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

int ConnectToLoopback(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0) << std::strerror(errno);
  return fd;
}

std::string HttpGet(int port, const std::string& path) {
  const int fd = ConnectToLoopback(port);
  const std::string request = absl::StrCat("GET ", path, " HTTP/1.0\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  std::string answer;
  char buffer[4096];
  for (ssize_t n; (n = read(fd, buffer, sizeof(buffer))) > 0;) answer.append(buffer, n);
  close(fd);
  return answer;
}

TEST(RegistryTest, BuildInfoIsOneAndHasTheVersion) {
  const MetricsRegistry registry;
  EXPECT_THAT(registry.Render(),
              AllOf(HasSubstr("# TYPE ese_build_info gauge"),
                    HasSubstr("version=\"" ESE_VERSION "\""), HasSubstr("} 1\n")));
}

TEST(RegistryTest, SameNameAndLabelsGiveTheSameHandle) {
  MetricsRegistry registry;
  Counter* const a = registry.GetCounter("ese_test_total", "Test.", {{"channel", "cpu0"}});
  EXPECT_EQ(registry.GetCounter("ese_test_total", "Test.", {{"channel", "cpu0"}}), a);
  EXPECT_NE(registry.GetCounter("ese_test_total", "Test.", {{"channel", "cpu1"}}), a);
  a->Increment(3);
  EXPECT_THAT(registry.Render(), HasSubstr("ese_test_total{channel=\"cpu0\"} 3\n"));
}

TEST(RegistryTest, HistogramEdgesAreInclusive) {
  MetricsRegistry registry;
  Histogram* const h = registry.GetHistogram("ese_test_seconds", "Test.", LatencyBuckets());
  h->Observe(0.01);
  h->Observe(0.0100001);
  const std::string text = registry.Render();
  EXPECT_THAT(text, HasSubstr("ese_test_seconds_bucket{le=\"0.0075\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("ese_test_seconds_bucket{le=\"0.01\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("ese_test_seconds_bucket{le=\"0.015\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("ese_test_seconds_count 2\n"));
}

TEST(RegistryTest, LatencyBucketsSpanAQuarterMillisecondToASecond) {
  const std::vector<double>& edges = LatencyBuckets();
  EXPECT_EQ(edges.front(), 0.00025);
  EXPECT_EQ(edges.back(), 1);
  EXPECT_TRUE(std::is_sorted(edges.begin(), edges.end()));
  EXPECT_THAT(edges, AllOf(Contains(0.01), Contains(0.03)));
}

TEST(RegistryTest, ServesOnAFreePortAndReportsIt) {
  MetricsRegistry registry;
  registry.GetGauge("ese_test_celsius", "Test.")->Set(42);
  EXPECT_EQ(registry.port(), 0);
  ASSERT_EQ(registry.Serve("127.0.0.1:0"), absl::OkStatus());
  ASSERT_GT(registry.port(), 0);
  EXPECT_THAT(HttpGet(registry.port(), "/metrics"),
              AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("ese_test_celsius 42\n")));
  EXPECT_THAT(HttpGet(registry.port(), "/elsewhere"), HasSubstr(" 404 "));
}

TEST(RegistryTest, SilentConnectionsDoNotDelayAScrape) {
  MetricsRegistry registry;
  registry.GetGauge("ese_test_celsius", "Test.")->Set(42);
  ASSERT_EQ(registry.Serve("127.0.0.1:0"), absl::OkStatus());
  std::vector<int> silent(200);
  for (int& fd : silent) fd = ConnectToLoopback(registry.port());
  EXPECT_THAT(HttpGet(registry.port(), "/metrics"), HasSubstr("ese_test_celsius 42\n"));
  // The server takes 128 connections at most, so this one was closed to make room, not by a
  // timeout.
  char byte = 0;
  EXPECT_EQ(recv(silent[130], &byte, 1, MSG_DONTWAIT), 0);
  for (const int fd : silent) close(fd);
}

TEST(RegistryTest, ClientsThatDoNotReadDoNotDelayAScrape) {
  MetricsRegistry registry;
  registry.GetGauge("ese_test_celsius", std::string(4 << 20, 'x'))->Set(42);
  ASSERT_EQ(registry.Serve("127.0.0.1:0"), absl::OkStatus());
  std::vector<int> slow(20);
  for (int& fd : slow) {
    fd = ConnectToLoopback(registry.port());
    const std::string request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    EXPECT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  }
  EXPECT_THAT(HttpGet(registry.port(), "/metrics"), HasSubstr("ese_test_celsius 42\n"));
  for (const int fd : slow) close(fd);
}

TEST(RegistryTest, RefusesLargeRequestsAndOtherMethods) {
  MetricsRegistry registry;
  ASSERT_EQ(registry.Serve("127.0.0.1:0"), absl::OkStatus());
  EXPECT_THAT(HttpGet(registry.port(), absl::StrCat("/metrics?", std::string(20000, 'x'))),
              Not(HasSubstr(" 200 ")));
  const int fd = ConnectToLoopback(registry.port());
  const std::string request = "DELETE /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n";
  EXPECT_EQ(write(fd, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  char answer[64] = {};
  EXPECT_GT(read(fd, answer, sizeof(answer) - 1), 0);
  EXPECT_THAT(answer, HasSubstr(" 405 "));
  close(fd);
  EXPECT_THAT(HttpGet(registry.port(), "/metrics"), HasSubstr(" 200 "));
}

TEST(RegistryTest, ServesIpv6) {
  MetricsRegistry registry;
  ASSERT_EQ(registry.Serve("[::1]:0"), absl::OkStatus());
  EXPECT_GT(registry.port(), 0);
}

TEST(RegistryTest, RemovesMetricsByTheirLabels) {
  MetricsRegistry registry;
  registry.GetCounter("ese_test_total", "Test.", {{"model", "a"}, {"version", "1"}});
  registry.GetCounter("ese_test_total", "Test.", {{"model", "a"}, {"version", "2"}});
  registry.GetHistogram("ese_test_seconds", "Test.", {1},
                        {{"channel", "cpu0"}, {"model", "a"}, {"version", "1"}});
  registry.Remove({{"model", "a"}, {"version", "1"}});
  EXPECT_THAT(registry.Render(), AllOf(HasSubstr("ese_test_total{model=\"a\",version=\"2\"} 0"),
                                       Not(HasSubstr("version=\"1\"")), Not(HasSubstr("cpu0"))));
  registry.GetCounter("ese_test_total", "Test.", {{"model", "a"}, {"version", "1"}})->Increment();
  EXPECT_THAT(registry.Render(), HasSubstr("ese_test_total{model=\"a\",version=\"1\"} 1"));
}

// Returns the value of a metric without labels.
double Value(const MetricsRegistry& registry, const std::string& name) {
  const std::string text = absl::StrCat("\n", registry.Render());
  const size_t at = text.find(absl::StrCat("\n", name, " "));
  EXPECT_NE(at, std::string::npos) << name;
  return at == std::string::npos ? 0 : std::stod(text.substr(at + name.size() + 2));
}

TEST(RegistryTest, ShowsTheResourcesOfTheProcess) {
  MetricsRegistry registry;
  EXPECT_GT(Value(registry, "process_cpu_seconds_total"), 0);
  EXPECT_GT(Value(registry, "process_resident_memory_bytes"), 1 << 20);
  const double start = Value(registry, "process_start_time_seconds");
  EXPECT_LE(start, static_cast<double>(time(nullptr)) + 1);
  EXPECT_GT(start, static_cast<double>(time(nullptr)) - 24 * 3600);
  const double fds = Value(registry, "process_open_fds");
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  EXPECT_EQ(Value(registry, "process_open_fds"), fds + 1);
  close(fd);
  ASSERT_EQ(registry.Serve("127.0.0.1:0"), absl::OkStatus());
  EXPECT_THAT(HttpGet(registry.port(), "/metrics"),
              HasSubstr("# TYPE process_cpu_seconds_total counter\n"));
}

TEST(RegistryTest, RefusesToServeTwice) {
  MetricsRegistry registry;
  ASSERT_EQ(registry.Serve("127.0.0.1:0"), absl::OkStatus());
  EXPECT_EQ(registry.Serve("127.0.0.1:0").code(), absl::StatusCode::kFailedPrecondition);
}

TEST(RegistryTest, NamesTheAddressAndTheRemedyIfAPortIsInUse) {
  MetricsRegistry first, second;
  ASSERT_EQ(first.Serve("127.0.0.1:0"), absl::OkStatus());
  const std::string address = absl::StrCat("127.0.0.1:", first.port());
  const absl::Status status = second.Serve(address);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr(address), HasSubstr("in use"), HasSubstr("choose another")));
  EXPECT_EQ(second.port(), 0);
  EXPECT_EQ(second.Serve("127.0.0.1:0"), absl::OkStatus()) << "another address may be tried";
}

TEST(RegistryTest, RefusesBadAddressesWithTheRemedy) {
  for (const std::string address : {"", "9464", ":9464", "localhost", "localhost:", "localhost:x",
                                    "localhost:-1", "localhost:65536", "localhost:8080s",
                                    "localhost:0,localhost:0", "8080,localhost:0", "::1:9464"}) {
    MetricsRegistry registry;
    const absl::Status status = registry.Serve(address);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << address;
    EXPECT_THAT(status.message(), AllOf(HasSubstr(absl::StrCat("\"", address, "\"")),
                                        HasSubstr("is not HOST:PORT; write")));
  }
}

TEST(RegistryTest, RefusesTheAddressOfAnotherMachineWithTheRemedy) {
  MetricsRegistry registry;
  const absl::Status status = registry.Serve("192.0.2.1:0");  // from TEST-NET-1 (RFC 5737)
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("192.0.2.1:0"), HasSubstr("choose another address")));
}

TEST(RegistryTest, EscapesLabelValues) {
  MetricsRegistry registry;
  registry.GetCounter("ese_test_total", "Test.", {{"model", "a\"b\\c\nd"}});
  EXPECT_THAT(registry.Render(), HasSubstr(R"(model="a\"b\\c\nd")"));
}

TEST(RegistryDeathTest, OneNameWithTwoKindsEndsTheProgram) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  MetricsRegistry registry;
  registry.GetCounter("ese_test_total", "Test.");
  EXPECT_DEATH(registry.GetGauge("ese_test_total", "Test."), "ese_test_total|name");
}

}  // namespace
}  // namespace ese
