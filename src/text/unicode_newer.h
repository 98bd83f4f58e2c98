// Characters that Oniguruma 6.9.10 (Unicode 16, the engine of Hugging Face tokenizers 0.23) puts into a category or script and PCRE2 10.42
// (Unicode 14, Debian 12's) does not know yet. Found by asking both about every code point. Later versions of PCRE2 know them too; then
// naming them again changes nothing.
#pragma once

#include <array>
#include <string_view>

namespace godwit::text {

struct NewerRange {
  std::string_view property;
  char32_t first, last;
};

inline constexpr std::array newer_ranges{
    NewerRange{"Lu", 0x1C89, 0x1C89},           NewerRange{"Lu", 0xA7CB, 0xA7CC},         NewerRange{"Lu", 0xA7DA, 0xA7DA},
    NewerRange{"Lu", 0xA7DC, 0xA7DC},           NewerRange{"Lu", 0x10D50, 0x10D65},       NewerRange{"Ll", 0x1C8A, 0x1C8A},
    NewerRange{"Ll", 0xA7CD, 0xA7CD},           NewerRange{"Ll", 0xA7DB, 0xA7DB},         NewerRange{"Ll", 0x10D70, 0x10D85},
    NewerRange{"Ll", 0x1DF25, 0x1DF2A},         NewerRange{"Lm", 0x10D4E, 0x10D4E},       NewerRange{"Lm", 0x10D6F, 0x10D6F},
    NewerRange{"Lm", 0x16D40, 0x16D42},         NewerRange{"Lm", 0x16D6B, 0x16D6C},       NewerRange{"Lm", 0x1E030, 0x1E06D},
    NewerRange{"Lm", 0x1E4EB, 0x1E4EB},         NewerRange{"Lo", 0x105C0, 0x105F3},       NewerRange{"Lo", 0x10D4A, 0x10D4D},
    NewerRange{"Lo", 0x10D4F, 0x10D4F},         NewerRange{"Lo", 0x10EC2, 0x10EC4},       NewerRange{"Lo", 0x1123F, 0x11240},
    NewerRange{"Lo", 0x11380, 0x11389},         NewerRange{"Lo", 0x1138B, 0x1138B},       NewerRange{"Lo", 0x1138E, 0x1138E},
    NewerRange{"Lo", 0x11390, 0x113B5},         NewerRange{"Lo", 0x113B7, 0x113B7},       NewerRange{"Lo", 0x113D1, 0x113D1},
    NewerRange{"Lo", 0x113D3, 0x113D3},         NewerRange{"Lo", 0x11BC0, 0x11BE0},       NewerRange{"Lo", 0x11F02, 0x11F02},
    NewerRange{"Lo", 0x11F04, 0x11F10},         NewerRange{"Lo", 0x11F12, 0x11F33},       NewerRange{"Lo", 0x1342F, 0x1342F},
    NewerRange{"Lo", 0x13441, 0x13446},         NewerRange{"Lo", 0x13460, 0x143FA},       NewerRange{"Lo", 0x16100, 0x1611D},
    NewerRange{"Lo", 0x16D43, 0x16D6A},         NewerRange{"Lo", 0x18CFF, 0x18CFF},       NewerRange{"Lo", 0x1B132, 0x1B132},
    NewerRange{"Lo", 0x1B155, 0x1B155},         NewerRange{"Lo", 0x1E4D0, 0x1E4EA},       NewerRange{"Lo", 0x1E5D0, 0x1E5ED},
    NewerRange{"Lo", 0x1E5F0, 0x1E5F0},         NewerRange{"Lo", 0x2B739, 0x2B739},       NewerRange{"Lo", 0x2EBF0, 0x2EE5D},
    NewerRange{"Lo", 0x31350, 0x323AF},         NewerRange{"Mn", 0x897, 0x897},           NewerRange{"Mn", 0xECE, 0xECE},
    NewerRange{"Mn", 0x10D69, 0x10D6D},         NewerRange{"Mn", 0x10EFC, 0x10EFF},       NewerRange{"Mn", 0x11241, 0x11241},
    NewerRange{"Mn", 0x113BB, 0x113C0},         NewerRange{"Mn", 0x113CE, 0x113CE},       NewerRange{"Mn", 0x113D0, 0x113D0},
    NewerRange{"Mn", 0x113D2, 0x113D2},         NewerRange{"Mn", 0x113E1, 0x113E2},       NewerRange{"Mn", 0x11F00, 0x11F01},
    NewerRange{"Mn", 0x11F36, 0x11F3A},         NewerRange{"Mn", 0x11F40, 0x11F40},       NewerRange{"Mn", 0x11F42, 0x11F42},
    NewerRange{"Mn", 0x11F5A, 0x11F5A},         NewerRange{"Mn", 0x13440, 0x13440},       NewerRange{"Mn", 0x13447, 0x13455},
    NewerRange{"Mn", 0x1611E, 0x16129},         NewerRange{"Mn", 0x1612D, 0x1612F},       NewerRange{"Mn", 0x1E08F, 0x1E08F},
    NewerRange{"Mn", 0x1E4EC, 0x1E4EF},         NewerRange{"Mn", 0x1E5EE, 0x1E5EF},       NewerRange{"Mc", 0xCF3, 0xCF3},
    NewerRange{"Mc", 0x113B8, 0x113BA},         NewerRange{"Mc", 0x113C2, 0x113C2},       NewerRange{"Mc", 0x113C5, 0x113C5},
    NewerRange{"Mc", 0x113C7, 0x113CA},         NewerRange{"Mc", 0x113CC, 0x113CD},       NewerRange{"Mc", 0x113CF, 0x113CF},
    NewerRange{"Mc", 0x1171E, 0x1171E},         NewerRange{"Mc", 0x11F03, 0x11F03},       NewerRange{"Mc", 0x11F34, 0x11F35},
    NewerRange{"Mc", 0x11F3E, 0x11F3F},         NewerRange{"Mc", 0x11F41, 0x11F41},       NewerRange{"Mc", 0x1612A, 0x1612C},
    NewerRange{"Nd", 0x10D40, 0x10D49},         NewerRange{"Nd", 0x116D0, 0x116E3},       NewerRange{"Nd", 0x11BF0, 0x11BF9},
    NewerRange{"Nd", 0x11F50, 0x11F59},         NewerRange{"Nd", 0x16130, 0x16139},       NewerRange{"Nd", 0x16D70, 0x16D79},
    NewerRange{"Nd", 0x1CCF0, 0x1CCF9},         NewerRange{"Nd", 0x1E4F0, 0x1E4F9},       NewerRange{"Nd", 0x1E5F1, 0x1E5FA},
    NewerRange{"No", 0x1D2C0, 0x1D2D3},         NewerRange{"Pd", 0x10D6E, 0x10D6E},       NewerRange{"Po", 0x1B4E, 0x1B4F},
    NewerRange{"Po", 0x1B7F, 0x1B7F},           NewerRange{"Po", 0x113D4, 0x113D5},       NewerRange{"Po", 0x113D7, 0x113D8},
    NewerRange{"Po", 0x11B00, 0x11B09},         NewerRange{"Po", 0x11BE1, 0x11BE1},       NewerRange{"Po", 0x11F43, 0x11F4F},
    NewerRange{"Po", 0x16D6D, 0x16D6F},         NewerRange{"Po", 0x1E5FF, 0x1E5FF},       NewerRange{"Sm", 0x10D8E, 0x10D8F},
    NewerRange{"So", 0x2427, 0x2429},           NewerRange{"So", 0x2FFC, 0x2FFF},         NewerRange{"So", 0x31E4, 0x31E5},
    NewerRange{"So", 0x31EF, 0x31EF},           NewerRange{"So", 0x1CC00, 0x1CCEF},       NewerRange{"So", 0x1CD00, 0x1CEB3},
    NewerRange{"So", 0x1F6DC, 0x1F6DC},         NewerRange{"So", 0x1F774, 0x1F776},       NewerRange{"So", 0x1F77B, 0x1F77F},
    NewerRange{"So", 0x1F7D9, 0x1F7D9},         NewerRange{"So", 0x1F8B2, 0x1F8BB},       NewerRange{"So", 0x1F8C0, 0x1F8C1},
    NewerRange{"So", 0x1FA75, 0x1FA77},         NewerRange{"So", 0x1FA87, 0x1FA89},       NewerRange{"So", 0x1FA8F, 0x1FA8F},
    NewerRange{"So", 0x1FAAD, 0x1FAAF},         NewerRange{"So", 0x1FABB, 0x1FABF},       NewerRange{"So", 0x1FAC6, 0x1FAC6},
    NewerRange{"So", 0x1FACE, 0x1FACF},         NewerRange{"So", 0x1FADA, 0x1FADC},       NewerRange{"So", 0x1FADF, 0x1FADF},
    NewerRange{"So", 0x1FAE8, 0x1FAE9},         NewerRange{"So", 0x1FAF7, 0x1FAF8},       NewerRange{"So", 0x1FBCB, 0x1FBEF},
    NewerRange{"Cf", 0x13439, 0x1343F},         NewerRange{"Han", 0x2B739, 0x2B739},      NewerRange{"Han", 0x2EBF0, 0x2EE5D},
    NewerRange{"Han", 0x31350, 0x323AF},        NewerRange{"Hiragana", 0x1B132, 0x1B132}, NewerRange{"Katakana", 0x1B155, 0x1B155},
    NewerRange{"Latin", 0xA7CB, 0xA7CD},        NewerRange{"Latin", 0xA7DA, 0xA7DC},      NewerRange{"Latin", 0x1DF25, 0x1DF2A},
    NewerRange{"Cyrillic", 0x1C89, 0x1C8A},     NewerRange{"Cyrillic", 0x1E030, 0x1E06D}, NewerRange{"Cyrillic", 0x1E08F, 0x1E08F},
    NewerRange{"Arabic", 0x897, 0x897},         NewerRange{"Arabic", 0x10EC2, 0x10EC4},   NewerRange{"Arabic", 0x10EFC, 0x10EFF},
    NewerRange{"Devanagari", 0x11B00, 0x11B09},
};

}  // namespace godwit::text
