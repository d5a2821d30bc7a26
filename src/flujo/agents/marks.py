"""What is an instruction to a model, and what is only data that instructions speak of."""

from hashlib import sha256

from pydantic_core import PydanticSerializationError, to_json

from flujo.errors import PipelineError

_DIGITS = 20  # 80 bits; 8 digits are tried out in minutes


def as_text(value: object) -> str:
    """Return a value as a model reads it: a text as it is, anything else as JSON.

    Raises:
        PipelineError: It cannot be written as JSON.
    """
    if isinstance(value, str):
        return value
    try:
        return to_json(value, indent=2, bytes_mode="base64").decode()
    except PydanticSerializationError as error:
        raise PipelineError(
            f"a {type(value).__qualname__} cannot be told to a model: {error}",
            fix="give a text, a Pydantic model or other JSON, in a step before it",
        ) from None


def as_data(label: str, value: object) -> str:
    """Return a value between two marks, so that a model can tell it from its instructions.

    The marks carry a part of the content's own digest: who writes the content cannot write the mark that
    ends it (one that fits is not found by trying), and the same content is marked alike on every resume.

    Args:
        label: What the data is, in one word: ``document``.
        value: A text, or what is shown as JSON.
    """
    text = as_text(value)
    mark = f"{label}-{sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:_DIGITS]}"
    return f"<{mark}>\n{text}\n</{mark}>"
