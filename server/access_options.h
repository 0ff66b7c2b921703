// SPDX-License-Identifier: Apache-2.0
// The command-line options of access control.
#pragma once

#include <vector>

#include "server/access.h"
#include "server/option_table.h"

namespace ese {

// `access` must outlive the rows.
std::vector<Option> AccessOptionRows(AccessControlOptions* access);

}  // namespace ese
