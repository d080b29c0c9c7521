"""``backprop export``: a model in a form that other programs run."""

from backprop.cli.arguments import UsageError, add_model
from backprop.cli.models import open_model
from backprop.cli.output import check_path, say

SUFFIXES = {"onnx": ".onnx", "c": ".c", "python": ".py"}
EXAMPLES = """\
examples:
  backprop export iris.safetensors --out iris.onnx
  backprop export iris.safetensors --format c --out iris.c
  backprop export iris.safetensors --format python --out iris.py
"""


def arguments(parser):
    add_model(parser)
    parser.add_argument("--out", required=True, metavar="FILE", help="the file to write")
    parser.add_argument("--format", choices=tuple(SUFFIXES), metavar="NAME",
                        help=f"{', '.join(SUFFIXES)} (default: by the end of FILE, {', '.join(SUFFIXES.values())})")
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def run(args):
    name = args.format or next((name for name, end in SUFFIXES.items() if args.out.lower().endswith(end)), None)
    if name is None:
        raise UsageError(f"argument --out: {args.out} ends in none of {', '.join(SUFFIXES.values())}; give --format")
    check_path(args.out, args.model)
    model = open_model(args.model)
    from backprop import export

    export.FORMATS[name](model, args.out)
    say(args, f"saved to {args.out}")
    if model.columns is not None and model.feature_names is not None:
        say(args, f"it takes {model.network.sizes[0]} inputs, a category being one that is 0 or 1: "
                  f"{', '.join(model.feature_names[:20])}{', ...' if len(model.feature_names) > 20 else ''}")
    return 0
