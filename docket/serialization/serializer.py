"""Arguments, results and errors to bytes and back, under the rules of one docket."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, TypeAlias

from ..errors import CodecRefused, InvalidSetting, PayloadTooLarge, Undecodable
from . import envelope, failures, trust
from .decoding import Decoder
from .encoding import Encoder
from .words import PLAIN, Codec, Kind, as_parts, pack
from .written import as_meant

Context: TypeAlias = Sequence[str | int]
"""The place of a payload within its docket; a copy that is found elsewhere is refused."""

PICKLE: Final = "pickle"
CODECS: Final = ("safe", PICKLE)
CODECS_KEY: Final = "security.codecs"
"""The key of a docket.toml with the allowed codecs."""

MAX_PAYLOAD: Final = 1 << 20
WRITTEN: Final = frozenset(Kind.WRITTEN | codec for codec in Codec)


@dataclass(frozen=True)
class Serializer:
    """Arguments, results and errors to bytes and back.

    Arguments:
        codecs: what is allowed, ``("safe", "pickle")`` or ``("safe",)``; the latter refuses pickle on
            both sides. Models count as safe.
        signing_keys: secrets with their ids; the first one signs, all of them verify. Without any,
            nothing is signed.
        max_payload: the limit of a payload in bytes.
        docket: the docket that all payloads are signed for; another one's are refused.

    Raises:
        InvalidSetting: a codec is unknown, a key has no id or no secret, or the limit is none.

    Example:
        >>> serializer = Serializer(codecs=("safe",))
        >>> serializer.load_call(serializer.dump_call((1,), {"name": "Jane"}))
        ((1,), {'name': 'Jane'})
    """

    codecs: tuple[str, ...] = CODECS
    signing_keys: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)
    max_payload: int = MAX_PAYLOAD
    docket: str = ""

    def __post_init__(self) -> None:
        _check_codecs(self.codecs)
        _check_signing_keys(self.signing_keys)
        if self.max_payload < 1:
            raise InvalidSetting(
                f"expected a limit of at least 1 byte, found {self.max_payload}; correct security.max_payload"
            )

    def dump_call(
        self,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        signature: inspect.Signature | None = None,
        *,
        context: Context = (),
        nonce: str = "",
        written: bool = False,
    ) -> bytes:
        """Encode the arguments of a call.

        Arguments:
            args, kwargs: the arguments.
            signature: the task's, with annotations resolved; models that it names go as data.
            context: covered by the signature as well: the task and the key; not stored.
            nonce: sets the call apart from every other one of this key; stored if it is signed.
            written: they come from a file or a command line, where the task's annotations are not known:
                ``load_call`` makes of them what these say.

        Raises:
            NotSerializable: a value cannot be encoded by the codecs that are allowed.
            PayloadTooLarge: the bytes exceed the limit.
        """
        if _all_plain(args) and _all_plain(kwargs) and _all_plain(kwargs.values()):
            content, codec = pack([list(args), dict(kwargs)]), Codec.SAFE
        else:
            named = {str.__str__(name): value for name, value in kwargs.items()}
            content, codec = self._encoded([list(args), named], _annotations(signature))
        kind = Kind.WRITTEN if written else Kind.CALL
        return self._sealed(kind, codec, content, context, nonce)

    def load_call(
        self, data: bytes, signature: inspect.Signature | None = None, *, context: Context = ()
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments of a call.

        Arguments:
            data: what ``dump_call`` has made.
            signature: the task's; its annotations turn data into models.
            context: the same as for ``dump_call``.

        Raises:
            Undecodable: the bytes are damaged, forged, of a codec that is not allowed, or of a
                version to come.
            ModelMismatch: what was written or stored does not fit the annotations.
        """
        kind = Kind.WRITTEN if self.is_written(data) else Kind.CALL
        value = self._opened(data, kind, _annotations(signature), context)
        args, kwargs = _call_in(value)
        if kind is Kind.CALL or signature is None:
            return tuple(args), kwargs
        return as_meant(signature, tuple(args), kwargs)

    @staticmethod
    def is_written(data: bytes) -> bool:
        """Return True if arguments are in written form, not yet converted to the types of the task."""
        return envelope.first_byte(data) in WRITTEN

    def dump_result(self, value: Any, annotation: Any = None, *, context: Context = ()) -> bytes:
        """Return a result as bytes.

        Arguments:
            value: the result.
            annotation: the return annotation; models that it names go as data.
            context: what a signature covers besides: the run that it is the result of; not stored.

        Raises:
            NotSerializable: a value cannot be encoded by the codecs that are allowed.
            PayloadTooLarge: the bytes exceed the limit.
        """
        if type(value) in PLAIN:
            content, codec = pack(value), Codec.SAFE
        else:
            content, codec = self._encoded(value, (annotation,))
        return self._sealed(Kind.RESULT, codec, content, context)

    def load_result(self, data: bytes, annotation: Any = None, *, context: Context = ()) -> Any:
        """Return a result.

        Arguments:
            data: what ``dump_result`` has made.
            annotation: the return annotation; it turns data into models.
            context: the same as for ``dump_result``.

        Raises:
            Undecodable: as for ``load_call``.
        """
        return self._opened(data, Kind.RESULT, (annotation,), context)

    def dump_error(self, error: BaseException, *, context: Context = ()) -> bytes:
        """Return an exception as bytes; never fails.

        What cannot be encoded, or not within the limit, leaves its name, message and traceback.

        Arguments:
            error: the exception.
            context: as for ``dump_result``.
        """
        try:
            content, codec = self._encoded(failures.words_of(error, self._pickles), ())
            return self._sealed(Kind.ERROR, codec, content, context)
        except BaseException:
            # The code of an exception runs here, and may raise anything.
            content = pack(failures.short_words_of(error, self.max_payload))
            return self._signed(Kind.ERROR, Codec.SAFE, content, context)

    def load_error(self, data: bytes, *, context: Context = ()) -> Exception:
        """Return the exception, or a ``FailedElsewhere`` where it cannot be brought back.

        Its cause shows the traceback of where it was raised.

        Arguments:
            data: what ``dump_error`` has made.
            context: the same as for ``dump_error``.

        Raises:
            Undecodable: as for ``load_call``.
        """
        return failures.build(self._opened(data, Kind.ERROR, (), context), self._pickles)

    def sign(self, text: str, context: Context) -> str:
        """Sign a text, and return the signature to keep beside it; empty if there are no keys.

        Arguments:
            text: the text to sign.
            context: covered by the signature as well: the place of the text.
        """
        if not self.signing_keys:
            return ""
        return trust.sign(text, *self.signing_keys[0], (self.docket, *context))

    def trust(self, text: str, signature: str, context: Context) -> trust.Trust:
        """Return how far a text can be trusted, whose signature is kept beside it.

        Arguments:
            text, signature: as they were found.
            context: where they were found.
        """
        return trust.trust_in(text, signature, self._keys, (self.docket, *context))

    def keeps(self, stored: bytes, made: bytes) -> bool:
        """Return True if a stored call equals another one, and is signed as it would be now.

        Arguments:
            stored: a call, verified before.
            made: the output of ``dump_call`` just now.
        """
        before, now = envelope.parse(stored), envelope.parse(made)
        return (before.key_id, before.body) == (now.key_id, now.body)

    @cached_property
    def _pickles(self) -> bool:
        return PICKLE in self.codecs

    @cached_property
    def _keys(self) -> Mapping[str, bytes]:
        return dict(self.signing_keys)

    def _encoded(self, value: Any, annotations: Iterable[Any]) -> tuple[bytes, Codec]:
        encoder = Encoder(annotations, self._pickles)
        try:
            return pack(encoder.words(value)), encoder.codec
        except (RecursionError, ValueError):
            # It contains itself, or is nested too deeply for words.
            return pack(encoder.pickled(value)), encoder.codec

    def _sealed(
        self, kind: Kind, codec: Codec, content: bytes, context: Context, nonce: str = ""
    ) -> bytes:
        if len(content) > self.max_payload:
            raise PayloadTooLarge(
                f"expected a {kind.name.lower()} of at most {self.max_payload} bytes, found {len(content)}; "
                "store the data elsewhere and pass where it is, or raise security.max_payload"
            )
        return self._signed(kind, codec, content, context, nonce)

    def _signed(
        self, kind: Kind, codec: Codec, content: bytes, context: Context, nonce: str = ""
    ) -> bytes:
        body = bytes((kind | codec,)) + content
        if not self.signing_keys:
            return body
        identity, secret = self.signing_keys[0]
        return envelope.sign(body, identity, secret, (self.docket, *context), nonce)

    def _opened(
        self, data: bytes, kind: Kind, annotations: Iterable[Any] = (), context: Context = ()
    ) -> Any:
        body = envelope.verify(data, self._keys, (self.docket, *context))
        found, codec = envelope.kind_and_codec(body)
        if found is not kind:
            raise Undecodable(
                f"expected the payload of a {kind.name.lower()}, found that of a {found.name.lower()}"
            )
        if codec is Codec.PICKLE and not self._pickles:
            raise CodecRefused(
                f"expected a {kind.name.lower()} without pickled parts, found some; convert them to plain "
                'values where they are sent, or set security.codecs = ["safe", "pickle"]'
            )
        return Decoder(codec, annotations).read(body[1:])


def _all_plain(values: Iterable[Any]) -> bool:
    return PLAIN.issuperset(map(type, values))


def _call_in(value: Any) -> tuple[list[Any], dict[str, Any]]:
    parts = as_parts(value, list, dict)
    if parts is None or not {str}.issuperset(map(type, parts[1])):
        raise Undecodable("expected the arguments of a call, found something else")
    return parts[0], parts[1]


def _annotations(signature: inspect.Signature | None) -> Iterator[Any]:
    """Lazily: most payloads hold no model that would ask for them."""
    if signature is not None:
        for parameter in signature.parameters.values():
            yield parameter.annotation


def _check_codecs(codecs: tuple[str, ...]) -> None:
    if "safe" not in codecs or not set(codecs) <= set(CODECS):
        raise InvalidSetting(
            f'expected the codecs ("safe", "pickle") or ("safe",), found {codecs!r}; '
            "correct security.codecs"
        )


def _check_signing_keys(keys: tuple[tuple[str, bytes], ...]) -> None:
    for identity, secret in keys:
        if not 0 < len(identity.encode()) <= envelope.LONGEST_KEY_ID or not secret:
            raise InvalidSetting(
                f"expected signing keys with ids of 1 to {envelope.LONGEST_KEY_ID} bytes and secrets that "
                f"are not empty, found the id {identity!r} with {len(secret)} bytes; "
                "correct security.signing_keys"
            )
