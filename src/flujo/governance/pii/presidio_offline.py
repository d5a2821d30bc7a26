"""The parts of Presidio that would go online, made so that they stay at home. Needs the extra `presidio`."""

from typing import Any

import spacy
from presidio_analyzer.nlp_engine import SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import EmailRecognizer
from tldextract import TLDExtract

_SUFFIXES = TLDExtract(suffix_list_urls=(), cache_dir=None)
"""The list of public suffixes that the package brings along; its own default fetches a newer one."""


class OfflineEmailRecognizer(EmailRecognizer):
    """Presidio's recogniser of e-mail addresses, which judges domains by the list at hand."""

    def __init__(self, supported_language: str) -> None:
        super().__init__(supported_language=supported_language, name="OfflineEmailRecognizer")

    def validate_result(self, pattern_text: str) -> bool:
        """Return whether the domain ends in a public suffix."""
        return _SUFFIXES(pattern_text).fqdn != ""


class _NlpEngine(SpacyNlpEngine):
    """A language pipeline that was loaded already: Presidio downloads those that were not."""

    def __init__(self, language: str, pipeline: Any, *, lemmas: bool) -> None:
        super().__init__(models=[{"lang_code": language, "model_name": "loaded"}])
        self.nlp = {language: pipeline}
        self._lemmas = lemmas

    def process_text(self, text: str, language: str) -> Any:
        """Return the words of a text; without a model, each word is its own lemma, for the words beside."""
        document = self.nlp[language](text)
        if not self._lemmas:
            for token in document:
                token.lemma_ = token.lower_
        return self._doc_to_nlp_artifact(document, language)


def nlp_engine(language: str, model: str | None) -> Any:
    """Return the engine that splits texts into words, with the model of that name or with none."""
    pipeline: Any = spacy.load(model) if model else spacy.blank(language)
    pipeline.max_length = 10**9
    return _NlpEngine(language, pipeline, lemmas=model is not None)
