"""Models as the commands open them."""

from backprop import model_file
from backprop._read_source import plain_name
from backprop._readers import ARRAY_EXTENSIONS, LIBSVM_EXTENSIONS, TEXT_EXTENSIONS
from backprop.cli.arguments import UsageError
from backprop.errors import ModelFormatError
from backprop.model import Model
from backprop.network import Network


def open_model(path):
    """The Model at `path`; a network saved on its own becomes one without labels and scaling."""
    try:
        saved = model_file.load(path)
    except ModelFormatError:
        if plain_name(path).endswith((*TEXT_EXTENSIONS, *LIBSVM_EXTENSIONS, *ARRAY_EXTENSIONS)):
            raise UsageError(f"{path} is no model but looks like data: MODEL stands before DATA") from None
        raise
    if isinstance(saved, Network):
        return Model(saved)
    if not isinstance(saved, Model):
        raise ValueError(f"{path} holds a {type(saved).__name__}; the command line works with networks")
    return saved


def short(value):
    """A value of a record as a line of text shows it."""
    return f"{value:.4g}" if isinstance(value, float) else value
