// SPDX-License-Identifier: Apache-2.0
#include "server/model_directory.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/testing.h"

namespace ese {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class ModelDirectoryTest : public testing::Test {
 protected:
  ModelDirectoryTest() : folder_(absl::StrCat(testing::TempDir(), "ese_models_", ::getpid())) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~ModelDirectoryTest() override { std::filesystem::remove_all(folder_); }

  static std::string Bytes(uint32_t seed) {
    return *SerializeModel(RandomModelDraft({.seed = seed}));
  }
  static std::string Fingerprint(uint32_t seed) {
    return (*Model::FromBytes(Bytes(seed)))->fingerprint();
  }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  void Write(const std::string& name, const std::string& bytes) const {
    std::ofstream(Path(name), std::ios::binary) << bytes;
  }
  // Polls, and returns the fingerprint or the error of each file that was read.
  std::vector<std::string> Read() {
    auto changes = directory_.Poll();
    EXPECT_TRUE(changes.ok()) << changes.status();
    gone_ = changes->gone;
    std::vector<std::string> read;
    for (const auto& file : changes->read) {
      read.push_back(file.model.ok() ? (*file.model)->fingerprint()
                                     : file.model.status().ToString());
    }
    return read;
  }

  const std::string folder_;
  ModelDirectory directory_{folder_};
  std::vector<std::string> gone_;
};

TEST_F(ModelDirectoryTest, TheFirstPollReadsAllModelsInTheOrderOfTheirLastWrite) {
  Write("b.ese", Bytes(1));
  Write("a.ese", Bytes(2));
  Write("c.txt", "no model");
  Write(".hidden.ese", "nor this");
  std::filesystem::create_directory(Path("folder.ese"));
  const auto now = std::filesystem::file_time_type::clock::now();
  std::filesystem::last_write_time(Path("b.ese"), now - std::chrono::hours(1));
  EXPECT_THAT(Read(), ElementsAre(Fingerprint(1), Fingerprint(2)));
  EXPECT_THAT(Read(), IsEmpty());
}

TEST_F(ModelDirectoryTest, ANewFileIsReadOnceItStopsChanging) {
  EXPECT_THAT(Read(), IsEmpty());
  const std::string bytes = Bytes(1);
  for (const size_t part : {size_t{100}, bytes.size() / 2, bytes.size()}) {
    Write("a.ese", bytes.substr(0, part));
    EXPECT_THAT(Read(), IsEmpty()) << "the file has just been written to";
  }
  EXPECT_THAT(Read(), ElementsAre(Fingerprint(1)));
  EXPECT_THAT(Read(), IsEmpty());
}

TEST_F(ModelDirectoryTest, AReplacedFileIsReadAgainAndTheOldModelStaysIntact) {
  Write("a.ese", Bytes(1));
  auto changes = directory_.Poll();
  ASSERT_TRUE(changes.ok());
  const auto before = *changes->read.at(0).model;
  Write("new", Bytes(2));
  std::filesystem::rename(Path("new"), Path("a.ese"));
  EXPECT_THAT(Read(), IsEmpty());
  EXPECT_THAT(Read(), ElementsAre(Fingerprint(2)));
  Write("a.ese", "");  // in place, which would crash a server that had mapped the file
  EXPECT_EQ(before->output.bias.size(), 7u);
  EXPECT_EQ(before->output.entries.size(),
            static_cast<size_t>(before->output.rows) * before->output.entries_per_row);
  EXPECT_THAT(Read(), IsEmpty());
  EXPECT_THAT(Read(), ElementsAre(HasSubstr("a.ese: ")));
  EXPECT_THAT(Read(), IsEmpty()) << "a refused file is not read again";
}

TEST_F(ModelDirectoryTest, AMalformedFileGivesAnErrorThatNamesIt) {
  Write("bad.ese", "not a model");
  EXPECT_THAT(Read(), ElementsAre(HasSubstr(Path("bad.ese"))));
  EXPECT_THAT(Read(), IsEmpty());
}

TEST_F(ModelDirectoryTest, ForgetMakesItReadEveryFileAgain) {
  Write("a.ese", Bytes(1));
  Write("bad.ese", "not a model");
  EXPECT_THAT(Read(), SizeIs(2));
  EXPECT_THAT(Read(), IsEmpty());
  directory_.Forget();
  EXPECT_THAT(Read(), SizeIs(2));
  EXPECT_THAT(Read(), IsEmpty());
}

TEST_F(ModelDirectoryTest, AFileThatWasReadIsReportedAsGoneOnce) {
  Write("a.ese", Bytes(1));
  EXPECT_THAT(Read(), SizeIs(1));
  Write("unread.ese", Bytes(2));
  EXPECT_THAT(Read(), IsEmpty());
  std::filesystem::remove(Path("a.ese"));
  std::filesystem::remove(Path("unread.ese"));
  EXPECT_THAT(Read(), IsEmpty());
  EXPECT_THAT(gone_, ElementsAre(Path("a.ese")));
  Read();
  EXPECT_THAT(gone_, IsEmpty());
}

TEST_F(ModelDirectoryTest, TheErrorForAMissingFolderNamesIt) {
  std::filesystem::remove_all(folder_);
  const absl::Status status = directory_.Poll().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(folder_));
}

}  // namespace
}  // namespace ese
