#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Trains phone recognisers from Debian packages alone; see training/README.md.
#   training/train.sh --only main.s1.20x    one pruned network: data, its trunk, pruning, retraining
#   training/train.sh --jobs 2              the whole experiment on two cores, which takes hours
#   training/train.sh --recipe nl           Dutch instead of English
#   training/train.sh --smoke               every stage at tiny size, about two minutes
set -eu
cd "$(dirname "$0")/.."

python=${ESE_PYTHON:-/usr/bin/python3}
packages="python3-torch python3-torchaudio python3-numpy libopenblas0 flite espeak-ng ffmpeg fortunes pocketsphinx-en-us"

missing=
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
    missing="$missing $package"
done
if [ -n "$missing" ]; then
  echo "installing$missing"
  root=
  [ "$(id -u)" -eq 0 ] || root=sudo
  $root apt-get -qq update
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive $root apt-get -qq -o DPkg::Lock::Timeout=600 install -y \
    --no-install-recommends $missing >/dev/null
fi

# More threads than one make Debian's OpenBLAS slower on matrices of this size.
OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1}
PYTHONDONTWRITEBYTECODE=1
export OMP_NUM_THREADS OPENBLAS_NUM_THREADS PYTHONDONTWRITEBYTECODE
case " $* " in *" --smoke "*) nice -n 5 "$python" -m unittest -q training.test_training ;; esac
exec nice -n 5 "$python" -u -m training "$@"
