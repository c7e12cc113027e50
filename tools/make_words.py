"""Makes jaxssl/data/files/words.npz: 16 English words, each said once by 72 voices of the synthesiser espeak-ng.

    apt-get install espeak-ng && python tools/make_words.py

Needs scipy. A voice is a variant of the synthesiser with one of six accents; pitch and speed vary from word to word.
The voices of the test set do not occur in the training set. The sound is packed by `jaxssl.data.sets.words.pack`.
"""

import io
import subprocess
import wave

import numpy as np
from scipy.signal import resample_poly

from jaxssl.data.sets.words import RATE, WORD_LENGTH, WORDS_FILE, pack, unpack

WORDS = "zero one two three four five six seven eight nine yes no left right stop go".split()
ACCENTS = "en-gb en-us en-gb-scotland en-gb-x-rp en-gb-x-gbclan en-029".split()
VARIANTS = """m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 klatt klatt2 klatt3 adam Alex Alicia Andrea Andy Annie antonio
aunty belinda benjamin boris caleb david Denis Diogo ed edward edward2 Gene Gene2 grandma grandpa gustave Henrique Hugo
iven iven2 iven3 Jacky john kaukovalta Lee linda marcelo Marco Mario max Michael michel miguel norbert pablo paul pedro
quincy rob robert sandro shelby steph steph2 steph3 Storm travis victor zac""".split()
TEST_VOICES = 18


def say(word: str, voice: str, pitch: int, speed: int) -> np.ndarray:
    """The sound of a word, mono at RATE, without the silence around it."""
    command = ["espeak-ng", "-v", voice, "-p", str(pitch), "-s", str(speed), "--stdout", word]
    sound = subprocess.run(command, capture_output=True, check=True).stdout
    with wave.open(io.BytesIO(sound)) as file:
        rate, x = file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), np.int16)
    common = np.gcd(rate, RATE)
    x = resample_poly(x.astype(np.float64), RATE // common, rate // common)
    x = x / np.abs(x).max()
    loud = np.flatnonzero(np.abs(x) > 0.02)
    return x[loud[0] : loud[-1] + 1]


def main() -> None:
    """Writes the file."""
    random = np.random.default_rng(0)
    voices = random.permutation(VARIANTS)
    sounds, label, voice, accent, original = [], [], [], [], []
    for v, variant in enumerate(voices):
        for w, word in enumerate(WORDS):
            name = f"{ACCENTS[v % len(ACCENTS)]}+{variant}"
            sound = say(word, name, int(random.integers(30, 71)), int(random.integers(150, 221)))
            original.append(len(sound) / RATE)
            sounds.append(sound[:WORD_LENGTH])
            label.append(w)
            voice.append(v)
            accent.append(v % len(ACCENTS))
    packed = pack(sounds)
    np.savez_compressed(
        WORDS_FILE,
        **packed,
        label=np.array(label, np.uint8),
        voice=np.array(voice, np.uint8),
        accent=np.array(accent, np.uint8),
        test=np.array([v >= len(voices) - TEST_VOICES for v in voice]),
        words=np.array(WORDS),
        voices=voices,
        accents=np.array(ACCENTS),
    )
    again = unpack(packed["codes"], packed["steps"], packed["frames"], WORD_LENGTH)
    noise = signal = 0.0
    for sound, row in zip(sounds, again):
        signal, noise = signal + np.sum(sound**2), noise + np.sum((sound - row[: len(sound)]) ** 2)
    print(f"{len(sounds)} words; seconds: mean {np.mean(original):.2f}, largest {np.max(original):.2f};")
    print(f"{WORDS_FILE}: {WORDS_FILE.stat().st_size} bytes, signal to noise {10 * np.log10(signal / noise):.1f} dB")


if __name__ == "__main__":
    main()
