"""What is asked, frozen (PAC)."""

from typing import Annotated, ClassVar

from pydantic import Field

from governance.record import ObjectId, Record, Sha256


class Intent(Record):
    """A request as admitted. Its text is untrusted data and never configuration.

    Attributes:
        workflow: directory under datalake/workflows/.
        title, body: sanitised and cut text.
        intent_sha256: hex SHA-256 of the text as it was before that.
        constraints: short names, as asked.
        base_commit: what candidates are written against.
        config_digest: hex SHA-256 of the configuration file in force; empty when there is none.
        requester: the person who asked; the origin of every delegation of the run.
    """

    record_kind: ClassVar[str] = "optr/intent/1"

    workflow: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    title: str
    body: str
    intent_sha256: Sha256
    constraints: tuple[str, ...]
    base_commit: ObjectId
    config_digest: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    requester: Annotated[str, Field(min_length=1, max_length=100)]
