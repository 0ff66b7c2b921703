# SPDX-License-Identifier: Apache-2.0
"""Stage 1: makes recorded and synthesised speech with phone labels, all from Debian packages.

The recordings are the Asterisk prompts (English, one speaker, CC-BY-SA-3.0) and the test data of
pocketsphinx (several speakers, BSD-2, only for tests). The synthesised speech is flite reading
sentences of the `fortunes` package. Training uses neither the voice kal16 nor any text of a test set.
"""

import gzip
import hashlib
import pathlib
import random
import re
import subprocess
import wave

from training import text
from training.progress import Progress

PACKAGES = ("asterisk-core-sounds-en-g722", "asterisk-core-sounds-en", "pocketsphinx-testdata")
TRAINED_VOICES = ("slt", "rms", "awb")
UNHEARD_VOICE = "kal16"
FORTUNES = "/usr/share/games/fortunes"
FORTUNE_FILES = (
    "art computers cookie debian definitions disclaimer education food fortunes goedel humorists "
    "kids knghtbrd law linux linuxcookie literature love magic medicine miscellaneous news "
    "paradoxum people perl pets platitudes politics riddles science songs-poems sports startrek "
    "tao wisdom work zippy"
).split()
LONGEST_SECONDS = 14.0


def download(folder, packages=PACKAGES):
    """Downloads packages and unpacks them without installing them; returns the root of the tree."""
    root = folder / "packages"
    if (root / "done").exists():
        return root
    root.mkdir(parents=True, exist_ok=True)
    command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download"]
    subprocess.run([*command, *packages], cwd=root, check=True)
    for package in sorted(root.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
    (root / "done").touch()
    return root


def to_wav(source, target, arguments=()):
    """Converts any audio file to 16 kHz mono 16-bit WAV."""
    target.parent.mkdir(parents=True, exist_ok=True)
    command = ["ffmpeg", "-v", "error", "-y", *arguments, "-i", str(source)]
    subprocess.run([*command, "-ac", "1", "-ar", "16000", "-sample_fmt", "s16", str(target)],
                   check=True)


def seconds_of(path):
    """Returns the length of a WAV file in seconds."""
    with wave.open(str(path)) as file:
        return file.getnframes() / file.getframerate()


def asterisk_texts(root):
    """Yields (name, words) for every prompt that is plain speech."""
    path = root / "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
    for line in gzip.open(path, "rt", encoding="utf-8"):
        match = re.match(r"([\w/.-]+):\s+(.*)", line)
        if not match:
            continue
        name, sentence = match.groups()
        sentence = re.sub(r"^(\w+) \[.\]$", r"\1", sentence.strip())
        if re.search(r"[\[\]<>()*#@%&$]|\b[A-Z]{2,}\b", sentence):
            continue
        words = text.words_of(sentence)
        if words:
            yield name, words


def held_out(words):
    """Returns whether a prompt is in the test set: a hash selects a sixth of those with four words or more."""
    digest = hashlib.sha256(" ".join(words).encode()).digest()
    return len(words) >= 4 and digest[0] % 6 == 0


def asterisk(folder, root, dictionary, limit):
    """Returns the rows of the recorded prompts. Their set is `train` or `asterisk`."""
    sounds = root / "usr/share/asterisk/sounds/en_US_f_Allison"
    prompts = list(asterisk_texts(root))
    if limit:
        prompts = prompts[:limit]
    progress = Progress("recordings", len(prompts))
    rows = []
    for name, words in prompts:
        progress.step()
        source = sounds / (name + ".g722")
        phones = text.phones_of(words, dictionary)
        if name == "letters/a":
            phones = ["EY"]
        if phones is None or not source.exists():
            continue
        target = folder / "wav/asterisk" / (name.replace("/", "_") + ".wav")
        if not target.exists():
            to_wav(source, target, ["-f", "g722"])
        if not 0.3 < seconds_of(target) < LONGEST_SECONDS:
            continue
        rows.append(("asterisk" if held_out(words) else "train", "asterisk", target, words, phones))
    return rows


def others(folder, root, dictionary):
    """Returns the rows of other speakers' recordings, which are for tests only."""
    base = root / "usr/share/pocketsphinx/test/data"
    rows = []
    for listing in ("librivox/transcription", "cards/cards.transcription"):
        for line in (base / listing).read_text().splitlines():
            match = re.match(r"<s>(.*)</s>\s*\((\S+)\)", line)
            if not match:
                continue
            words = match.group(1).split()
            phones = text.phones_of(words, dictionary)
            target = folder / "wav/others" / (match.group(2) + ".wav")
            to_wav((base / listing).parent / (match.group(2) + ".wav"), target)
            rows.append(("others", "pocketsphinx-testdata", target, words, phones))
    return rows


def sentences(dictionary):
    """Returns the distinct pronounceable sentences of the fortunes in a fixed random order."""
    found = {}
    for name in FORTUNE_FILES:
        path = pathlib.Path(FORTUNES) / name
        if not path.exists():
            continue
        for sentence in text.sentences_of_fortunes(path.read_text(errors="replace")):
            if all(word in dictionary for word in sentence.split()):
                found[sentence] = None
    result = list(found)
    random.Random(7).shuffle(result)
    return result


def speak(sentence, voice, target, stretch=1.0, pitch=1.0):
    """Synthesises a sentence; returns the phones that the voice actually speaks."""
    labels = target.with_suffix(".phones")
    if not (target.exists() and labels.exists()):
        target.parent.mkdir(parents=True, exist_ok=True)
        command = ["flite", "-voice", voice, "-psdur"]
        command += ["--setf", f"duration_stretch={stretch:.3f}", "--setf", f"f0_shift={pitch:.3f}"]
        result = subprocess.run([*command, "-t", sentence, "-o", str(target)], check=True,
                                capture_output=True, text=True)
        labels.write_text(result.stdout)
    return text.phones_of_flite(labels.read_text())


def synthesised(folder, settings, dictionary, spoken, forbidden):
    """Returns the rows of synthesised speech: training, and tests with trained and unheard voices."""
    pool = [s for s in sentences(dictionary) if s not in forbidden]
    tests, pool = pool[: 2 * settings.test_sentences], pool[2 * settings.test_sentences:]
    plan = []
    for index, sentence in enumerate(tests):
        if index % 2:
            plan.append(("synth_unheard", UNHEARD_VOICE, sentence))
        else:
            plan.append(("synth", TRAINED_VOICES[index // 2 % 3], sentence))
    # The voices also read the training prompts, so that they speak the same texts as the recordings.
    for index, sentence in enumerate(spoken + pool[: settings.train_sentences - len(spoken)]):
        plan.append(("train", TRAINED_VOICES[index % 3], sentence))
    dice = random.Random(11)
    progress = Progress("synthesis", len(plan))
    rows = []
    for group, voice, sentence in plan:
        progress.step()
        train = group == "train"
        stretch = dice.uniform(0.8, 1.3) if train else 1.0
        pitch = dice.uniform(0.8, 1.25) if train else 1.0
        name = hashlib.sha256(f"{group} {voice} {sentence}".encode()).hexdigest()[:12]
        target = folder / "wav/synth" / voice / (name + ".wav")
        phones = speak(sentence, voice, target, stretch, pitch)
        if phones and 0.3 < seconds_of(target) < LONGEST_SECONDS:
            rows.append((group, "flite-" + voice, target, sentence.split(), phones))
    return rows


def write_manifest(path, rows, folder):
    """Writes a line for each utterance: set, source, file, text and phones."""
    with open(path.with_suffix(".part"), "w", encoding="utf-8") as file:
        for group, source, target, words, phones in rows:
            fields = (group, source, str(target.relative_to(folder)), " ".join(words),
                      " ".join(phones))
            file.write("\t".join(fields) + "\n")
    path.with_suffix(".part").rename(path)


def read_manifest(folder):
    """Returns the rows of the manifest as dictionaries."""
    names = ("set", "source", "file", "text", "phones")
    with open(folder / "manifest.tsv", encoding="utf-8") as file:
        return [dict(zip(names, line.rstrip("\n").split("\t"))) for line in file]


def english(folder, settings):
    """Returns the rows of the English recipe."""
    root = download(folder)
    dictionary = text.load_dictionary()
    recorded = asterisk(folder, root, dictionary, settings.recorded_limit)
    foreign = others(folder, root, dictionary)
    forbidden = {" ".join(row[3]) for row in recorded + foreign if row[0] != "train"}
    spoken = sorted({" ".join(row[3]) for row in recorded if row[0] == "train"} - forbidden)
    spoken = [sentence for sentence in spoken if len(sentence.split()) >= 3]
    spoken = spoken[: settings.train_sentences // 4]
    synthetic = synthesised(folder, settings, dictionary, spoken, forbidden)
    return recorded + foreign + synthetic


def check_disjoint(rows):
    """Raises if a text of a test set is also in the training set."""
    train_texts = {" ".join(row[3]) for row in rows if row[0] == "train"}
    for row in rows:
        if row[0] != "train" and " ".join(row[3]) in train_texts:
            raise RuntimeError(f"this text is in the training set and in a test set: {row}")


def run(folder, settings, make_rows):
    """Makes the manifest and all audio unless they exist already."""
    manifest = folder / "manifest.tsv"
    if manifest.exists():
        return
    rows = make_rows(folder, settings)
    check_disjoint(rows)
    write_manifest(manifest, rows, folder)
    for group in sorted({row[0] for row in rows}):
        members = [row for row in rows if row[0] == group]
        minutes = sum(seconds_of(row[2]) for row in members) / 60
        print(f"{group}: {len(members)} utterances, {minutes:.1f} minutes")
