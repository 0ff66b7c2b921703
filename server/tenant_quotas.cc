// SPDX-License-Identifier: Apache-2.0
#include "server/tenant_quotas.h"

#include "absl/strings/str_cat.h"

namespace ese {

absl::StatusOr<TenantQuotas::Permit> TenantQuotas::Admit(const std::string& tenant,
                                                         int max_streams) {
  if (max_streams == 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the tenant \"", tenant,
                     "\" may not open streams on this server (max_streams=0 in the file of "
                     "--tokens); ask its operator"));
  }
  const MutexLock lock(mutex_);
  int& open = open_[tenant];
  if (open >= max_streams) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the tenant \"", tenant, "\" may have ", max_streams,
                     " streams open on this server (max_streams in the file of --tokens), and has "
                     "them; end one first"));
  }
  ++open;
  return Permit(this, [this, tenant](const void*) { Leave(tenant); });
}

void TenantQuotas::Leave(const std::string& tenant) {
  const MutexLock lock(mutex_);
  const auto found = open_.find(tenant);
  if (--found->second == 0) open_.erase(found);
}

}  // namespace ese
