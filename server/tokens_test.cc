// SPDX-License-Identifier: Apache-2.0
#include "server/tokens.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace ese {
namespace {

using ::testing::HasSubstr;

// printf %s alpha | sha256sum
constexpr char kAlpha[] = "8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8";
// printf %s beta | sha256sum
constexpr char kBeta[] = "f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753";

TokenTable Parse(const std::string& text) { return TokenTable::Parse("tokens", text).value(); }
std::string ErrorOf(const std::string& text) {
  return std::string(TokenTable::Parse("tokens", text).status().message());
}

TEST(TokensTest, FindsTenantsByTokensAndCertificates) {
  const TokenTable table = Parse(std::string("# who\n\n") + kAlpha + " gold max_streams=3\r\n\t" +
                                 kBeta + "  free\t max_streams=0\ncertificate site");
  EXPECT_EQ(table.TenantOfToken("alpha"), "gold");
  EXPECT_EQ(table.TenantOfToken("beta"), "free");
  EXPECT_EQ(table.TenantOfToken("gamma"), std::nullopt);
  EXPECT_EQ(table.TenantOfToken(""), std::nullopt);
  EXPECT_EQ(table.TenantOfToken(kAlpha), std::nullopt);
  EXPECT_TRUE(table.HasCertificateTenant("site"));
  EXPECT_FALSE(table.HasCertificateTenant("gold"));
  EXPECT_EQ(table.MaxStreams("gold"), 3);
  EXPECT_EQ(table.MaxStreams("free"), 0);
  EXPECT_EQ(table.MaxStreams("site"), TokenTable::kUnlimited);
  EXPECT_EQ(table.MaxStreams("other"), 0);
}

TEST(TokensTest, ATenantMayHaveSeveralTokens) {
  const TokenTable table = Parse(std::string(kAlpha) + " gold\n" + kBeta + " gold\n");
  EXPECT_EQ(table.TenantOfToken("alpha"), "gold");
  EXPECT_EQ(table.TenantOfToken("beta"), "gold");
}

TEST(TokensTest, ErrorsNameTheLineAndNeverRepeatAToken) {
  const std::string alpha = kAlpha;
  EXPECT_THAT(ErrorOf("\n# x\nsecret"), HasSubstr("tokens:3: the line names no tenant"));
  EXPECT_THAT(ErrorOf("secret gold"), HasSubstr("tokens:1: the line begins neither"));
  EXPECT_THAT(ErrorOf("secret gold"), ::testing::Not(HasSubstr("secret")));
  EXPECT_THAT(ErrorOf(alpha.substr(1) + " gold"), HasSubstr("64 hexadecimal digits"));
  EXPECT_THAT(ErrorOf("g" + alpha.substr(1) + " gold"), HasSubstr("64 hexadecimal digits"));
  EXPECT_THAT(ErrorOf(alpha + " gold max_stream=1"), HasSubstr("\"max_stream=1\" is no setting"));
  EXPECT_THAT(ErrorOf(alpha + " gold max_streams=-1"), HasSubstr("0 or above"));
  EXPECT_THAT(ErrorOf(alpha + " gold max_streams="), HasSubstr("0 or above"));
  EXPECT_THAT(ErrorOf(alpha + " gold max_streams=1 max_streams=1"), HasSubstr("twice"));
  EXPECT_THAT(ErrorOf(alpha + " gold\n" + alpha + " free"), HasSubstr("tokens:2: an earlier"));
  EXPECT_THAT(ErrorOf(alpha + " gold\n" + kBeta + " gold max_streams=1"),
              HasSubstr("another max_streams"));
  EXPECT_THAT(ErrorOf("certificate a\ncertificate a"), HasSubstr("tokens:2: "));
}

}  // namespace
}  // namespace ese
