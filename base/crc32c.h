// SPDX-License-Identifier: Apache-2.0
// CRC32C (Castagnoli), the checksum of iSCSI (RFC 3720, appendix B.4). Every section of a model
// file has one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ese {

// Returns the checksum of `size` bytes. To continue an earlier checksum, pass it as `crc`.
uint32_t Crc32c(const void* data, size_t size, uint32_t crc = 0);

}  // namespace ese
