#include "metrics/registry.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <sstream>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "prometheus/text_serializer.h"

namespace ese {
namespace {

struct HostPort {
  std::string host;
  std::string port;
};

// Civetweb accepts more (lists of ports, TLS suffixes); what it would do with them is not ours.
absl::StatusOr<HostPort> ParseAddress(const std::string& address) {
  const auto error = [&](const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat(
        "metrics address \"", address, "\": ", what,
        "; write HOST:PORT with an IPv4 address or host name, for example 0.0.0.0:9464"));
  };
  const size_t colon = address.find(':');
  if (colon == std::string::npos) return error("no port");
  if (address.find(':', colon + 1) != std::string::npos) return error("IPv6 is not supported here");
  HostPort parsed{address.substr(0, colon), address.substr(colon + 1)};
  if (parsed.host.empty()) return error("no host");
  int port = 0;
  const bool digits = parsed.port.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || !absl::SimpleAtoi(parsed.port, &port) || port > 65535) {
    return error(absl::StrCat("\"", parsed.port, "\" is not a port from 0 to 65535"));
  }
  return parsed;
}

// Why nothing can listen there. The exception of prometheus-cpp does not say, so bind once more and
// look at errno; only the message depends on it.
absl::Status ExplainBindFailure(const std::string& address, const HostPort& parsed,
                                const char* what) {
  const std::string subject = absl::StrCat("cannot serve metrics on ", address, ": ");
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int resolved = getaddrinfo(parsed.host.c_str(), parsed.port.c_str(), &hints, &found);
  if (resolved != 0) {
    return absl::InvalidArgumentError(absl::StrCat(subject, "no IPv4 address for host \"",
                                                   parsed.host, "\" (", gai_strerror(resolved),
                                                   "); use an address of this machine or 0.0.0.0"));
  }
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int reuse = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse));
  const int error = bind(fd, found->ai_addr, found->ai_addrlen) == 0 ? 0 : errno;
  freeaddrinfo(found);
  if (fd >= 0) close(fd);
  switch (error) {
    case EADDRNOTAVAIL:
      return absl::InvalidArgumentError(absl::StrCat(
          subject, "no network interface of this machine has this address; use 0.0.0.0 for all"));
    case EACCES:
      return absl::InvalidArgumentError(absl::StrCat(
          subject, "not permitted; ports below 1024 need privileges, choose a higher one"));
    case EADDRINUSE:
    case 0:  // Free again by now, or bound by another process that does not listen yet.
      return absl::UnavailableError(
          absl::StrCat(subject, "the port is in use; choose another, or stop what listens there"));
    default:
      return absl::UnavailableError(
          absl::StrCat(subject, what, " (", std::strerror(error), "); choose another address"));
  }
}

const char* Compiler() {
#if defined(__clang__)
  return "clang " __clang_version__;
#else
  return "gcc " __VERSION__;
#endif
}

}  // namespace

const std::vector<double>& LatencyBuckets() {
  static const auto* const buckets =
      new std::vector<double>{0.00025, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015,
                              0.02,    0.03,   0.05,  0.075, 0.1,   0.2,   0.5,    1};
  return *buckets;
}

MetricsRegistry::MetricsRegistry() : registry_(std::make_shared<prometheus::Registry>()) {
  GetGauge("ese_build_info", "Constant 1, labelled with what this program was built from.",
           {{"version", ESE_VERSION}, {"compiler", Compiler()}})
      ->Set(1);
}

MetricsRegistry::~MetricsRegistry() = default;

Counter* MetricsRegistry::GetCounter(const std::string& name, const std::string& help,
                                     const Labels& labels) noexcept {
  return &prometheus::BuildCounter().Name(name).Help(help).Register(*registry_).Add(labels);
}

Gauge* MetricsRegistry::GetGauge(const std::string& name, const std::string& help,
                                 const Labels& labels) noexcept {
  return &prometheus::BuildGauge().Name(name).Help(help).Register(*registry_).Add(labels);
}

Histogram* MetricsRegistry::GetHistogram(const std::string& name, const std::string& help,
                                         const std::vector<double>& buckets,
                                         const Labels& labels) noexcept {
  return &prometheus::BuildHistogram()
              .Name(name)
              .Help(help)
              .Register(*registry_)
              .Add(labels, buckets);
}

absl::Status MetricsRegistry::Serve(const std::string& address) {
  if (exposer_ != nullptr) {
    return absl::FailedPreconditionError(absl::StrCat("cannot serve metrics on ", address,
                                                      ": they are served on port ", port_,
                                                      " already; call Serve once"));
  }
  absl::StatusOr<HostPort> parsed = ParseAddress(address);
  if (!parsed.ok()) return parsed.status();
  try {
    auto exposer = std::make_unique<prometheus::Exposer>(address);
    exposer->RegisterCollectable(registry_);
    port_ = exposer->GetListeningPorts().front();
    exposer_ = std::move(exposer);
  } catch (const std::exception& e) {
    return ExplainBindFailure(address, *parsed, e.what());
  }
  return absl::OkStatus();
}

std::string MetricsRegistry::Render() const {
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, registry_->Collect());
  return out.str();
}

}  // namespace ese
