// SPDX-License-Identifier: Apache-2.0
// CRC32C (Castagnoli), the checksum of iSCSI (RFC 3720, appendix B.4); guards each part of a model.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ese {

// The checksum of `size` bytes; `crc` continues an earlier one (0 to begin).
uint32_t Crc32c(const void* data, size_t size, uint32_t crc = 0);

}  // namespace ese
