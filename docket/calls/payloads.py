"""Serializers for the payloads of a docket: chosen by its address, or by arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..discovery.address import Address
from ..foundation.strictness import check_strict
from ..serialization import Serializer


def serializer_at(
    found: Address,
    codecs: Sequence[str] | None = None,
    signing_keys: Mapping[str, bytes] | None = None,
    max_payload: int | None = None,
) -> Serializer:
    """Return the serializer of a docket.

    Arguments:
        found: where the docket is, and the rules that all who use it share.
        codecs, signing_keys, max_payload: what the caller says instead.

    Raises:
        ConfigurationError: the profile is strict, and they are not.
        InvalidSetting: a codec is unknown, or a key has no id or no secret.
    """
    plain = Serializer()
    if codecs is None:
        codecs = found.codecs
    keys = found.signing_keys if signing_keys is None else tuple(signing_keys.items())
    limit = found.max_payload if max_payload is None else max_payload
    codecs = plain.codecs if codecs is None else tuple(codecs)
    if found.is_strict:
        check_strict(codecs, keys or ())
    return Serializer(
        codecs=codecs,
        signing_keys=keys or (),
        max_payload=plain.max_payload if limit is None else limit,
        docket=found.name,
    )
