"""Other products' names for our fields.

A map says for each field of ours where it is found: a column or a key, a path of keys (`profile.phone`), or several of
them, of which the first that is there counts (`sub|Username`). `metadata.plan` is one key of the metadata. What a map
does not name is left out; without a map the names are ours.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from auth1.errors import FieldError, ValidationFailed

FIELDS = (
    *("phone", "email", "external_id", "created_at", "metadata", "user_metadata"),
    *("banned_until", "ban_reason", "banned", "enabled"),
)
_OURS_IGNORED = frozenset({"user_id", "last_login_at"})  # of our own export, and not to be set
_OBJECTS = ("metadata", "user_metadata")
MAX_PAIRS = 50  # also of places to look, over all pairs
MAX_KEYS = 10  # of a path
MAX_NAMES = 500  # of a row: each place is looked for among them


class FieldMap(NamedTuple):
    """Where fields are found."""

    sources: dict[str, tuple[str, ...]]
    lists: str | None = None  # a key with a list of {"Name", "Value"}, to be read as columns
    bare_phones: bool = False  # phones are E.164 without the plus

    @property
    def known(self) -> frozenset[str] | None:
        """The names that a file may have; None: any, of which those are read that the map names."""
        return None if self.sources else frozenset(FIELDS) | _OURS_IGNORED

    def read(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Our fields of a row. Raises ValidationFailed on a field that, without a map, is none of ours."""
        if not self.sources:
            if unknown := [name for name in row if name not in (self.known or ())]:
                raise ValidationFailed(errors=[FieldError(str(unknown[0])[:64], "Unknown field")])
            return dict(row)
        if self.lists is not None and isinstance(pairs := row.get(self.lists), list):
            named = [(pair.get("Name"), pair.get("Value")) for pair in pairs if isinstance(pair, dict)]
            row = {**row, **{name: value for name, value in named if isinstance(name, str)}}
        if len(row) > MAX_NAMES:
            raise ValidationFailed(errors=[FieldError("row", f"Has more than {MAX_NAMES} fields")])
        fields: dict[str, Any] = {}
        for field, sources in self.sources.items():
            value = next((found for source in sources if (found := _find(row, source)) not in (None, "")), None)
            name, _, key = field.partition(".")
            if not key:
                fields[name] = value
            elif value is not None:
                kept = fields.get(name)
                fields[name] = {**(kept if isinstance(kept, dict) else {}), key: value}
        if self.bare_phones and isinstance(phone := fields.get("phone"), str) and phone.isdigit():
            fields["phone"] = "+" + phone
        return fields


PRESETS: dict[str, FieldMap] = {}


def parse(text: str, preset: str | None) -> FieldMap:
    """Read a map, `phone=phone_number,email=email`, on top of a preset. Raises ValidationFailed."""
    if preset is not None and preset not in PRESETS:
        raise ValidationFailed(errors=[FieldError("from", f"Must be one of {', '.join(sorted(PRESETS))}")])
    chosen = PRESETS[preset] if preset is not None else FieldMap({})
    sources = dict(chosen.sources)
    for pair in filter(None, text.split(",")[: MAX_PAIRS + 1]):
        field, equals, source = (part.strip() for part in pair.partition("="))
        name, dot, key = field.partition(".")
        known = name in _OBJECTS and key if dot else name in FIELDS
        places = source.split("|")
        room = sum(map(len, sources.values())) + len(places) <= MAX_PAIRS
        if not (known and equals and source and room) or any(place.count(".") >= MAX_KEYS for place in places):
            detail = f"Must be like phone=phone_number,email=email, up to {MAX_PAIRS} of: {', '.join(FIELDS)}"
            raise ValidationFailed(errors=[FieldError("map", detail)])
        sources[field] = tuple(places)
    return chosen._replace(sources=sources)


def _find(row: Mapping[str, Any], source: str) -> Any:
    """A column; or what a path of keys leads to; or the columns below it, `app_metadata.plan` of a CSV, together."""
    if source in row:
        return row[source]
    key, dot, rest = source.partition(".")
    if dot and isinstance(inner := row.get(key), Mapping):
        return _find(inner, rest)
    below = source + "."
    return {
        name.removeprefix(below): value
        for name, value in row.items()
        if name.startswith(below) and value not in (None, "")
    } or None


def _preset(name: str, text: str, **options: Any) -> None:
    PRESETS[name] = parse(text, None)._replace(**options)


# Each product's documentation says what its export holds; docs/import.md says how to get one.
_preset(
    "auth0",
    "phone=phone_number,email=email,external_id=user_id,created_at=created_at,banned=blocked,"
    "metadata=app_metadata,user_metadata=user_metadata,user_metadata.name=name",
)
_preset(
    "firebase",
    "phone=phoneNumber,email=email,external_id=localId,created_at=createdAt,banned=disabled,"
    "metadata=customAttributes,user_metadata.name=displayName,user_metadata.picture=photoUrl",
)
_preset(
    "supabase",
    "phone=phone,email=email,external_id=id,created_at=created_at,banned_until=banned_until,"
    "metadata=raw_app_meta_data|app_metadata,user_metadata=raw_user_meta_data|user_metadata",
    bare_phones=True,
)
_preset(
    "cognito",
    "phone=phone_number,email=email,external_id=sub|cognito:username|Username,created_at=UserCreateDate,"
    "enabled=Enabled,user_metadata.name=name",
    lists="Attributes",
)
