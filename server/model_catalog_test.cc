// SPDX-License-Identifier: Apache-2.0
#include "server/model_catalog.h"

#include <utility>

#include "base/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "model/testing.h"

namespace ese {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr Duration kGrace = seconds(10);

ModelCatalog::ServedPtr Version(const std::string& name, uint32_t seed) {
  ModelDraft draft = RandomModelDraft({.seed = seed});
  draft.name = name;
  auto served = std::make_shared<ServedModel>();
  served->model = *Model::FromBytes(*SerializeModel(draft));
  return served;
}

class ModelCatalogTest : public testing::Test {
 protected:
  // Publishes a model and returns its fingerprint. Only the catalog holds a pointer to it.
  std::string Publish(const std::string& name, uint32_t seed) {
    auto served = Version(name, seed);
    const std::string fingerprint = served->model->fingerprint();
    catalog_.Publish(std::move(served));
    return fingerprint;
  }
  std::string Found(const std::string& name) {
    const auto served = catalog_.Find(name);
    return served.ok() ? (*served)->model->fingerprint() : served.status().ToString();
  }
  std::vector<std::string> Freed() {
    std::vector<std::string> fingerprints;
    for (const auto& served : catalog_.TakeUnused()) {
      fingerprints.push_back(served->model->fingerprint());
    }
    return fingerprints;
  }

  FakeClock clock_;
  ModelCatalog catalog_{&clock_, kGrace};
};

TEST_F(ModelCatalogTest, TheNewestVersionTakesNewStreamsAndStreamsCanResumeOnTheOneBefore) {
  const std::string first = Publish("m", 1);
  const std::string second = Publish("m", 2);
  EXPECT_EQ(Found("m"), second);
  EXPECT_EQ(Found(""), second) << "two versions are one model";
  EXPECT_TRUE(catalog_.FindVersion("m", first).ok());
  EXPECT_TRUE(catalog_.FindVersion("", second).ok());
  EXPECT_EQ(catalog_.FindVersion("other", first).status().code(),
            absl::StatusCode::kFailedPrecondition);
  const std::string unnamed(catalog_.FindVersion("", "0123456789").status().message());
  EXPECT_THAT(unnamed,
              HasSubstr("by version 01234567 of a model, which this server does not have"));
  EXPECT_THAT(catalog_.Current(), SizeIs(1));
  EXPECT_THAT(catalog_.Retired(), SizeIs(1));
  EXPECT_EQ(catalog_.size(), 2);
}

TEST_F(ModelCatalogTest, AWithdrawnModelIsNotFoundAndTheOthersAreListed) {
  const std::string a = Publish("a", 1);
  Publish("b", 2);
  catalog_.Withdraw("a");
  catalog_.Withdraw("never here");
  EXPECT_THAT(Found("a"), HasSubstr("no model is named \"a\"; this server has: b"));
  EXPECT_EQ(catalog_.Find("a").status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(catalog_.FindVersion("a", a).ok());
  catalog_.Withdraw("b");
  EXPECT_THAT(Found(""), HasSubstr("this server has: no model at the moment"));
}

TEST_F(ModelCatalogTest, ARetiredVersionIsRemovedOneGracePeriodAfterItsLastStream) {
  const std::string first = Publish("m", 1);
  auto stream = *catalog_.Find("m");
  Publish("m", 2);
  clock_.Advance(2 * kGrace);
  EXPECT_THAT(Freed(), IsEmpty()) << "in use";
  stream.reset();
  EXPECT_THAT(Freed(), IsEmpty()) << "the grace period begins";
  clock_.Advance(kGrace - seconds(1));
  EXPECT_THAT(Freed(), IsEmpty());
  stream = *catalog_.FindVersion("m", first);
  clock_.Advance(kGrace);
  EXPECT_THAT(Freed(), IsEmpty()) << "a stream has resumed";
  stream.reset();
  EXPECT_THAT(Freed(), IsEmpty());
  clock_.Advance(kGrace);
  EXPECT_THAT(Freed(), ElementsAre(first));
  EXPECT_FALSE(catalog_.FindVersion("m", first).ok());
  EXPECT_EQ(catalog_.size(), 1);
}

TEST_F(ModelCatalogTest, TheNumberOfIdleVersionsIsLimited) {
  std::vector<std::string> fingerprints;
  for (uint32_t i = 0; i < ModelCatalog::kMaxIdle + 4; ++i) {
    fingerprints.push_back(Publish("m", i));
  }
  const auto used = *catalog_.FindVersion("m", fingerprints[0]);
  EXPECT_THAT(Freed(), ElementsAre(fingerprints[1], fingerprints[2]));
  EXPECT_EQ(catalog_.size(), ModelCatalog::kMaxIdle + 2);
}

TEST_F(ModelCatalogTest, ARetiredVersionCanBeReinstated) {
  const std::string first = Publish("m", 1);
  const std::string second = Publish("m", 2);
  EXPECT_TRUE(catalog_.Reinstate("m", first));
  EXPECT_EQ(Found("m"), first);
  EXPECT_TRUE(catalog_.FindVersion("m", second).ok());
  EXPECT_EQ(catalog_.size(), 2);
  catalog_.Withdraw("m");
  EXPECT_TRUE(catalog_.Reinstate("m", first));
  EXPECT_EQ(Found("m"), first);
  EXPECT_FALSE(catalog_.Reinstate("m", first)) << "it is not retired";
  EXPECT_FALSE(catalog_.Reinstate("m", "unknown"));
}

TEST_F(ModelCatalogTest, TheVersionRetiredLastIsListedFirst) {
  const std::string first = Publish("m", 1);
  const std::string second = Publish("m", 2);
  Publish("m", 3);
  const auto retired = catalog_.Retired();
  ASSERT_THAT(retired, SizeIs(2));
  EXPECT_EQ(retired[0]->model->fingerprint(), second);
  EXPECT_EQ(retired[1]->model->fingerprint(), first);
}

TEST(FbankTablesOfTest, SettingsThatCannotBeUsedAreRefused) {
  ModelDraft draft = RandomModelDraft({.inputs = 6});
  draft.name = "m";
  const auto tables = [&draft] {
    return FbankTablesOf(**Model::FromBytes(*SerializeModel(draft)));
  };
  EXPECT_EQ(*tables(), nullptr);
  draft.features.sample_rate_hz = 8000;
  draft.features.num_mel_bins = 3;
  draft.features.stack = 2;
  EXPECT_NE(*tables(), nullptr);
  draft.features.low_freq_hz = 5000;
  EXPECT_EQ(tables().status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(tables().status().message()), HasSubstr("audio settings of model \"m\""));
}

}  // namespace
}  // namespace ese
