// SPDX-License-Identifier: Apache-2.0
// ese-client's commands, run in this process against a scripted server.
#include "client/client_command.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include "client/fake_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

struct Outcome {
  int status;
  std::string out;
  std::string err;
};

Outcome RunClient(std::vector<std::string> arguments, int in = -1) {
  std::vector<const char*> argv = {"ese-client"};
  for (const std::string& argument : arguments) argv.push_back(argument.c_str());
  std::ostringstream out;
  std::ostringstream err;
  const int status = ClientMain(static_cast<int>(argv.size()), argv.data(), {in, out, err});
  return {status, out.str(), err.str()};
}

std::string TempPath(const std::string& name) {
  return ::testing::TempDir() + "/client_command_test." + name;
}

std::string WriteFile(const std::string& name, const std::string& content) {
  std::ofstream(TempPath(name), std::ios::binary) << content;
  return TempPath(name);
}

// A canonical WAV header before 16-bit mono samples of 0.3 s.
std::string WriteWav(const std::string& name, int rate_hz = 16000) {
  const auto number = [](uint32_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
    return text;
  };
  const std::string samples(2 * (3 * rate_hz / 10), '\x11');
  return WriteFile(name, "RIFF" + number(36 + samples.size(), 4) + "WAVEfmt " + number(16, 4) +
                             number(1, 2) + number(1, 2) + number(rate_hz, 4) +
                             number(2 * rate_hz, 4) + number(2, 2) + number(16, 2) + "data" +
                             number(samples.size(), 4) + samples);
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// ---- Arguments

TEST(ClientArgumentsTest, HelpAndVersion) {
  const Outcome help = RunClient({"--help"});
  EXPECT_EQ(help.status, 0);
  EXPECT_THAT(help.out, AllOf(HasSubstr("transcribe"), HasSubstr("stream"), HasSubstr("models")));
  EXPECT_THAT(RunClient({"--version"}).out, HasSubstr(ESE_VERSION));
}

TEST(ClientArgumentsTest, Errors) {
  EXPECT_NE(RunClient({}).status, 0);
  EXPECT_NE(RunClient({"sing"}).status, 0);
  EXPECT_THAT(RunClient({"transcribe"}).err, HasSubstr("files is required"));
  EXPECT_THAT(RunClient({"stream", "--rate", "7"}).err, HasSubstr("--rate"));
  EXPECT_THAT(RunClient({"models", "--timeout", "0"}).err, HasSubstr("--timeout"));
  EXPECT_THAT(RunClient({"transcribe", "x.wav", "--json", "y"}).err, HasSubstr("--references"));
  EXPECT_NE(RunClient({"models", "--unknown"}).status, 0);
}

TEST(ClientArgumentsTest, NothingListening) {
  const std::string address = DeadAddress();
  for (const std::string command : {"models", "stream"}) {
    const Outcome outcome = RunClient({command, "--server", address});
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.err,
                AllOf(HasSubstr("nothing listens at " + address), HasSubstr("start ese-server")));
  }
}

// ---- models

TEST(ModelsTest, PrintsSettings) {
  FakeServer server;
  const Outcome outcome = RunClient({"models", "--server", server.address()});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("fake\n"), HasSubstr("24 values"), HasSubstr("16000 Hz"),
                                 HasSubstr("from 20 Hz to 8000 Hz"), HasSubstr("every 30 ms"),
                                 HasSubstr("4: <blank> K AE T"), HasSubstr("unit 0")));
}

TEST(ModelsTest, FeaturesOnlyAndNoBlank) {
  v1::Model model = FakeModel();
  model.clear_features();
  model.set_blank(-1);
  FakeServer server({}, {model});
  EXPECT_THAT(RunClient({"models", "--server", server.address(), "--model", "fake"}).out,
              AllOf(HasSubstr("takes features only"), HasSubstr("posteriors only")));
  EXPECT_EQ(RunClient({"models", "--server", server.address(), "--model", "other"}).status, 1);
}

// ---- transcribe

TEST(TranscribeTest, PrintsUnitsOfEachFileInOrder) {
  FakeServer server({.units = {"K", "AE", "T"}});
  const std::string a = WriteWav("a.wav");
  const std::string b = WriteWav("b.wav", 44100);
  const Outcome outcome = RunClient({"--server", server.address(), "transcribe", a, b});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, a + ": K AE T\n" + b + ": K AE T\n");
  ASSERT_THAT(server.calls(), SizeIs(2));
  for (const FakeServer::Call& call : server.calls()) {
    EXPECT_TRUE(call.config.return_units());
    EXPECT_FALSE(call.config.return_posteriors());
    EXPECT_EQ(call.config.audio().sample_rate_hz(), 16000u);
    EXPECT_NEAR(static_cast<double>(call.content.size()), 9600,
                4);  // resampled to the model's rate
    EXPECT_TRUE(call.half_closed);
  }
}

TEST(TranscribeTest, Features) {
  FakeServer server({.units = {"K"}});
  const Outcome outcome =
      RunClient({"transcribe", "--features", WriteWav("a.wav"), "--server", server.address()});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  const FakeServer::Call call = server.calls().at(0);
  EXPECT_EQ(call.config.features().encoding(), v1::FeatureInput::FLOAT32);
  EXPECT_EQ(call.content.size(), 9u * 24 * 4);  // 28 windows in 0.3 s
}

TEST(TranscribeTest, Times) {
  FakeServer server({.units = {"K", "AE"}});
  const std::string a = WriteWav("a.wav");
  EXPECT_EQ(RunClient({"transcribe", "--times", a, "--server", server.address()}).out,
            a + ": K AE\n     0.000 s  K\n     0.030 s  AE\n");
}

TEST(TranscribeTest, ReferencesGiveErrorRatesAndAFigure) {
  FakeServer server({.units = {"K", "AE", "T", "S"}});
  const std::string a = WriteWav("a.wav");
  const std::string b = WriteWav("b.wav");
  const std::string table = WriteFile("references.tsv",
                                      "file\tset\tphones\ttext\n"
                                      "client_command_test.a.wav\tone\tK AE T S\tcats\n"
                                      "client_command_test.b.wav\ttwo\tK AA T\tcot\n");
  const std::string json = TempPath("per.json");
  std::filesystem::remove(json);
  const Outcome outcome = RunClient({"transcribe", a, b, "--references", table, "--json", json,
                                     "--prefix", "test", "--server", server.address()});
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr(a + ": PER 0.0 % (4 phones; 0 substituted, 0 missed, 0 inserted)"),
                    HasSubstr(b + ": PER 66.7 % (3 phones; 1 substituted, 0 missed, 1 inserted)"),
                    HasSubstr("  text        cot\n"
                              "  reference   K AA T *\n"
                              "  recognised  K AE T S\n")));
  EXPECT_THAT(outcome.out, EndsWith("set  files  phones  errors       PER\n"
                                    "one      1       4       0     0.0 %\n"
                                    "two      1       3       2    66.7 %\n"
                                    "all      2       7       2    28.6 %\n"));
  EXPECT_THAT(ReadAll(json), StartsWith("{\"name\":\"test.per\",\"value\":0.2857"));
}

TEST(TranscribeTest, LongAlignmentsAreWrapped) {
  FakeServer server({.units = std::vector<std::string>(60, "AE")});
  std::string phones = "AE";
  for (int i = 1; i < 60; ++i) phones += " AE";
  const std::string table =
      WriteFile("references.tsv", "file\tphones\nclient_command_test.a.wav\t" + phones + "\n");
  std::istringstream lines(RunClient({"transcribe", WriteWav("a.wav"), "--references", table,
                                      "--server", server.address()})
                               .out);
  int references = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("  reference", 0) != 0) continue;
    ++references;
    EXPECT_LE(line.size(), 100u);
  }
  EXPECT_EQ(references, 3);
}

TEST(TranscribeTest, BadFilesAreReportedAndTheOthersDone) {
  FakeServer server({.units = {"K"}});
  const std::string good = WriteWav("good.wav");
  const std::string text = WriteFile("text.wav", "this is no audio at all, just some text");
  const Outcome outcome =
      RunClient({"transcribe", "/nowhere/x.wav", text, good, "--server", server.address()});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_EQ(outcome.out, good + ": K\n");
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("ese-client: /nowhere/x.wav: cannot be read"),
                                 HasSubstr("ese-client: " + text + ": is not audio")));
}

TEST(TranscribeTest, FileWithoutReferenceIsAnError) {
  FakeServer server({.units = {"K"}});
  const std::string a = WriteWav("a.wav");
  const std::string b = WriteWav("b.wav");
  const std::string table =
      WriteFile("references.tsv", "file\tphones\nclient_command_test.b.wav\tK\n");
  const Outcome outcome =
      RunClient({"transcribe", a, b, "--references", table, "--server", server.address()});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr(a + ": there is no line for this file in " + table));
  EXPECT_THAT(outcome.out, AllOf(HasSubstr(b + ": PER 0.0 %"), Not(HasSubstr(a))));
}

TEST(TranscribeTest, UnwritableJsonAndMissingTableAreFoundBeforeAnythingIsSent) {
  FakeServer server;
  const std::string table = WriteFile("references.tsv", "file\tphones\na.wav\tK\n");
  const std::string a = WriteWav("a.wav");
  Outcome outcome = RunClient({"transcribe", a, "--references", table, "--json", "/nowhere/x.json",
                               "--server", server.address()});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("/nowhere/x.json: cannot be written"));
  outcome =
      RunClient({"transcribe", a, "--references", "/nowhere/x.tsv", "--server", server.address()});
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("/nowhere/x.tsv: cannot be read"));
  EXPECT_THAT(server.calls(), SizeIs(0));
}

TEST(TranscribeTest, FailingCallsNameTheFileAndTheServer) {
  const std::string a = WriteWav("a.wav");
  {
    FakeServer server({.refusal = {grpc::StatusCode::UNAVAILABLE, "full"}});
    const Outcome outcome = RunClient({"transcribe", a, "--server", server.address()});
    EXPECT_EQ(outcome.status, 1);
    EXPECT_THAT(outcome.err, HasSubstr(a + ": server " + server.address() + ": full"));
  }
  {
    FakeServer server({.fail_at_response = 2});
    EXPECT_THAT(RunClient({"transcribe", a, "--server", server.address()}).err,
                HasSubstr("scripted failure"));
  }
  {
    FakeServer server({.forget_final = true});
    EXPECT_THAT(RunClient({"transcribe", a, "--server", server.address()}).err,
                HasSubstr("without a final response"));
  }
  {
    FakeServer server({.silent_after_chunks = 0});
    const Outcome outcome =
        RunClient({"transcribe", a, "--server", server.address(), "--timeout", "0.5"});
    EXPECT_EQ(outcome.status, 1);
  }
}

TEST(TranscribeTest, ModelsThatCannotTranscribe) {
  const std::string a = WriteWav("a.wav");
  v1::Model model = FakeModel();
  model.set_blank(-1);
  FakeServer no_blank({}, {model});
  EXPECT_THAT(RunClient({"transcribe", a, "--server", no_blank.address()}).err,
              HasSubstr("has no blank unit"));
  model = FakeModel();
  model.clear_features();
  FakeServer no_audio({}, {model});
  EXPECT_THAT(RunClient({"transcribe", a, "--server", no_audio.address()}).err,
              HasSubstr("takes features only"));
}

// ---- stream

// A pipe that a test writes to.
class Pipe {
 public:
  Pipe() { EXPECT_EQ(pipe(ends_), 0); }
  ~Pipe() {
    close(ends_[0]);
    CloseWriter();
  }
  int reader() const { return ends_[0]; }
  void Write(const std::string& bytes) {
    EXPECT_EQ(write(ends_[1], bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  void CloseWriter() {
    if (ends_[1] >= 0) close(ends_[1]);
    ends_[1] = -1;
  }

 private:
  int ends_[2] = {-1, -1};
};

TEST(StreamTest, PrintsUnitsUntilTheEndOfTheInput) {
  FakeServer server({.units = {"K", "AE", "T"}});
  Pipe pipe;
  pipe.Write(std::string(8000, '\0'));  // 0.5 s at 8 kHz
  pipe.CloseWriter();
  const Outcome outcome =
      RunClient({"stream", "--rate", "8000", "--server", server.address()}, pipe.reader());
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "K AE T \n");
  EXPECT_NEAR(static_cast<double>(server.calls().at(0).content.size()), 16000, 4);
}

TEST(StreamTest, TimesAndFeatures) {
  FakeServer server({.units = {"K", "AE"}});
  Pipe pipe;
  pipe.Write(std::string(9600, '\0'));
  pipe.CloseWriter();
  const Outcome outcome =
      RunClient({"stream", "--times", "--features", "--server", server.address()}, pipe.reader());
  EXPECT_EQ(outcome.out, "   0.000 s  K\n   0.030 s  AE\n");
  EXPECT_EQ(server.calls().at(0).content.size(), 9u * 24 * 4);
}

TEST(StreamTest, EmptyInput) {
  FakeServer server;
  Pipe pipe;
  pipe.CloseWriter();
  const Outcome outcome = RunClient({"stream", "--server", server.address()}, pipe.reader());
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "\n");
}

TEST(StreamTest, HalfASampleIsDroppedWithAWarning) {
  FakeServer server;
  Pipe pipe;
  pipe.Write("abc");
  pipe.CloseWriter();
  const Outcome outcome = RunClient({"stream", "--server", server.address()}, pipe.reader());
  EXPECT_EQ(outcome.status, 0);
  EXPECT_THAT(outcome.err, HasSubstr("in the middle of a sample"));
  EXPECT_EQ(server.calls().at(0).content, "ab");
}

TEST(StreamTest, GoesOnAtTheNextServer) {
  FakeServer drains({.units = {"K"}, .drain_after_chunks = 2});
  FakeServer other({.units = {"AE", "T"}});  // the first one with the content that is sent again
  Pipe pipe;
  pipe.Write(std::string(4 * 3200, '\0'));
  pipe.CloseWriter();
  const Outcome outcome =
      RunClient({"stream", "--server", drains.address() + "," + other.address()}, pipe.reader());
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "K T \n");
  EXPECT_THAT(other.calls(), SizeIs(1));
}

TEST(StreamTest, VanishingServerEndsTheCommandThoughTheInputStaysOpen) {
  FakeServer server;
  Pipe pipe;
  pipe.Write(std::string(6400, '\0'));
  std::thread killer([&] {
    server.AwaitChunks(2);
    server.Stop();
  });
  const Outcome outcome =
      RunClient({"stream", "--server", server.address(), "--give-up", "0.1"}, pipe.reader());
  killer.join();
  EXPECT_EQ(outcome.status, 1);
  EXPECT_THAT(outcome.err, HasSubstr("server " + server.address()));
}

}  // namespace
}  // namespace ese
