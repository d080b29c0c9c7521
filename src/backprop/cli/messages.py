"""The library's errors in the words of the command line: its arguments become options."""

import re

PHRASES = (
    (r"target_kind='class'( or 'number')?", lambda m: "--task classification" + (" or regression" if m[1] else "")),
    (r"target_kind='number'", "--task regression"),
    (r"header=(True|False)", lambda m: f"--header {'yes' if m[1] == 'True' else 'no'}"),
    (r"\bdrop=\[(\d+)\]", r"--drop \1"),
    (r"\bzero_based=(True|False)", lambda m: f"--index-base {0 if m[1] == 'True' else 1}"),
    (r"\bzero_based=?", "--index-base"),
    (r"\b(target|drop|delimiter|categorical|sample_weight|keep|missing|optimizer|output|batch_size|learning_rate|schedule|loss)="
     r"('[^']*'|[^\s;,):]+)?", lambda m: _option(m[1]) + (f" {_bare(m[2])}" if m[2] else "")),
    (r"\bTry a smaller learning_rate, or scale the inputs \(bp\.data\.Standardizer\)",
     "Try a smaller --learning-rate, or leave out --no-standardize"),
    (r"has a comma where a number has its point", r"\g<0>; --decimal , takes it for the point"),
    (r"\bheader and delimiter are\b", "--header and --delimiter are"),
)
ARGUMENTS = ("batch_size", "class_weight", "clip_norm", "delimiter", "drop", "dropout", "early_stopping", "epochs",
             "l1", "l2", "learning_rate", "max_norm", "max_seconds", "n_threads", "schedule", "target_loss",
             "validation")


def in_options(message: str) -> str:
    """`message` with ``target='x'`` as ``--target x``, and an argument's name at its start as the option."""
    for pattern, words in PHRASES:
        message = re.sub(pattern, words, message)
    return re.sub(rf"^({'|'.join(ARGUMENTS)})\b(?=[ :])", lambda m: _option(m[1]), message)


def _option(argument):
    return "--threads" if argument == "n_threads" else "--" + argument.replace("_", "-")


def _bare(value):
    """A quoted value without its quotes where a shell takes it so."""
    inner = value[1:-1] if value[:1] == "'" else value
    return inner if re.fullmatch(r"[\w.,:+-]+", inner) else value
