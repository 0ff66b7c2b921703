// SPDX-License-Identifier: Apache-2.0
#include "bench/gemm_peers.h"

#include <cblas.h>

#include <memory>
#include <random>
#include <utility>

#include "base/aligned_buffer.h"
#include "dnnl.hpp"

namespace ese {
namespace {

AlignedBuffer<float> RandomFloats(size_t size) {
  std::mt19937 random(1);
  AlignedBuffer<float> values(size);
  for (float& value : values) value = static_cast<float>(random() % 2001) / 1000 - 1;
  return values;
}

// One oneDNN product with its operands.
struct Matmul {
  dnnl::matmul primitive;
  dnnl::memory source, weights, destination;
};

void FillRandom(const dnnl::memory& memory) {
  std::mt19937 random(2);
  const size_t size = memory.get_desc().get_size();
  if (memory.get_desc().data_type() == dnnl::memory::data_type::f32) {
    auto* values = static_cast<float*>(memory.get_data_handle());
    for (size_t i = 0; i < size / sizeof(float); ++i) {
      values[i] = static_cast<float>(random() % 2001) / 1000 - 1;
    }
  } else {
    auto* values = static_cast<uint8_t*>(memory.get_data_handle());
    for (size_t i = 0; i < size; ++i) values[i] = static_cast<uint8_t>(random() % 64);
  }
}

Matmul MakeMatmul(const GemmShape& shape, int batch, bool int8, const dnnl::engine& engine) {
  using Type = dnnl::memory::data_type;
  using Tag = dnnl::memory::format_tag;
  const dnnl::memory::desc source({batch, shape.columns}, int8 ? Type::u8 : Type::f32, Tag::ab);
  const dnnl::memory::desc weights({shape.columns, shape.rows}, int8 ? Type::s8 : Type::f32,
                                   Tag::any);
  const dnnl::memory::desc destination({batch, shape.rows}, int8 ? Type::s32 : Type::f32, Tag::ab);
  const dnnl::matmul::primitive_desc plan(dnnl::matmul::desc(source, weights, destination), engine);
  Matmul matmul{dnnl::matmul(plan), dnnl::memory(source, engine),
                dnnl::memory(plan.weights_desc(), engine), dnnl::memory(destination, engine)};
  FillRandom(matmul.source);
  FillRandom(matmul.weights);
  return matmul;
}

struct Sgemm {
  GemmShape shape;
  AlignedBuffer<float> weights, x, y;
};

}  // namespace

std::function<void()> OneDnnGemm(const std::vector<GemmShape>& shapes, int batch, bool int8) {
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  std::vector<Matmul> products;
  for (const GemmShape& shape : shapes) {
    products.push_back(MakeMatmul(shape, batch, int8, engine));
  }
  return [products, stream = dnnl::stream(engine)]() mutable {
    for (Matmul& product : products) {
      product.primitive.execute(stream, {{DNNL_ARG_SRC, product.source},
                                         {DNNL_ARG_WEIGHTS, product.weights},
                                         {DNNL_ARG_DST, product.destination}});
    }
    stream.wait();
  };
}

std::function<void()> OpenBlasGemm(const std::vector<GemmShape>& shapes, int batch,
                                   bool batch_major) {
  auto products = std::make_shared<std::vector<Sgemm>>();
  for (const GemmShape& shape : shapes) {
    products->push_back({shape, RandomFloats(size_t(shape.rows) * shape.columns),
                         RandomFloats(size_t(shape.columns) * batch),
                         AlignedBuffer<float>(size_t(shape.rows) * batch)});
  }
  return [products, batch, batch_major] {
    for (Sgemm& p : *products) {
      const int rows = p.shape.rows, columns = p.shape.columns;
      if (batch == 1) {
        cblas_sgemv(CblasRowMajor, CblasNoTrans, rows, columns, 1, p.weights.data(), columns,
                    p.x.data(), 1, 0, p.y.data(), 1);
      } else if (batch_major) {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, batch, rows, columns, 1, p.x.data(),
                    columns, p.weights.data(), columns, 0, p.y.data(), rows);
      } else {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, batch, columns, 1,
                    p.weights.data(), columns, p.x.data(), batch, 0, p.y.data(), batch);
      }
    }
  };
}

std::string OpenBlasCore() { return openblas_get_corename(); }

}  // namespace ese
