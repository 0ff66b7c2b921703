# SPDX-License-Identifier: Apache-2.0
"""The Dutch recipe: recordings of the game Fish Fillets, with phones from espeak-ng.

Two actors read 1616 lines, 96 minutes in all (Debian packages fillets-ng-data-nl and fillets-ng-data,
GPL-2). espeak-ng derives the phones from the text, and nobody checked what was said: for example,
an n at the end of a word may be in the phones but not in the speech.
"""

import hashlib
import re
import subprocess

from training import data
from training.progress import Progress

PACKAGES = ("fillets-ng-data-nl", "fillets-ng-data")
SPEAKERS = {"font_small": "fillets-nl-small", "font_big": "fillets-nl-big"}  # colour of subtitles
TEST_SET = "fillets_nl"

PHONES = (
    "a ɑ e ɛ i ɪ o ɔ u y ø ɵ ə ɛɪ œy ʌʊ "
    "b d f h j k l m n ŋ p r s ʃ t v x z ʋ"
).split()
UNITS = ("<blank>", *PHONES)

# What espeak-ng produces besides those: length that it marks only before r, sounds that most speakers
# in the Netherlands do not distinguish (ɣ and x), clusters, and rare sounds of loan words.
MERGED = {
    "ɪː": "e", "ɔː": "o", "ɣ": "x", "w": "ʋ", "ɾ": "r", "tʲ": "t j", "eʊ": "e ʋ", "yʊ": "y ʋ",
    "ɲ": "n j", "ɡ": "k", "ʒ": "ʃ", "dʒ": "d ʃ", "tʃ": "t ʃ", "eɪ": "e", "ɑ̃": "ɑ", "ʌ": "ɵ",
}

_DIALOG = re.compile(
    r'dialogId\(\s*"([^"]*)"\s*,\s*"([^"]*)"\s*,\s*"(?:[^"\\]|\\.)*"\s*\)\s*'
    r'dialogStr\(\s*"((?:[^"\\]|\\.)*)"\s*\)')


def dialogs(script):
    """Returns {id: (font, line)} of a dialogs_nl.lua. The font identifies the speaker."""
    return {name: (font, re.sub(r"\\(.)", r"\1", line))
            for name, font, line in _DIALOG.findall(script)}


def words_of(line):
    """Returns lower-case words without punctuation. Lines with the same words count as the same text."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)?", line.lower().replace("\u2019", "'"))


def phones_of_espeak(ipa):
    """Returns the units in the output of `espeak-ng --ipa --sep=_`, or None if one is unknown."""
    phones = []
    for name in re.split(r"[_\s]+", re.sub(r"\([a-z-]+\)", "", ipa)):
        name = re.sub("[ˈˌ]", "", name)
        phones += MERGED.get(name, name.removesuffix("ː")).split()
    return phones if all(phone in PHONES for phone in phones) else None


def transcribe(line):
    """Returns the units of a line, or None if espeak-ng produces an unknown phone."""
    command = ["espeak-ng", "-q", "--ipa", "--sep=_", "-v", "nl", "--", line]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    return phones_of_espeak(result.stdout)


def held_out(words):
    """Returns whether a text is in the test set: a hash selects a fixed ninth of the texts."""
    digest = hashlib.sha256(" ".join(words).encode()).digest()
    return int.from_bytes(digest[:4], "big") % 9 == 0


def recordings(root):
    """Yields (level, file, speaker, line) for every recording whose text is known.

    Scripts and sounds have a folder for each level of the game, and names are unique only within one.
    """
    game = root / "usr/share/games/fillets-ng"
    lines = {}
    for script in sorted(game.glob("script/**/*dialogs_nl.lua")):
        level = script.relative_to(game / "script").parts[0]
        for name, said in dialogs(script.read_text(encoding="utf-8")).items():
            lines[level, name] = said
    for sound in sorted(game.glob("sound/**/nl/*.ogg")):
        level = sound.relative_to(game / "sound").parts[0]
        font, line = lines.get((level, sound.stem), ("", ""))
        if font in SPEAKERS:
            yield level, sound, SPEAKERS[font], line


def rows(folder, settings):
    """Returns the rows of the manifest. Their set is `train` or `fillets_nl`."""
    found = list(recordings(data.download(folder, PACKAGES)))
    if settings.recorded_limit:
        found = found[:settings.recorded_limit]
    progress = Progress("recordings", len(found))
    result = []
    for level, sound, speaker, line in found:
        progress.step()
        target = folder / "wav" / speaker / f"{level}_{sound.stem}.wav"
        if not target.exists():
            data.to_wav(sound, target)
        if not 0.3 < data.seconds_of(target) < data.LONGEST_SECONDS:  # two are empty
            continue
        words, phones = words_of(line), transcribe(line)
        if words and phones:
            result.append((TEST_SET if held_out(words) else "train", speaker, target, words,
                           phones))
    return result
