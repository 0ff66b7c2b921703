// SPDX-License-Identifier: Apache-2.0
// ese-bench-echo READY_FILE is a yardstick for ese-server. It speaks ese.v1 with gRPC's callback
// API and computes nothing: it answers every chunk at once with 160 bytes and does not parse it. So
// only the processor time by which ese-server exceeds this program can be saved in our code. It
// serves until its standard input ends.
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>

#include "ese/v1/speech.grpc.pb.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"
#include "grpcpp/support/byte_buffer.h"

namespace {

using Base = ese::v1::SpeechInference::Service;
using Service = ese::v1::SpeechInference::WithRawCallbackMethod_StreamingInfer<Base>;

constexpr int kFramesOfAChunk = 10;
constexpr size_t kAnswerBytes = 160;

ese::v1::Model EchoModel() {
  ese::v1::Model model;
  model.set_name("echo");
  model.set_fingerprint("echo");
  model.set_input_dim(153);
  model.set_blank(-1);
  return model;
}

grpc::ByteBuffer ToBuffer(const ese::v1::StreamingInferResponse& response) {
  const grpc::Slice slice(response.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

// Reads a message, answers it, and reads the next one.
class EchoCall final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  EchoCall() { StartRead(&request_); }

  void OnReadDone(bool ok) override {
    ese::v1::StreamingInferResponse response;
    if (ok && chunks_ < 0) {
      *response.mutable_model() = EchoModel();
    } else {
      response.set_first_frame(chunks_ * kFramesOfAChunk);
      response.set_chunks_done(ok ? chunks_ + 1 : chunks_);
      response.set_is_final(!ok);
      if (ok) {
        response.set_num_frames(kFramesOfAChunk);
        response.set_log_posteriors(std::string(kAnswerBytes - response.ByteSizeLong() - 3, '\0'));
      }
    }
    if (ok) ++chunks_;
    response_ = ToBuffer(response);
    if (ok) {
      StartWrite(&response_);
    } else {
      StartWriteAndFinish(&response_, grpc::WriteOptions(), grpc::Status::OK);
    }
  }
  void OnWriteDone(bool ok) override {
    if (ok) StartRead(&request_);
    if (!ok) Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

 private:
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  int64_t chunks_ = -1;  // answered chunks; -1 before the config is answered
};

class EchoService final : public Service {
  grpc::Status ListModels(grpc::ServerContext*, const ese::v1::ListModelsRequest*,
                          ese::v1::ListModelsResponse* response) override {
    *response->add_models() = EchoModel();
    return grpc::Status::OK;
  }
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StreamingInfer(
      grpc::CallbackServerContext*) override {
    return new EchoCall;
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: ese-bench-echo READY_FILE\n";
    return 2;
  }
  EchoService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  std::ofstream(argv[1]) << "grpc=127.0.0.1:" << port << "\nmetrics=\n";
  while (std::getchar() != EOF) {
  }
  server->Shutdown(std::chrono::system_clock::now());
}
