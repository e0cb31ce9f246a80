"""The base of the records that rules are made of: immutable, strict, named by the digest of their content."""

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from ledger import canonical

INTEGER_LIMIT = 2**53  # exclusive: canonical JSON keeps smaller integers exact

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
ObjectId = Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]
RunId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
NodeId = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,39}$")]
AgentName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Count = Annotated[int, Field(ge=0, lt=INTEGER_LIMIT)]
AttemptNumber = Annotated[int, Field(ge=1, le=1000)]


class Record(BaseModel):
    """Base of this package's records.

    `digest` is the hex SHA-256 of canonical JSON of `{"kind": <kind>, "value": <fields>}`, fields at their default left
    out: the kind keeps two sorts of record with equal fields apart, and a field added later, with a default, changes no
    digest that is already recorded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    record_kind: ClassVar[str] = "record"

    @property
    def digest(self) -> str:
        """Hex SHA-256 that names exactly this content."""
        value = self.model_dump(mode="json", exclude_defaults=True)
        return canonical.digest({"kind": self.record_kind, "value": value})
