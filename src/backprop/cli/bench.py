EXAMPLES = ""


def arguments(parser):
    pass


def run(args):
    pass
