"""What an answer of S3 means for a run: try again, not there, not allowed, or not as asked."""

from __future__ import annotations

from botocore import exceptions as boto

from fmnist_ray.errors import AccessDeniedError, FmnistRayError, NotFoundError, SettingError, StoreError
from fmnist_ray.store.retry import TransientError

_PERMISSIONS = {
    "read": "s3:GetObject; without s3:ListBucket a missing object looks the same",
    "write": "s3:PutObject",
    "list": "s3:ListBucket",
    "delete": "s3:DeleteObject",
}
"""The IAM action behind each of the store's, as an administrator knows it."""

_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken", "RequestExpired"}
_REFUSED = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure", "UnrecognizedClientException"}
_ELSEWHERE = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}
_BUSY = {"SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted", "BadDigest"}
_BUSY_STATUSES = {408, 409, 429, 500, 502, 503, 504}

_NO_CREDENTIALS = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.TokenRetrievalError,
    boto.UnauthorizedSSOTokenError,
    boto.SSOTokenLoadError,
    boto.NoAuthTokenError,
)
_WRONG_SETTINGS = (boto.ParamValidationError, boto.ProfileNotFound, boto.ConfigParseError, boto.InvalidRegionError)


def status_of(error: boto.ClientError) -> int:
    """The HTTP status of an answer."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def code_of(error: boto.ClientError) -> str:
    """S3's own name of what went wrong; the status as text where the answer has no body (HEAD)."""
    return str(error.response.get("Error", {}).get("Code", ""))


def translated(error: Exception, action: str, uri: str, bucket: str) -> FmnistRayError:
    """The package's error for one of botocore's, met on `action` (read, write, list, delete) of `uri`.

    `TransientError` for all that may pass. Messages never quote a response: it may carry what was signed.
    """
    if isinstance(error, boto.ClientError):
        return _of_answer(error, action, uri, bucket)
    if isinstance(error, _NO_CREDENTIALS):
        return AccessDeniedError(
            f"No usable AWS credentials to {action} {uri} ({type(error).__name__}): set AWS_PROFILE, or "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where a role is attached."
        )
    if isinstance(error, boto.SSLError):
        return StoreError(f"Could not {action} {uri}: its TLS certificate is not trusted; set AWS_CA_BUNDLE.")
    if isinstance(error, _WRONG_SETTINGS):
        return SettingError(f"Could not {action} {uri}: {_first_line(error)}.")
    return TransientError(f"Could not {action} {uri}: {_first_line(error)}")


def _of_answer(error: boto.ClientError, action: str, uri: str, bucket: str) -> FmnistRayError:
    code, status = code_of(error), status_of(error)
    if code == "NoSuchBucket":
        return SettingError(f"There is no bucket {bucket} (asked to {action} {uri}): create it, or correct the name.")
    if code in _EXPIRED:
        return AccessDeniedError(f"The AWS credentials expired ({action} {uri}): renew them, and run the same again.")
    if code in _REFUSED:
        return AccessDeniedError(f"The AWS credentials are refused ({code}, {action} {uri}): correct or renew them.")
    if code == "RequestTimeTooSkewed":
        return AccessDeniedError(f"S3 refuses to {action} {uri}: the clock of this machine is wrong; set it.")
    if code in _ELSEWHERE:
        return SettingError(f"Bucket {bucket} is not in this region ({action} {uri}): set AWS_REGION to the bucket's.")
    if status == 403:
        return AccessDeniedError(f"No permission to {action} {uri}: grant {_PERMISSIONS[action]}.")
    if status == 404:
        return NotFoundError(f"{uri} does not exist.")
    if code == "400":  # a HEAD, whose answer has no body, so no reason either
        return AccessDeniedError(f"S3 refuses to {action} {uri}, as it does when credentials expired: renew them.")
    sentence = f"Could not {action} {uri}: the store answered {status} {code}".rstrip()
    return TransientError(sentence) if code in _BUSY or status in _BUSY_STATUSES else StoreError(f"{sentence}.")


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0].rstrip(". ")
