// SPDX-License-Identifier: Apache-2.0
#include "base/printable.h"

#include "gtest/gtest.h"

namespace ese {
namespace {

TEST(Printable, KeepsTextInAnyLanguage) {
  for (const char* text : {"", "model \"a\" C:\\n", "naïve", "日本語", "\U0001F600", "a b~"}) {
    EXPECT_EQ(Printable(text), text);
    EXPECT_TRUE(IsPrintable(text));
  }
}

TEST(Printable, EscapesWhatStartsLinesOrControlsTerminals) {
  const std::pair<absl::string_view, const char*> cases[] = {
      {"a\nb", "a\\nb"},
      {"a\r\tb", "a\\r\\tb"},
      {"\x1b[31m", "\\x1b[31m"},
      {absl::string_view("\0", 1), "\\x00"},
      {"\x7f", "\\x7f"},
      {"\xc2\x85", "\\u0085"},      // next line
      {"\xe2\x80\xa8", "\\u2028"},  // line separator
      {"\xe2\x80\xae"
       "x",
       "\\u202ex"}  // right to left from here
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_EQ(Printable(text), expected);
    EXPECT_FALSE(IsPrintable(text));
  }
}

TEST(Printable, EscapesInvalidUtf8ByteByByte) {
  EXPECT_EQ(Printable("a\xff"
                      "b"),
            "a\\xffb");
  EXPECT_EQ(Printable("\xc3"), "\\xc3");                             // cut
  EXPECT_EQ(Printable("\xc0\xaf"), "\\xc0\\xaf");                    // overlong
  EXPECT_EQ(Printable("\xe0\x80\xaf"), "\\xe0\\x80\\xaf");           // overlong
  EXPECT_EQ(Printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");           // surrogate
  EXPECT_EQ(Printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");  // above U+10FFFF
  EXPECT_FALSE(IsPrintable("\xff"));
}

TEST(Printable, MayBeAppliedTwice) {
  const std::string once = Printable("a\n\xff\x1b");
  EXPECT_EQ(Printable(once), once);
}

}  // namespace
}  // namespace ese
