"""Language tags that a tenant may name: registered languages and regions, not words that look like a tag."""

from auth1.config.countries import COUNTRIES, country_problem
from auth1.templates import locales

# ISO 639-1: BCP 47 uses these two letters wherever a language has them.
_LANGUAGES = frozenset(
    (
        "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee "
        "el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io "
        "is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn "
        "mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se "
        "sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo "
        "wa wo xh yi yo za zh zu"
    ).split()
)
# ISO 639-2 codes and English names of languages that have two letters.
_MISTAKES = {
    "eng": "en", "english": "en", "spa": "es", "spanish": "es", "fra": "fr", "fre": "fr", "french": "fr", "deu": "de",
    "ger": "de", "german": "de", "por": "pt", "ita": "it", "italian": "it", "zho": "zh", "chi": "zh", "chinese": "zh",
    "jpn": "ja", "jp": "ja", "japanese": "ja", "kor": "ko", "korean": "ko", "rus": "ru", "russian": "ru", "ara": "ar",
    "arabic": "ar", "nld": "nl", "dut": "nl", "dutch": "nl", "swe": "sv", "swedish": "sv", "dan": "da", "danish": "da",
    "pol": "pl", "polish": "pl", "ukr": "uk", "ces": "cs", "cze": "cs", "cz": "cs", "gr": "el", "dk": "da", "gb": "en",
    "us": "en", "br": "pt-BR", "cn": "zh", "kr": "ko", "se": "sv", "ua": "uk", "hindi": "hi", "hin": "hi",
}  # fmt: skip
_NOT_MISTAKES = frozenset({"br", "kr", "se"})  # Breton, Kanuri and Northern Sami


def language_problem(tag: str) -> str | None:
    """Return the problem of a tag that is not a language, or None."""
    language, *rest = locales.normalise(tag).split("-")
    if language in _MISTAKES and language not in _NOT_MISTAKES:
        return f"{language} is not a language tag (BCP 47); write {_MISTAKES[language]}."
    if len(language) > 3 or (len(language) == 2 and language not in _LANGUAGES):
        return f"{language} is not a language tag (BCP 47), such as en, pt-BR or zh-Hant."
    for region in (part for part in rest if len(part) == 2):
        if region not in COUNTRIES and (problem := country_problem(region)):
            return problem
    return None
