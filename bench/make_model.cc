// SPDX-License-Identifier: Apache-2.0
// ese-bench-model FILE.ese writes a model of the paper's shape with random weights, for benchmarks
// of the server. The model takes features only, 153 for each frame. Unit 0 is its blank.
#include <fstream>
#include <iostream>

#include "model/testing.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: ese-bench-model FILE.ese\n";
    return 2;
  }
  ese::ModelDraft draft = ese::RandomModelDraft(ese::PaperModelOptions());
  draft.name = "paper-random";
  draft.blank = 0;
  const absl::StatusOr<std::string> bytes = ese::SerializeModel(draft);
  if (!bytes.ok()) {
    std::cerr << "ese-bench-model: " << bytes.status().message() << '\n';
    return 1;
  }
  std::ofstream file(argv[1], std::ios::binary);
  file << *bytes;
  file.close();
  if (file) return 0;
  std::cerr << "ese-bench-model: " << argv[1] << ": cannot be written; is the disk full?\n";
  return 1;
}
