#!/bin/sh
# tokenizers 0.23.3 (seen on CPython 3.11.7): `encode_special_tokens` of a tokenizer does not go with its pickle. With it
# the names of special tokens in a text are encoded as ordinary words; in a worker they become the special tokens.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check tokenizers==0.23.3
cat >program.py <<'END'
import pickle

from tokenizers import Tokenizer, models

tokenizer = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
tokenizer.add_special_tokens(["[PAD]"])
tokenizer.encode_special_tokens = True
for one in tokenizer, pickle.loads(pickle.dumps(tokenizer)):
    print(one.encode_special_tokens, one.encode("[PAD]").ids)
END
cat >seen <<'END'
True [1]
False [2]
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
