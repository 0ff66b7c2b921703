# SPDX-License-Identifier: Apache-2.0
"""Writes the held-out recordings that the tests and the demo use (tests/data/speech)."""

import subprocess

from training import data
from training.settings import REPOSITORY, work_dir

# (name, file format). None of these texts occurs in training.
CHOSEN = (
    ("at-tone-time-exactly", "flac"),
    ("conf-onlyperson", "flac"),
    ("conf-placeintoconf", "wav"),
    ("queue-youarenext", "flac"),
    ("vm-nobox", "flac"),
    ("vm-sorry", "flac"),
    ("vm-tempgreetactive", "ogg"),
    ("vm-tmpexists", "flac"),
    ("sense_and_sensibility_01_austen_64kb-0880", "flac"),
    ("sense_and_sensibility_01_austen_64kb-0890", "flac"),
    ("sense_and_sensibility_01_austen_64kb-0930", "flac"),
    ("005", "flac"),
)
RENAMED = {
    "sense_and_sensibility_01_austen_64kb-0880": "austen-0880",
    "sense_and_sensibility_01_austen_64kb-0890": "austen-0890",
    "sense_and_sensibility_01_austen_64kb-0930": "austen-0930",
    "005": "cards-005",
}
LICENCES = {"asterisk": "CC-BY-SA-3.0", "others": "BSD-2-Clause"}
CODECS = {"flac": ["-c:a", "flac", "-compression_level", "12"], "wav": ["-c:a", "pcm_s16le"],
          "ogg": ["-c:a", "libvorbis", "-q:a", "5"]}


def run():
    """Encodes the chosen recordings and writes references.tsv beside them."""
    folder, target = work_dir(), REPOSITORY / "tests/data/speech"
    target.mkdir(parents=True, exist_ok=True)
    rows = {(folder / row["file"]).stem: row for row in data.read_manifest(folder)
            if row["set"] in LICENCES}
    lines = ["file\tset\tlicence\ttext\tphones"]
    for name, kind in CHOSEN:
        row = rows[name]
        output = target / f"{RENAMED.get(name, name)}.{kind}"
        command = ["ffmpeg", "-v", "error", "-y", "-i", str(folder / row["file"]), "-map_metadata",
                   "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact", *CODECS[kind]]
        subprocess.run([*command, str(output)], check=True)
        lines.append("\t".join((output.name, row["set"], LICENCES[row["set"]], row["text"],
                                row["phones"])))
    (target / "references.tsv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    run()
