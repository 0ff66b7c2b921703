// SPDX-License-Identifier: Apache-2.0
#include "base/printable.h"

#include <cstddef>
#include <cstdint>

#include "absl/strings/str_format.h"

namespace ese {
namespace {

struct Character {
  uint32_t code = 0;
  size_t bytes = 1;
  bool valid = false;
};

// Decodes the first character. Overlong forms, surrogates and codes above U+10FFFF are not valid.
Character Decode(absl::string_view text) {
  const auto byte = [text](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return {.code = first, .bytes = 1, .valid = true};
  const size_t bytes = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < bytes) return {};
  uint32_t code = first & (0x7f >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3f);
  }
  constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < kLeast[bytes] || code > 0x10ffff || surrogate) return {};
  return {.code = code, .bytes = bytes, .valid = true};
}

bool IsHarmless(uint32_t code) {
  if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) return false;       // controls
  if (code == 0x061c || code == 0xfeff) return false;                    // marks without a width
  if (code >= 0x200b && code <= 0x200f) return false;                    // the same, and directions
  if (code >= 0x2028 && code <= 0x202e) return false;                    // separators, directions
  return (code < 0x2060 || code > 0x206f) && (code & 0xfffe) != 0xfffe;  // isolates, noncharacters
}

std::string Escape(const Character& character, char byte) {
  if (!character.valid) return absl::StrFormat("\\x%02x", static_cast<uint8_t>(byte));
  switch (character.code) {
    case '\n':
      return "\\n";
    case '\r':
      return "\\r";
    case '\t':
      return "\\t";
    default:
      return character.code < 0x80 ? absl::StrFormat("\\x%02x", character.code)
                                   : absl::StrFormat("\\u%04x", character.code);
  }
}

}  // namespace

std::string Printable(absl::string_view text) {
  std::string printable;
  printable.reserve(text.size());
  while (!text.empty()) {
    const Character character = Decode(text);
    if (character.valid && IsHarmless(character.code)) {
      printable.append(text.data(), character.bytes);
    } else {
      printable += Escape(character, text[0]);
    }
    text.remove_prefix(character.bytes);
  }
  return printable;
}

bool IsPrintable(absl::string_view text) {
  while (!text.empty()) {
    const Character character = Decode(text);
    if (!character.valid || !IsHarmless(character.code)) return false;
    text.remove_prefix(character.bytes);
  }
  return true;
}

}  // namespace ese
