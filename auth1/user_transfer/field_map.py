"""Map the field names of other products to the fields of Auth1.

A map names, for each field, where it is found: a column or key, a path of keys (`profile.phone`), or several of them.
Of several (`sub|Username`) the first with a value counts. `metadata.plan` is one key of the metadata. Fields that a map
does not name are left out. Without a map, a file uses the names of Auth1.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from auth1.errors import FieldError, ValidationFailed

FLAGS = ("phone_verified", "email_verified")
FIELDS = (
    *("phone", "email", *FLAGS, "unverified_phone", "unverified_email"),
    *("external_id", "created_at", "metadata", "user_metadata", "banned_until", "ban_reason", "banned", "enabled"),
)
_EXPORT_ONLY = frozenset({"user_id", "last_login_at"})  # columns of the export that an import ignores
_OBJECTS = ("metadata", "user_metadata")
_IDENTIFYING = ("phone", "email", "unverified_phone", "unverified_email", "external_id")
_KNOWN_FLAGS = {  # read under every map, so that no map overlooks that an address is unverified
    "phone_verified": ("phone_verified", "phone_number_verified", "phoneVerified", "phone_confirmed_at"),
    "email_verified": ("email_verified", "emailVerified", "email_confirmed_at"),
}
MAX_PAIRS = 50  # also of sources, over all pairs
MAX_KEYS = 10  # of a path
MAX_NAMES = 500  # of a row
_MISSING = object()


class FieldMap(NamedTuple):
    """A map from the fields of a user to their places in a row."""

    sources: dict[str, tuple[str, ...]]
    lists: str | None = None  # a key with a list of {"Name", "Value"}, to be read as columns
    bare_phones: bool = False  # phones are E.164 without the plus
    columns: tuple[str, ...] = ()  # of a CSV without a header
    verified_by_default: frozenset[str] = frozenset({"phone", "email"})  # identifiers that are verified without a flag

    def is_header(self, cells: Sequence[str]) -> bool:
        """Return whether the first row of a CSV names its columns."""
        return not self.columns or any(cell.strip() in self._names() for cell in cells)

    def problem_of_header(self, header: Sequence[str]) -> str:
        """Return the problem of the columns of a CSV; empty when they can be read."""
        if not self.sources:
            unknown = [name[:64] or "(empty)" for name in header if name not in FIELDS and name not in _EXPORT_ONLY]
            return (
                f"Unknown columns: {', '.join(unknown[:20])}; a map names the column of each field." if unknown else ""
            )
        if any(name.partition(".")[0] in self._names(*_IDENTIFYING) or name in self._names() for name in header):
            return ""
        return "The header has none of the columns that the map names."

    def read(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a row. Raises ValidationFailed for an unknown field where there is no map."""
        if not self.sources:
            unknown = next((name for name in row if name not in FIELDS and name not in _EXPORT_ONLY), None)
            if unknown is not None:
                raise ValidationFailed(errors=[FieldError(str(unknown)[:64], "Unknown field.")])
            return dict(row)
        row = self._with_listed(row)
        if len(row) > MAX_NAMES:
            raise ValidationFailed(errors=[FieldError("row", f"Must not have more than {MAX_NAMES} fields.")])
        groups = _groups(row, {source for sources in self.sources.values() for source in sources})
        fields: dict[str, Any] = {}
        for field, sources in self.sources.items():
            found = [value for source in sources if (value := _find(row, groups, source)) is not _MISSING]
            value = next((one for one in found if one not in (None, "")), None)
            name, _, key = field.partition(".")
            if name in FLAGS and not found:
                continue  # the file says nothing
            if not key:
                fields[name] = value
            elif value is not None:
                kept = fields.get(name)
                fields[name] = {**(kept if isinstance(kept, dict) else {}), key: value}
        if self.bare_phones and isinstance(phone := fields.get("phone"), str) and phone.isdigit():
            fields["phone"] = "+" + phone
        return fields

    def _names(self, *fields: str) -> set[str]:
        """Return the first keys of the sources of some fields, or of all."""
        chosen = [sources for field, sources in self.sources.items() if not fields or field in fields]
        return {source.partition(".")[0] for sources in chosen for source in sources}

    def _with_listed(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        pairs = row.get(self.lists) if self.lists is not None else None
        if not isinstance(pairs, list):
            return row
        if len(pairs) > MAX_NAMES:
            raise ValidationFailed(errors=[FieldError("row", f"Must not have more than {MAX_NAMES} fields.")])
        named = [(pair.get("Name"), pair.get("Value")) for pair in pairs if isinstance(pair, dict)]
        return {**row, **{name: value for name, value in named if isinstance(name, str)}}


PRESETS: dict[str, FieldMap] = {}


def parse(text: str, preset: str | None) -> FieldMap:
    """Read a map, `phone=phone_number,email=email`, on top of a preset. Raises ValidationFailed."""
    if preset is not None and preset not in PRESETS:
        raise ValidationFailed(errors=[FieldError("from", f"Must be one of {', '.join(sorted(PRESETS))}.")])
    chosen = PRESETS[preset] if preset is not None else FieldMap({})
    sources = dict(chosen.sources)
    for pair in filter(None, text.split(",")[: MAX_PAIRS + 1]):
        field, equals, source = (part.strip() for part in pair.partition("="))
        name, dot, key = field.partition(".")
        known = name in _OBJECTS and key if dot else name in FIELDS
        places = source.split("|")
        fits = sum(map(len, sources.values())) + len(places) <= MAX_PAIRS
        if not (known and equals and source and fits) or any(place.count(".") >= MAX_KEYS for place in places):
            detail = f"Must be like phone=phone_number,email=email, up to {MAX_PAIRS} of: {', '.join(FIELDS)}."
            raise ValidationFailed(errors=[FieldError("map", detail)])
        sources[field] = tuple(places)
    if sources and preset is None:
        sources = {**_KNOWN_FLAGS, **sources}
    return chosen._replace(sources=sources)


def _groups(row: Mapping[str, Any], wanted: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the columns `app_metadata.plan` of a CSV as one object by their prefix, for each prefix that is wanted."""
    groups: dict[str, dict[str, Any]] = {}
    for name, value in row.items():
        end = name.find(".")
        for _ in range(MAX_KEYS):
            if end < 0 or value in (None, ""):
                break
            if name[:end] in wanted:
                groups.setdefault(name[:end], {})[name[end + 1 :]] = value
            end = name.find(".", end + 1)
    return groups


def _find(row: Mapping[str, Any], groups: Mapping[str, Any], source: str) -> Any:
    """Return the value of a column, at a path of keys, or of a group of columns; `_MISSING` when there is none."""
    inner: object = row
    rest = source
    while isinstance(inner, Mapping):
        if rest in inner:
            return inner[rest]
        key, dot, rest = rest.partition(".")
        inner = inner.get(key) if dot else None
    return groups.get(source, _MISSING)


def _preset(name: str, text: str, verified_by_default: Sequence[str] = (), **options: Any) -> None:
    fields = parse(text, None)._replace(verified_by_default=frozenset(verified_by_default), **options)
    named = {pair.partition("=")[0] for pair in text.split(",")}
    kept = {field: sources for field, sources in fields.sources.items() if field in named}
    PRESETS[name] = fields._replace(sources=kept)


# The documentation of each product defines its export; docs/import.md says how to make one.
_preset(
    "auth0",
    "phone=phone_number,email=email,phone_verified=phone_verified,email_verified=email_verified,external_id=user_id,"
    "created_at=created_at,banned=blocked,metadata=app_metadata,user_metadata=user_metadata,user_metadata.name=name",
)
_preset(
    "firebase",
    "phone=phoneNumber,email=email,email_verified=emailVerified,external_id=localId,created_at=createdAt,"
    "banned=disabled,metadata=customAttributes,user_metadata.name=displayName,user_metadata.picture=photoUrl",
    verified_by_default=("phone",),  # a phone has no flag: users sign in with it
    columns=(
        *("localId", "email", "emailVerified", "passwordHash", "salt", "displayName", "photoUrl"),
        *(f"{product}{part}" for product in ("google", "facebook", "twitter", "github") for part in "1234"),
        *("createdAt", "lastSignedInAt", "phoneNumber", "disabled", "customAttributes", ""),
    ),
)
_preset(
    "supabase",
    "phone=phone,email=email,phone_verified=phone_confirmed_at,email_verified=email_confirmed_at,external_id=id,"
    "created_at=created_at,banned_until=banned_until,metadata=raw_app_meta_data|app_metadata,"
    "user_metadata=raw_user_meta_data|user_metadata",
    bare_phones=True,
)
_preset(
    "cognito",
    "phone=phone_number,email=email,phone_verified=phone_number_verified,email_verified=email_verified,"
    "external_id=sub|cognito:username|Username,created_at=UserCreateDate,enabled=Enabled,user_metadata.name=name",
    lists="Attributes",
)
