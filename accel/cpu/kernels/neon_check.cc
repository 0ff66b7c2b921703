// SPDX-License-Identifier: Apache-2.0
// neon_check: compares the arm64 kernels with the portable kernel, bit for bit, on random matrices.
// It needs nothing but the kernels, so that a cross compiler without libraries can build it and an
// emulator can run it. (On an arm64 machine, kernel_test compares the kernels with the reference.)
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "accel/cpu/kernels/kernel.h"
#include "base/aligned_buffer.h"
#include "model/arithmetic.h"

namespace ese {
namespace {

std::mt19937 random_source(1);
int Random(int first, int last) {
  return first + static_cast<int>(random_source() % (last - first + 1));
}

// A matrix with random entries, some of them at the ends of their ranges.
class RandomPacked {
 public:
  RandomPacked(int groups, int blocks, int columns)
      : blocks_(size_t(groups) * blocks), constants_(groups) {
    for (EntryBlock& block : blocks_) {
      for (int row = 0; row < kBlockRows; ++row) {
        for (int k = 0; k < kBlockEntries; ++k) {
          block.column8[row][k] = static_cast<uint16_t>(Random(0, columns - 1) * kColumnUnit);
          block.weight[row][k] = static_cast<int8_t>(
              Random(0, 3) == 0 ? (Random(0, 1) ? kMinWeight : kMaxWeight) : Random(-64, 63));
        }
      }
    }
    for (RowConstants& constants : constants_) {
      for (int row = 0; row < kBlockRows; ++row) {
        constants.shift[row] = Random(0, 6);
        constants.addend[row] = Random(-3000000, 3000000);
      }
    }
    matrix_ = {groups, blocks, blocks, blocks_.data(), constants_.data()};
  }
  const PackedMatrix& matrix() const { return matrix_; }

 private:
  AlignedBuffer<EntryBlock> blocks_;
  AlignedBuffer<RowConstants> constants_;
  PackedMatrix matrix_;
};

// The results of the columns algorithm's three functions.
struct Outcome {
  Outcome(int cells, int width) : c(size_t(cells) * width), m(c.size()), y(c.size()), z(c.size()) {}
  bool operator==(const Outcome& other) const {
    const auto same = [](const auto& a, const auto& b) {
      return std::memcmp(a.data(), b.data(), a.size() * sizeof(a[0])) == 0;
    };
    return same(c, other.c) && same(m, other.m) && same(y, other.y) && same(z, other.z);
  }

  AlignedBuffer<int16_t> c;
  AlignedBuffer<uint8_t> m, y;
  AlignedBuffer<int32_t> z;
};

bool Equal(const Kernel& kernel, int width, bool peepholes, bool g_is_sigmoid) {
  TanhTable tanh;
  std::memcpy(tanh.c0, kTanhSegments.c0.data(), sizeof(tanh.c0));
  std::memcpy(tanh.c1, kTanhSegments.c1.data(), sizeof(tanh.c1));
  std::memcpy(tanh.c2, kTanhSegments.c2.data(), sizeof(tanh.c2));
  std::memcpy(tanh.c3, kTanhSegments.c3.data(), sizeof(tanh.c3));
  const int cells = 4 * Random(1, 6), columns = Random(1, 70);
  const RandomPacked gates(cells, Random(0, 20), columns);
  const RandomPacked rows(cells / kBlockRows, Random(0, 20), cells);
  std::vector<int16_t> peephole(size_t(cells) * 4);
  for (int16_t& p : peephole) p = static_cast<int16_t>(Random(-32768, 32767));
  PackedLayer layer;
  layer.inputs = columns;
  layer.cells = cells;
  layer.g_is_sigmoid = g_is_sigmoid;
  layer.hidden_scale = static_cast<int16_t>(1 << Random(7, 10));
  layer.gates = gates.matrix();
  layer.peepholes = peepholes ? peephole.data() : nullptr;
  layer.tanh = &tanh;
  AlignedBuffer<uint8_t> v(size_t(columns) * width);
  for (uint8_t& x : v)
    x = static_cast<uint8_t>(Random(0, 3) == 0 ? Random(0, 1) * 255 : Random(0, 255));

  Outcome expected(cells, width);
  for (int16_t& c : expected.c) c = static_cast<int16_t>(Random(-32768, 32767));
  Outcome actual(cells, width);
  std::memcpy(actual.c.data(), expected.c.data(), expected.c.size() * sizeof(int16_t));
  const int shift = Random(1, 19);
  const auto run = [&](const Kernel& k, Outcome* out) {
    k.Cells(layer, width, v.data(), out->c.data(), out->m.data());
    k.Project(rows.matrix(), shift, width, out->m.data(), out->y.data());
    k.Logits(rows.matrix(), width, out->m.data(), out->z.data());
  };
  run(*PortableKernel(), &expected);
  run(kernel, &actual);
  return expected == actual;
}

int Main() {
  int kernels = 0;
  for (const Kernel* kernel : {NeonDotKernel(), NeonI8mmKernel()}) {
    if (kernel == nullptr || !kernel->Supported()) continue;
    ++kernels;
    for (int i = 0; i < 300; ++i) {
      const int width = 16 << i % 3;
      if (Equal(*kernel, width, i % 2 == 0, i % 5 == 0)) continue;
      std::printf("%s differs from portable at width %d, case %d\n", kernel->name(), width, i);
      return 1;
    }
    std::printf("%s equals portable\n", kernel->name());
  }
  if (kernels == 2) return 0;
  std::printf("this processor (or its emulation) lacks some of arm64's kernels\n");
  return 1;
}

}  // namespace
}  // namespace ese

int main() { return ese::Main(); }
