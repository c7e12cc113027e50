"""Makes jaxssl/data/files/tokenizer_4096.json from the bundled training texts.

python tools/make_tokenizer.py
"""

from jaxssl.data.sets.debian_descriptions import debian_training_texts
from jaxssl.data.tokenizer import DEFAULT_FILE, train_tokenizer

VOCAB_SIZE = 4096


def main() -> None:
    """Writes the file."""
    tokenizer = train_tokenizer(debian_training_texts(), vocab_size=VOCAB_SIZE)
    tokenizer.save(DEFAULT_FILE)
    print(f"{DEFAULT_FILE}: {tokenizer.vocab_size} ids, {DEFAULT_FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
