"""``backprop evaluate``: scores of a model on DATA with targets."""

import json

from backprop.cli import tables
from backprop.cli.arguments import add_json, add_model, add_reading
from backprop.cli.models import open_model
from backprop.cli.output import pairs
from backprop.cli.scores import class_lines, matrix_lines, pairs_of, scores

EXAMPLES = """\
examples:
  backprop evaluate iris.safetensors iris.csv
  backprop evaluate iris.safetensors iris.csv --json
"""


def arguments(parser):
    add_model(parser)
    parser.add_argument("data", metavar="DATA", help="rows with their targets, or - for text from stdin")
    add_json(parser)
    add_reading(parser)


def run(args):
    model, path = open_model(args.model), args.data
    with tables.standard_input(args):
        found = scores(model, tables.examples(model, args), args.data)
    if args.json:
        print(json.dumps({"data": path, **found}))
        return 0
    print("\n".join([f"{path}: {found['rows']:,} rows", *pairs(pairs_of(found)), *class_lines(found),
                     *matrix_lines(found)]))
    return 0
