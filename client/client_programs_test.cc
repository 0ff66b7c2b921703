// SPDX-License-Identifier: Apache-2.0
// The programs themselves: exit statuses, standard streams, signals.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/test_paths.h"
#include "client/fake_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

extern char** environ;

namespace ese {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A running program whose output goes to files.
class Program {
 public:
  Program(const std::string& name, std::vector<std::string> arguments, int in = -1)
      : out_(::testing::TempDir() + "/client_programs_test.out"),
        err_(::testing::TempDir() + "/client_programs_test.err") {
    const std::string path = BinaryDir() + "/bin/" + name;
    std::vector<char*> argv = {const_cast<char*>(path.c_str())};
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    if (in >= 0) {
      posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    } else {
      posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    }
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out_.c_str(), kFlags, 0600);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err_.c_str(), kFlags, 0600);
    EXPECT_EQ(posix_spawn(&pid_, path.c_str(), &actions, nullptr, argv.data(), environ), 0) << path;
    posix_spawn_file_actions_destroy(&actions);
  }

  void Signal(int number) { EXPECT_EQ(kill(pid_, number), 0); }
  // Waits for the end. Returns the exit status, or -1 if a signal ended the program.
  int Wait() {
    int status = 0;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string out() const { return ReadAll(out_); }
  std::string err() const { return ReadAll(err_); }

 private:
  static std::string ReadAll(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  const std::string out_;
  const std::string err_;
  pid_t pid_ = -1;
};

TEST(ClientProgramsTest, HelpAndVersion) {
  for (const std::string name : {"ese-client", "ese-load"}) {
    Program help(name, {"--help"});
    EXPECT_EQ(help.Wait(), 0);
    EXPECT_THAT(help.out(), HasSubstr("--server"));
    Program version(name, {"--version"});
    EXPECT_EQ(version.Wait(), 0);
    EXPECT_THAT(version.out(), HasSubstr(ESE_VERSION));
  }
}

TEST(ClientProgramsTest, NothingListening) {
  const std::string address = DeadAddress();
  Program client("ese-client", {"models", "--server", address});
  EXPECT_EQ(client.Wait(), 1);
  EXPECT_THAT(client.err(), HasSubstr("nothing listens at " + address));
  Program load("ese-load", {"--server", address});
  EXPECT_EQ(load.Wait(), 1);
  EXPECT_THAT(load.err(), HasSubstr("nothing listens at " + address));
}

TEST(ClientProgramsTest, TranscribesRecordings) {
  FakeServer server({.units = {"K", "AE", "T"}});
  const std::string folder = SourceDir() + "/tests/data/speech/";
  Program client("ese-client",
                 {"transcribe", folder + "conf-placeintoconf.wav", folder + "vm-sorry.flac",
                  folder + "vm-tempgreetactive.ogg", "--references", folder + "references.tsv",
                  "--server", server.address()});
  EXPECT_EQ(client.Wait(), 0) << client.err();
  EXPECT_THAT(client.out(), AllOf(HasSubstr("vm-sorry.flac: PER "), HasSubstr("asterisk      3")));
}

TEST(ClientProgramsTest, StreamsStandardInput) {
  FakeServer server({.units = {"K", "AE"}});
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  Program client("ese-client", {"stream", "--server", server.address()}, ends[0]);
  close(ends[0]);
  const std::string samples(6400, '\0');
  EXPECT_EQ(write(ends[1], samples.data(), samples.size()), 6400);
  server.AwaitChunks(2);  // sent before the input has ended
  close(ends[1]);
  EXPECT_EQ(client.Wait(), 0) << client.err();
  EXPECT_EQ(client.out(), "K AE \n");
}

TEST(ClientProgramsTest, InterruptedLoadReportsWhatItHas) {
  FakeServer server;
  Program load("ese-load", {"--streams", "3", "--seconds", "3600", "--timeout", "100", "--server",
                            server.address()});
  server.AwaitChunks(12);
  load.Signal(SIGINT);
  EXPECT_EQ(load.Wait(), 0) << load.err();
  EXPECT_THAT(load.out(), AllOf(HasSubstr("(stopped early)"), HasSubstr("3 answered to the end"),
                                HasSubstr("\nlatency    ")));
}

TEST(ClientProgramsTest, OutputThatCannotBeWrittenIsAnError) {
  FakeServer server;
  const std::string command = BinaryDir() + "/bin/ese-client models --server " + server.address() +
                              " >/dev/full 2>/dev/null";
  EXPECT_NE(system(command.c_str()), 0);
}

}  // namespace
}  // namespace ese
