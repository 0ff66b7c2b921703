# SPDX-License-Identifier: Apache-2.0
"""Converts sentences to words, and words to phones."""

import re

PHONES = (
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW "
    "V W Y Z ZH"
).split()
UNITS = ["<blank>"] + PHONES
UNIT_OF = {name: index for index, name in enumerate(UNITS)}

DICTIONARY = "/usr/share/pocketsphinx/model/en-us/cmudict-en-us.dict"

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


def spell_number(digits):
    """Spells '7' as 'seven' and '42' as 'forty two'; None if a number can be read in several ways."""
    if len(digits) > 2 or (len(digits) == 2 and digits[0] == "0"):
        return None
    value = int(digits)
    if value < 20:
        return _ONES[value]
    tens, ones = divmod(value, 10)
    return _TENS[tens - 2] + (" " + _ONES[ones] if ones else "")


def words_of(sentence):
    """Returns a sentence's words in lower case, or None if it has something we cannot pronounce."""
    sentence = sentence.lower().replace("\u2019", "'")
    sentence = re.sub(r"\b([ap])\.m\.", r"\1 m", sentence)
    sentence = re.sub(r"[-,;:.?!\"]+", " ", sentence)
    words = []
    for token in sentence.split():
        token = token.strip("'") if not re.fullmatch(r"'(tis|twas)", token) else token
        if token.isdigit():
            token = spell_number(token)
            if token is None:
                return None
            words += token.split()
        elif re.fullmatch(r"[a-z']+", token):
            words.append(token)
        elif token:
            return None
    return words or None


def load_dictionary(path=DICTIONARY):
    """Returns the first pronunciation of each word in pocketsphinx's copy of the CMU dictionary."""
    entries = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            word, *phones = line.split()
            if "(" not in word and all(phone in UNIT_OF for phone in phones):
                entries[word] = phones
    return entries


def phones_of(words, dictionary):
    """Returns the phones of a list of words, or None if a word is unknown."""
    phones = []
    for word in words:
        if word not in dictionary:
            return None
        phones += dictionary[word]
    return phones


def phones_of_flite(segments):
    """Returns the phones in the output of `flite -psdur`: HH AH for 'pau:0.131 hh:0.240 ax:0.9'."""
    phones = []
    for item in segments.split():
        name = item.split(":")[0].upper()
        if name == "PAU":
            continue
        name = {"AX": "AH"}.get(name, name)
        if name not in UNIT_OF:
            return None
        phones.append(name)
    return phones


def sentences_of_fortunes(contents):
    """Yields the plain sentences (3 to 15 words) of a file of the `fortunes` packages."""
    for cookie in re.split(r"\n%\n", contents):
        lines = [line.strip() for line in cookie.split("\n") if not re.match(r"\s*--", line)]
        for sentence in re.split(r"(?<=[.!?;:])\s+", " ".join(lines)):
            if not re.fullmatch(r"[A-Za-z',;: -]+[.!?;:]?", sentence):
                continue
            if re.search(r"[A-Z]{2}|--|\b'|'\s", sentence) and "'" not in sentence.strip("'"):
                continue
            words = words_of(sentence)
            if words and 3 <= len(words) <= 15:
                yield " ".join(words)
