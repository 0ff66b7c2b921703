// SPDX-License-Identifier: Apache-2.0
// ese-bench-model FILE.ese [DENSITY] writes a model of the paper's shape with random weights, for
// benchmarks of the server. DENSITY is the share of weights that it keeps; the paper's, 0.112, is
// the default. The model takes features only, 153 for each frame. Unit 0 is its blank.
#include <cstdlib>
#include <fstream>
#include <iostream>

#include "model/testing.h"

int main(int argc, char** argv) {
  ese::RandomModelOptions options = ese::PaperModelOptions();
  if (argc == 3) {
    char* end = nullptr;
    options.density = std::strtod(argv[2], &end);
    if (*end != '\0') options.density = 0;
  }
  if (argc < 2 || argc > 3 || !(options.density > 0 && options.density <= 1)) {
    std::cerr
        << "usage: ese-bench-model FILE.ese [DENSITY], with a density above 0 and at most 1\n";
    return 2;
  }
  ese::ModelDraft draft = ese::RandomModelDraft(options);
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
