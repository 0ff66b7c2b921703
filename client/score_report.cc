// SPDX-License-Identifier: Apache-2.0
#include "client/score_report.h"

#include <algorithm>
#include <cstddef>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"

namespace ese {
namespace {

constexpr size_t kLineWidth = 100;
constexpr char kNothing[] = "*";

std::string Percent(const ErrorCounts& counts) {
  return counts.reference > 0 ? absl::StrFormat("%.1f %%", 100 * counts.rate()) : "-";
}

void PrintAligned(const Alignment& alignment, std::ostream& out) {
  constexpr char kReference[] = "  reference  ";
  constexpr char kRecognised[] = "  recognised ";
  std::string top = kReference;
  std::string bottom = kRecognised;
  const auto flush = [&] {
    out << absl::StripTrailingAsciiWhitespace(top) << '\n'
        << absl::StripTrailingAsciiWhitespace(bottom) << '\n';
    top = kReference;
    bottom = kRecognised;
  };
  for (const AlignedPair& pair : alignment.pairs) {
    const std::string& above = pair.reference.empty() ? kNothing : pair.reference;
    const std::string& below = pair.recognised.empty() ? kNothing : pair.recognised;
    const size_t width = std::max(above.size(), below.size());
    if (top.size() + 1 + width > kLineWidth) flush();
    top += absl::StrFormat(" %-*s", static_cast<int>(width), above);
    bottom += absl::StrFormat(" %-*s", static_cast<int>(width), below);
  }
  flush();
}

}  // namespace

void PrintScored(const std::string& path, const Reference& reference, const Alignment& alignment,
                 std::ostream& out) {
  const ErrorCounts& counts = alignment.counts;
  out << absl::StreamFormat("%s: PER %s (%d phones; %d substituted, %d missed, %d inserted)\n",
                            path, Percent(counts), counts.reference, counts.substitutions,
                            counts.deletions, counts.insertions);
  if (!reference.text.empty()) out << "  text        " << reference.text << '\n';
  PrintAligned(alignment, out);
}

void ScoreTable::Add(const std::string& set, const ErrorCounts& counts) {
  Row& row = sets_[set.empty() ? "-" : set];
  ++row.files;
  row.counts += counts;
}

ErrorCounts ScoreTable::Total() const {
  ErrorCounts total;
  for (const auto& [set, row] : sets_) total += row.counts;
  return total;
}

void ScoreTable::Print(std::ostream& out) const {
  if (sets_.empty()) return;
  Row all;
  size_t width = 3;
  for (const auto& [set, row] : sets_) {
    all.files += row.files;
    all.counts += row.counts;
    width = std::max(width, set.size());
  }
  const auto print = [&](const std::string& name, const Row& row) {
    out << absl::StreamFormat("%-*s %6d %7d %7d %9s\n", static_cast<int>(width), name, row.files,
                              row.counts.reference, row.counts.errors(), Percent(row.counts));
  };
  out << absl::StreamFormat("\n%-*s %6s %7s %7s %9s\n", static_cast<int>(width), "set", "files",
                            "phones", "errors", "PER");
  for (const auto& [set, row] : sets_) print(set, row);
  print("all", all);
}

}  // namespace ese
