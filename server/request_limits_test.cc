// SPDX-License-Identifier: Apache-2.0
#include "server/request_limits.h"

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "ese/v1/speech.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/dynamic_message.h"
#include "grpc/health/v1/health.pb.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MessageFactory;
using ::testing::AllOf;
using ::testing::HasSubstr;

// The fields that lead from a request to the field that is tested, which comes last.
using Path = std::vector<const FieldDescriptor*>;

void FindFields(const Descriptor& message, Path* above, std::vector<Path>* found) {
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor* field = message.field(i);
    above->push_back(field);
    if (field->is_repeated() || field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      found->push_back(*above);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      FindFields(*field->message_type(), above, found);
    }
    above->pop_back();
  }
}

// The requests of all methods that this program's services have.
std::set<const Descriptor*> Requests() {
  std::set<const Descriptor*> requests;
  for (const Descriptor* some : {v1::StreamingInferRequest::descriptor(),
                                 grpc::health::v1::HealthCheckRequest::descriptor()}) {
    const auto* file = some->file();
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        requests.insert(file->service(s)->method(m)->input_type());
      }
    }
  }
  return requests;
}

// Returns a request in which the field at the end of the path has this many bytes.
std::unique_ptr<Message> RequestWith(const Descriptor& type, const Path& path, size_t bytes) {
  std::unique_ptr<Message> request(MessageFactory::generated_factory()->GetPrototype(&type)->New());
  Message* message = request.get();
  for (const FieldDescriptor* field : path) {
    if (field == path.back()) {
      message->GetReflection()->SetString(message, field, std::string(bytes, 'x'));
    } else {
      message = message->GetReflection()->MutableMessage(message, field);
    }
  }
  return request;
}

void ExpectBounded(const Descriptor& request, const Path& path) {
  const FieldDescriptor& field = *path.back();
  const auto bound = BoundOf(field);
  ASSERT_TRUE(bound) << field.full_name() << " has no bound in request_limits.cc";
  ASSERT_FALSE(field.is_repeated()) << "this test builds no repeated field yet";
  if (*bound == kBoundByMessage) {
    EXPECT_EQ(field.full_name(), "ese.v1.StreamingInferRequest.chunk");
    return;
  }
  EXPECT_EQ(CheckFieldLengths(*RequestWith(request, path, *bound)), absl::OkStatus());
  const absl::Status refusal = CheckFieldLengths(*RequestWith(request, path, *bound + 1));
  EXPECT_EQ(refusal.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refusal.message()),
              AllOf(HasSubstr(field.name() + " has " + std::to_string(*bound + 1) + " bytes"),
                    HasSubstr("at most " + std::to_string(*bound) + ";")));
}

TEST(RequestLimitsTest, EveryFieldOfEveryRequestIsBounded) {
  int tested = 0;
  for (const Descriptor* request : Requests()) {
    Path path;
    std::vector<Path> fields;
    FindFields(*request, &path, &fields);
    for (const Path& field : fields) {
      SCOPED_TRACE(field.back()->full_name());
      ExpectBounded(*request, field);
      ++tested;
    }
  }
  EXPECT_GE(tested, 5);
}

TEST(RequestLimitsTest, NamesFieldsOfInnerMessagesByTheirPath) {
  v1::StreamingInferRequest request;
  request.mutable_config()->set_tenant(std::string(1 << 20, 't'));
  EXPECT_EQ(std::string(CheckFieldLengths(request).message()),
            "config.tenant has 1048576 bytes, but may have at most 256; send a shorter one");
}

TEST(RequestLimitsTest, AFieldWithoutABoundMustBeEmpty) {
  v1::ListModelsResponse not_a_request;
  EXPECT_EQ(CheckFieldLengths(not_a_request), absl::OkStatus());
  not_a_request.add_models();
  EXPECT_THAT(std::string(CheckFieldLengths(not_a_request).message()),
              HasSubstr("models has 1 items, but may have at most 0"));
  v1::Checkpoint text;
  text.set_token("t");
  EXPECT_FALSE(CheckFieldLengths(text).ok());
}

}  // namespace
}  // namespace ese
