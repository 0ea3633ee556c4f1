"""One boto3 client and the calls made through it: off the event loop, retried by our own rule, with typed errors."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from aifs_media._retry import ATTEMPTS, retrying
from aifs_media.errors import StorageError, UploadError
from aifs_media.storage._s3_errors import Place, from_answer, from_transport
from aifs_media.storage._threads import Threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from aifs_media._secrets import Secret
    from aifs_media.protocols import Clock

T = TypeVar("T")

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0
# What botocore would otherwise take from the environment and the files of another account: `variable: (logical name in the
# configuration file, environment names, value, conversion)`.
OWN_SESSION = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


class S3Calls:
    """Calls of one endpoint with one pair of keys.

    The client is built in a worker thread at the first call, because that takes a quarter of a CPU second. It is bound to no event
    loop and survives `close`, which only closes its connections.
    """

    def __init__(
        self,
        *,
        place: Place,
        region: str,
        access_key_id: str,
        secret_access_key: Secret,
        session_token: Secret | None,
        ca_bundle: str | None,
        connections: int,
        clock: Clock,
    ) -> None:
        self.place = place
        self.clock = clock
        self.threads = Threads(connections)
        self._region = region
        self._access_key_id = access_key_id
        self._secret_access_key = secret_access_key
        self._session_token = session_token
        self._secrets = (secret_access_key, *([session_token] if session_token else []))
        self._ca_bundle = ca_bundle
        self._connections = connections
        self._client: Any = None
        self._building = threading.Lock()

    async def call(
        self,
        operation: str,
        parameters: dict[str, Any],
        *,
        action: str,
        kind: type[StorageError] = UploadError,
        attempts: int = ATTEMPTS,
    ) -> dict[str, Any]:
        """Call an operation on the bucket, again where that may help.

        Args:
            operation: the name of the client's method.
            parameters: its parameters without the bucket.
            action: what is tried, to begin an error's sentence.
            kind: the error where nothing more precise is known.
            attempts: how many calls at most.

        Raises:
            StorageError: the storage refused, or did not answer.
        """

        def perform() -> dict[str, Any]:
            answer: dict[str, Any] = getattr(self._connected(), operation)(Bucket=self.place.bucket, **parameters)
            return answer

        return await retrying(lambda: self.run(perform, action=action, kind=kind), attempts=attempts)

    async def run(self, function: Callable[[], T], *, action: str, kind: type[StorageError]) -> T:
        """Run blocking work with the client in a worker thread, once, and turn botocore's errors into ours."""

        def guarded() -> T | StorageError:
            from botocore.exceptions import BotoCoreError, ClientError
            from botocore.parsers import ResponseParserError

            try:
                return function()
            except ClientError as error:
                return from_answer(
                    error, place=self.place, action=action, kind=kind, now=self.clock.now(), secrets=self._secrets
                )
            except (BotoCoreError, ResponseParserError) as error:
                return from_transport(error, place=self.place, action=action, kind=kind)

        result = await self.threads.run(guarded)
        if isinstance(result, StorageError):
            # Raised here, apart from botocore's own error, whose attributes hold the signed request and the session token.
            raise result
        return result

    async def presign(self, key: str, *, expires_in: int) -> str:
        """Return a URL that reads the object for `expires_in` seconds. No request is made."""

        def sign() -> str:
            url: str = self._connected().generate_presigned_url(
                "get_object", Params={"Bucket": self.place.bucket, "Key": key}, ExpiresIn=expires_in
            )
            return url

        return await self.run(sign, action=f"Signing a URL for {key!r}", kind=StorageError)

    async def close(self) -> None:
        """Close connections, whether or not the caller is being cancelled. The client stays usable."""
        if self._client is not None:
            with anyio.CancelScope(shield=True):
                await self.threads.run(self._client.close)

    def _connected(self) -> Any:
        # Clients may be shared by threads, building one may not.
        with self._building:
            if self._client is None:
                self._client = self._build()
            return self._client

    def _build(self) -> Any:
        import botocore.session
        from boto3.session import Session
        from botocore.config import Config

        endpoint = self.place.endpoint
        session: Any = Session(botocore_session=botocore.session.Session(session_vars=OWN_SESSION))
        client: Any = session.client(
            "s3",
            endpoint_url=endpoint or None,
            region_name=self._region,
            aws_access_key_id=self._access_key_id,
            aws_secret_access_key=self._secret_access_key.reveal(),
            aws_session_token=self._session_token.reveal() if self._session_token else None,
            verify=self._ca_bundle,
            config=Config(
                signature_version="s3v4",
                # Over TLS each body carries its MD5, so that signing a second hash of it would only cost time.
                s3={"addressing_style": "path", "payload_signing_enabled": endpoint.startswith("http:")},
                # R2 refuses the chunked bodies with trailing checksums that are boto3's default over TLS.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                # botocore would sleep inside the worker thread, and does not retry all that is worth it.
                retries={"mode": "standard", "total_max_attempts": 1},
                max_pool_connections=self._connections,
                connect_timeout=CONNECT_TIMEOUT,
                read_timeout=READ_TIMEOUT,
                ignore_configured_endpoint_urls=True,
            ),
        )
        client.meta.events.register("before-call.s3", _without_expect)
        return client


def _without_expect(params: dict[str, Any], **_: object) -> None:
    # R2 does not answer "100 Continue", for which botocore would wait a second per upload. Returning a value here would replace
    # the HTTP call.
    params["headers"].pop("Expect", None)
