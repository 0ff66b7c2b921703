// SPDX-License-Identifier: Apache-2.0
#include "server/access_options.h"

namespace ese {
namespace {

constexpr char kAccess[] = "Access (docs/security.md)";

}  // namespace

std::vector<Option> AccessOptionRows(AccessControlOptions* access) {
  return {
      {.group = kAccess,
       .name = "tls-certificate",
       .unit = "FILE",
       .member = &access->tls.certificate,
       .help = "Accept only TLS connections (1.2 or 1.3), with the certificate in this PEM file, "
               "followed by the intermediate ones. A changed file is used within a few seconds.",
       .check = [access] { return CheckTlsOptions(access->tls); }},
      {.group = kAccess,
       .name = "tls-key",
       .unit = "FILE",
       .member = &access->tls.key,
       .help = "The PEM file with the certificate's private key, without a passphrase."},
      {.group = kAccess,
       .name = "tls-client-ca",
       .unit = "FILE",
       .member = &access->tls.client_ca,
       .help = "Accept only clients with a certificate that an authority in this PEM file has "
               "issued."},
      {.group = kAccess,
       .name = "tls-client-optional",
       .unit = "",
       .member = &access->tls.client_optional,
       .help =
           "With --tls-client-ca, also accept clients without a certificate. A certificate that "
           "a client does show must still be valid."},
      {.group = kAccess,
       .name = "tokens",
       .unit = "FILE",
       .member = &access->tokens,
       .help =
           "Serve only callers that this file lists. Each line is SHA256 TENANT "
           "[max_streams=N], where SHA256 is the hash of a bearer token. A changed file is used "
           "within a few seconds."},
      {.group = kAccess,
       .name = "insecure",
       .unit = "",
       .member = &access->insecure,
       .help = "Listen without TLS at an address that other machines can reach. Whoever reads the "
               "network sees the audio, the answers and the tokens."},
  };
}

}  // namespace ese
