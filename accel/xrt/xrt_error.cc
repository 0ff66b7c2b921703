// SPDX-License-Identifier: Apache-2.0
#include "accel/xrt/xrt_error.h"

#include <cerrno>
#include <new>
#include <system_error>

#include "absl/strings/str_cat.h"

namespace ese {
namespace {

absl::Status OfErrno(int number, const std::string& message) {
  switch (number) {
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(absl::StrCat(
          message,
          "; add the user to the group render, which owns /dev/dri/renderD* (docs/cards.md)"));
    case EBUSY:
      return absl::FailedPreconditionError(absl::StrCat(
          message,
          "; end the program that holds the card (fuser -v /dev/dri/renderD*), or leave the card "
          "out of --channels"));
    case ENODEV:
    case ENXIO:
    case ESHUTDOWN:
      return absl::NotFoundError(
          absl::StrCat(message,
                       "; the card is gone: dmesg may say why, and the card is used again when it "
                       "comes back"));
    default:
      return absl::UnavailableError(message);
  }
}

}  // namespace

absl::Status CurrentXrtError(const std::string& what) {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError(
        absl::StrCat(what, ": the card's memory is full; serve fewer or smaller models on it"));
  } catch (const std::system_error& error) {
    return OfErrno(error.code().value(), absl::StrCat(what, ": ", error.what()));
  } catch (const std::exception& error) {
    return absl::UnavailableError(absl::StrCat(what, ": ", error.what()));
  } catch (...) {
    return absl::UnavailableError(absl::StrCat(what, ": XRT gave no reason"));
  }
}

}  // namespace ese
