// SPDX-License-Identifier: Apache-2.0
#include "client/access_flags.h"

#include <cstdlib>

namespace ese {

void AddAccessFlags(CLI::App& app, AccessOptions* options) {
  app.add_flag("--tls", options->tls, "Encrypt with TLS and check the server's certificate");
  app.add_option("--tls-ca", options->ca_file,
                 "Certificates of who may sign the server's certificate; default: the system's")
      ->type_name("FILE");
  app.add_option("--tls-certificate", options->certificate_file,
                 "The client's certificate, for a server that asks for one")
      ->type_name("FILE");
  app.add_option("--tls-key", options->key_file, "The key of --tls-certificate")->type_name("FILE");
  app.add_option("--tls-server-name", options->server_name,
                 "The name in the server's certificate, if it is not the host of the address")
      ->type_name("NAME");
  app.add_option("--token-file", options->token_file,
                 "File with the bearer token; default: the environment variable ESE_TOKEN")
      ->type_name("FILE");
  app.add_flag("--token-over-plaintext", options->token_over_plaintext,
               "Send the token to other machines without TLS, too");
  if (const char* token = std::getenv("ESE_TOKEN")) options->token = token;
}

}  // namespace ese
