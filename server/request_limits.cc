// SPDX-License-Identifier: Apache-2.0
#include "server/request_limits.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/status.h"
#include "server/checkpoint.h"

namespace ese {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

struct Bound {
  absl::string_view field;
  size_t most;
};

constexpr Bound kBounds[] = {
    {"ese.v1.StreamingInferRequest.chunk", kBoundByMessage},
    {"ese.v1.StreamingConfig.model", kMaxNameBytes},
    {"ese.v1.StreamingConfig.resume_token", kMaxTokenBytes},
    {"ese.v1.StreamingConfig.tenant", kMaxNameBytes},
    {"grpc.health.v1.HealthCheckRequest.service", kMaxNameBytes},
    {"grpc.reflection.v1alpha.ExtensionRequest.containing_type", kMaxNameBytes},
    {"grpc.reflection.v1alpha.ServerReflectionRequest.all_extension_numbers_of_type",
     kMaxNameBytes},
    {"grpc.reflection.v1alpha.ServerReflectionRequest.file_by_filename", kMaxNameBytes},
    {"grpc.reflection.v1alpha.ServerReflectionRequest.file_containing_symbol", kMaxNameBytes},
    {"grpc.reflection.v1alpha.ServerReflectionRequest.host", kMaxNameBytes},
    {"grpc.reflection.v1alpha.ServerReflectionRequest.list_services", kMaxNameBytes},
};

bool NeedsBound(const FieldDescriptor& field) {
  return field.is_repeated() || field.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
}

// The length of a field that needs a bound, in the bound's unit.
size_t LengthOf(const Message& message, const FieldDescriptor& field) {
  const auto* reflection = message.GetReflection();
  if (field.is_repeated()) return reflection->FieldSize(message, &field);
  std::string scratch;
  return reflection->GetStringReference(message, &field, &scratch).size();
}

absl::Status CheckFields(const Message& message, const std::string& path) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const auto name = [&] { return absl::StrCat(path, field->name()); };
    if (NeedsBound(*field)) {
      const size_t length = LengthOf(message, *field);
      const size_t most = BoundOf(*field).value_or(0);
      if (length <= most) continue;
      const absl::string_view unit = field->is_repeated() ? " items" : " bytes";
      return absl::InvalidArgumentError(absl::StrCat(
          name(), " has ", length, unit, ", but may have at most ", most, "; send a shorter one"));
    }
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      ESE_RETURN_IF_ERROR(CheckFields(message.GetReflection()->GetMessage(message, field),
                                      absl::StrCat(name(), ".")));
    }
  }
  return absl::OkStatus();
}

}  // namespace

std::optional<size_t> BoundOf(const FieldDescriptor& field) {
  const auto* found = std::ranges::find(kBounds, field.full_name(), &Bound::field);
  if (found == std::end(kBounds)) return std::nullopt;
  return found->most;
}

absl::Status CheckFieldLengths(const Message& request) { return CheckFields(request, ""); }

}  // namespace ese
