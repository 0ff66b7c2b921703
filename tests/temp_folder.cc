// SPDX-License-Identifier: Apache-2.0
#include "tests/temp_folder.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace ese {

TempFolder::TempFolder(const std::string& name)
    : path_(absl::StrCat(testing::TempDir(), "ese_", name, "_", ::getpid())) {
  std::filesystem::remove_all(path_);
  std::filesystem::create_directories(path_);
}

TempFolder::~TempFolder() { std::filesystem::remove_all(path_); }

std::string TempFolder::Write(const std::string& file, const std::string& bytes) const {
  std::ofstream(Path(file), std::ios::binary) << bytes;
  return Path(file);
}

std::string ReadText(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

}  // namespace ese
