// SPDX-License-Identifier: Apache-2.0
// Temporary files of tests.
#pragma once

#include <string>

namespace ese {

// A folder for the files of one test. It is empty at first, and the destructor removes it.
class TempFolder {
 public:
  // Tests that run at the same time in one process need different names.
  explicit TempFolder(const std::string& name);
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::string& path() const { return path_; }
  std::string Path(const std::string& file) const { return path_ + "/" + file; }
  // Writes the file and returns its path.
  std::string Write(const std::string& file, const std::string& bytes) const;

 private:
  const std::string path_;
};

// Returns the contents of a file, or "" if it cannot be read.
std::string ReadText(const std::string& path);

}  // namespace ese
