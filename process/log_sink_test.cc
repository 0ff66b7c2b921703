// SPDX-License-Identifier: Apache-2.0
#include "process/log_sink.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "spdlog/spdlog.h"

namespace ese {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr Duration kLimit = std::chrono::seconds(30);

class LogSinkTest : public testing::Test {
 protected:
  LogSinkTest() : folder_(absl::StrCat(testing::TempDir(), "ese_log_sink_", ::getpid())) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    if (pipe2(pipe_, O_CLOEXEC) != 0) ADD_FAILURE();
    std::signal(SIGPIPE, SIG_IGN);  // a thread may still write when the pipe is closed
  }
  ~LogSinkTest() override {
    close(pipe_[0]);
    std::filesystem::remove_all(folder_);
  }

  // Writes "1", "2" and so on, one line each, to the full pipe until 100 lines have been dropped.
  // Returns how many lines were logged.
  int64_t LogUntilDropped(LogSink& sink, spdlog::logger& logger) {
    int64_t lines = 0;
    while (dropped()->Value() < 100) logger.info("{}", ++lines);
    EXPECT_FALSE(sink.Flush(Duration(0)));
    return lines;
  }
  // Closes the writing end, and returns all lines that are in the pipe.
  std::vector<std::string> ReadPipe() {
    close(pipe_[1]);
    std::string text, block(1 << 16, '\0');
    ssize_t n = 0;
    while ((n = read(pipe_[0], block.data(), block.size())) > 0) text.append(block.data(), n);
    return absl::StrSplit(text, '\n', absl::SkipEmpty());
  }
  Counter* dropped() { return metrics_.GetCounter("dropped_total", "Dropped."); }
  static std::vector<std::string> Lines(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return absl::StrSplit(text.str(), '\n', absl::SkipEmpty());
  }

  const std::string folder_;
  MetricsRegistry metrics_;
  int pipe_[2] = {-1, -1};
};

TEST_F(LogSinkTest, WritesLinesInOrderAndEscapesThem) {
  auto sink = std::make_shared<LogSink>(pipe_[1], dropped());
  spdlog::logger logger("test", sink);
  logger.set_pattern("%l %v");
  logger.info("a file named {}", "x\n2026 error forged \x1b[2J");
  logger.error("two");
  ASSERT_TRUE(sink->Flush(kLimit));
  EXPECT_THAT(ReadPipe(),
              ElementsAre("info a file named x\\n2026 error forged \\x1b[2J", "error two"));
  EXPECT_EQ(dropped()->Value(), 0);
}

TEST_F(LogSinkTest, NeverWaitsForAFullPipeAndReportsWhatWasLostWhenItFlows) {
  auto sink = std::make_shared<LogSink>(pipe_[1], dropped());
  spdlog::logger logger("test", sink);
  logger.set_pattern("%v");
  const int64_t logged = LogUntilDropped(*sink, logger);
  std::vector<std::string> lines;
  std::string text, block(1 << 16, '\0');
  while (!absl::StrContains(text, "were dropped")) {
    const ssize_t n = read(pipe_[0], block.data(), block.size());
    ASSERT_GT(n, 0);
    text.append(block.data(), static_cast<size_t>(n));
  }
  ASSERT_TRUE(sink->Flush(kLimit));
  logger.info("flows");
  ASSERT_TRUE(sink->Flush(kLimit));
  for (const std::string& line : ReadPipe()) absl::StrAppend(&text, line, "\n");
  lines = absl::StrSplit(text, '\n', absl::SkipEmpty());
  // All lines up to the loss, the report, and then the next line.
  const auto count = static_cast<int64_t>(dropped()->Value());
  ASSERT_EQ(lines.size(), static_cast<size_t>(logged - count) + 2);
  EXPECT_EQ(lines[lines.size() - 3], absl::StrCat(logged - count));
  EXPECT_THAT(lines[lines.size() - 2], HasSubstr(absl::StrCat(count, " log lines were dropped")));
  EXPECT_EQ(lines.back(), "flows");
}

TEST_F(LogSinkTest, StopLeavesAThreadBehindThatWaits) {
  auto sink = std::make_shared<LogSink>(pipe_[1], dropped());
  spdlog::logger logger("test", sink);
  LogUntilDropped(*sink, logger);
  const double before = dropped()->Value();
  sink->Stop(std::chrono::milliseconds(10));
  logger.info("after the end");
  EXPECT_EQ(dropped()->Value(), before);
}

TEST_F(LogSinkTest, OpensItsFileAgain) {
  const std::string path = folder_ + "/log", former = folder_ + "/log.1";
  auto sink = std::make_shared<LogSink>(STDERR_FILENO, dropped());
  spdlog::logger logger("test", sink);
  logger.set_pattern("%v");
  ASSERT_TRUE(sink->OpenFile(path).ok());
  logger.info("one");
  ASSERT_TRUE(sink->Flush(kLimit));
  std::filesystem::rename(path, former);
  logger.info("two");
  ASSERT_TRUE(sink->Flush(kLimit));
  ASSERT_TRUE(sink->Reopen().ok());
  logger.info("three");
  ASSERT_TRUE(sink->Flush(kLimit));
  EXPECT_THAT(Lines(former), ElementsAre("one", "two"));
  EXPECT_THAT(Lines(path), ElementsAre("three"));
}

TEST_F(LogSinkTest, RefusesAFileThatIsNoneAndKeepsWriting) {
  ASSERT_EQ(mkfifo((folder_ + "/fifo").c_str(), 0600), 0);
  LogSink sink(STDERR_FILENO, dropped());
  EXPECT_THAT(std::string(sink.OpenFile(folder_ + "/fifo").message()), HasSubstr("fifo"));
  EXPECT_THAT(std::string(sink.OpenFile(folder_ + "/no/log").message()), HasSubstr("no/log"));
}

TEST_F(LogSinkTest, CountsLinesThatCannotBeWritten) {
  const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(full, 0);
  auto sink = std::make_shared<LogSink>(full, dropped());
  spdlog::logger logger("test", sink);
  logger.info("one");
  ASSERT_TRUE(sink->Flush(kLimit));
  EXPECT_EQ(dropped()->Value(), 1);
  sink->Stop(kLimit);
}

}  // namespace
}  // namespace ese
