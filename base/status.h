// SPDX-License-Identifier: Apache-2.0
// Early returns for absl::Status and absl::StatusOr, the error type between folders.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

// Returns from the calling function if `expr` (an absl::Status) is an error.
#define ESE_RETURN_IF_ERROR(expr)              \
  do {                                         \
    absl::Status ese_status_ = (expr);         \
    if (!ese_status_.ok()) return ese_status_; \
  } while (false)

// `ESE_ASSIGN_OR_RETURN(auto value, StatusOrExpression())`
#define ESE_ASSIGN_OR_RETURN(lhs, expr) \
  ESE_ASSIGN_OR_RETURN_(ESE_STATUS_CONCAT_(ese_statusor_, __LINE__), lhs, expr)

#define ESE_STATUS_CONCAT_INNER_(a, b) a##b
#define ESE_STATUS_CONCAT_(a, b) ESE_STATUS_CONCAT_INNER_(a, b)
#define ESE_ASSIGN_OR_RETURN_(statusor, lhs, expr) \
  auto statusor = (expr);                          \
  if (!statusor.ok()) return statusor.status();    \
  lhs = *std::move(statusor)
