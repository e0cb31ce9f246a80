"""The gate's decision: pure, and closed whenever a fact is missing.

Green only while the pull request's head has the tree that the verified ledger recorded for the run's winner, and enough
people approved this very head. Anything else is `failure` (something is wrong) or `action_required` (people are asked);
never `neutral`, which lets a merge through.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from bot.render.check_run import Conclusion
from bot.render.words import code, name, sentence, short
from bot.risk import Level, Risk


class Record(BaseModel):
    """Immutable and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ReviewState(StrEnum):
    """States of a review, GitHub's words."""

    APPROVED = "APPROVED"
    CHANGES_REQUESTED = "CHANGES_REQUESTED"
    COMMENTED = "COMMENTED"
    DISMISSED = "DISMISSED"
    PENDING = "PENDING"


class Review(Record):
    """One review of the pull request.

    Attributes:
        reviewer: GitHub's account id, which survives renaming.
        login: shown to people; compared with the requester's where a number is missing.
        human: whether the account is a person's; agents and Apps are not.
        can_write: whether the person may write to the repository now; False when unknown.
        state: see ReviewState.
        commit: the head that was reviewed; empty when GitHub does not say.
        id: GitHub's id of the review.
        submitted: when, as GitHub says it; empty when it does not.
        denied: why the run's policy does not let this person's word count; empty when it does.
    """

    reviewer: int
    login: str
    human: bool
    can_write: bool
    state: ReviewState
    commit: str
    id: int = 0
    submitted: str = ""
    denied: str = ""


class Copy(Record):
    """How many lines a ledger had, and the hex RFC 6962 root over them: told where we cannot take it back."""

    size: int
    root: str


class GateFacts(Record):
    """Everything the decision rests on; None means that it could not be established.

    Attributes:
        run: the run's id.
        requester: login of the person who asked.
        requester_id: the number of that account; 0 when it is not known.
        ledger_problem: why the ledger does not verify; None when it does; the empty string when it was not read.
        ledger_size, ledger_root: of the ledger that was verified.
        signed: of the ledger as it was signed last, by our own memory; told where it cannot be verified.
        recorded_tree: the winner's tree on the ledger.
        stored_tree: the winner's tree in our own state.
        head: the pull request's head commit.
        head_tree: its tree.
        base_ref, recorded_base: the branch it would merge into, and the one the run was made for.
        approvals_required: distinct people who must approve; None when the configuration could not be read.
        two_person: whether the requester's own approval does not count.
        risk: how much looking the recorded change needs.
        risk_approvals: the least approvals by level, beside `approvals_required`.
        siblings: other open pull requests of the same issue or with the same tree.
        reviews: oldest first; None when they could not be read.
        unrecorded: why the reviews that count do not all stand on the ledger; None when they do.
    """

    run: str
    requester: str
    requester_id: int = 0
    ledger_problem: str | None = ""
    ledger_size: int = 0
    ledger_root: str = ""
    signed: Copy | None = None
    recorded_tree: str | None = None
    stored_tree: str | None = None
    head: str
    head_tree: str | None = None
    base_ref: str = ""
    recorded_base: str = ""
    approvals_required: int | None = None
    two_person: bool = True
    risk: Risk | None = None
    risk_approvals: Mapping[Level, int] = {}
    siblings: tuple[int, ...] | None = None
    reviews: tuple[Review, ...] | None = None
    unrecorded: str | None = None


class GateReason(StrEnum):
    """Why the gate is not green, the words users see."""

    LEDGER_UNVERIFIED = "ledger_unverified"
    NO_RECORDED_WINNER = "no_recorded_winner"
    HEAD_UNKNOWN = "head_unknown"
    HEAD_NOT_RECORDED = "head_not_recorded"
    BASE_CHANGED = "base_changed"
    RISK_UNKNOWN = "risk_unknown"
    SIBLINGS_UNKNOWN = "siblings_unknown"
    SIBLING_OPEN = "sibling_open"
    RULES_UNKNOWN = "rules_unknown"
    REVIEWS_UNKNOWN = "reviews_unknown"
    REVIEWS_UNRECORDED = "reviews_unrecorded"
    CHANGES_REQUESTED = "changes_requested"
    APPROVALS_MISSING = "approvals_missing"


class GateDecision(Record):
    """What the check `optr/gate` says.

    Attributes:
        conclusion: success, failure or action_required.
        title: one line.
        summary: Markdown: each condition and how it stands.
        reasons: empty exactly when the conclusion is success.
    """

    conclusion: Conclusion
    title: str
    summary: str
    reasons: tuple[GateReason, ...] = ()


_ASKS_PEOPLE = frozenset({GateReason.CHANGES_REQUESTED, GateReason.APPROVALS_MISSING})
_NAMES_SHOWN_MAX = 10

Finding = tuple[GateReason | None, str]


def decide_gate(facts: GateFacts) -> GateDecision:
    """Decide. Every condition is judged, so that people see all that is missing at once."""
    findings = [_ledger(facts), _tree(facts), _base(facts), _siblings(facts), _risk(facts), *_people(facts)]
    reasons = tuple(reason for reason, _ in findings if reason is not None)
    if not reasons:
        conclusion = Conclusion.SUCCESS
    elif set(reasons) <= _ASKS_PEOPLE:
        conclusion = Conclusion.ACTION_REQUIRED
    else:
        conclusion = Conclusion.FAILURE
    first = next((text for reason, text in findings if reason is not None), "The recorded tree, approved")
    lines = "".join(
        f"- {'✗' if reason else '✓'} {text}{f' (`{reason}`)' if reason else ''}\n" for reason, text in findings
    )
    return GateDecision(conclusion=conclusion, title=first, summary=f"{lines}\n{_receipt(facts)}\n", reasons=reasons)


def _receipt(facts: GateFacts) -> str:
    if facts.ledger_root:
        return copy_text(Copy(size=facts.ledger_size, root=facts.ledger_root))
    return f"Ledger unreadable: {_why(facts)}. {signed_text(facts.signed)}"


def copy_text(copy: Copy) -> str:
    """Size and root as every check of ours tells them."""
    return f"Ledger size {copy.size}, root `{code(copy.root)}`."


def signed_text(copy: Copy | None) -> str:
    """The same of what was signed last, and not verified now."""
    return f"Last signed: {copy_text(copy)}" if copy else "Nothing was ever signed here."


def _ledger(facts: GateFacts) -> Finding:
    if facts.ledger_problem is None and facts.ledger_root:
        return None, "The ledger verifies"
    return GateReason.LEDGER_UNVERIFIED, f"The ledger does not verify: {_why(facts)}"


def _why(facts: GateFacts) -> str:
    return sentence(facts.ledger_problem or "") or "it could not be read"


def _tree(facts: GateFacts) -> Finding:
    if not facts.recorded_tree or facts.recorded_tree != facts.stored_tree:
        return GateReason.NO_RECORDED_WINNER, "The ledger records no winner that this pull request could be"
    if not facts.head_tree:
        return GateReason.HEAD_UNKNOWN, "The head's tree could not be read"
    if facts.head_tree != facts.recorded_tree:
        return (
            GateReason.HEAD_NOT_RECORDED,
            f"Unverified since {short(code(facts.head))}: not the recorded winner's tree",
        )
    return None, f"Head {short(code(facts.head))} has the recorded winner's tree {short(code(facts.recorded_tree))}"


def _base(facts: GateFacts) -> Finding:
    if not facts.recorded_base or facts.base_ref != facts.recorded_base:
        return GateReason.BASE_CHANGED, f"The run was made for {name(facts.recorded_base) or 'another branch'}"
    return None, f"It merges into {name(facts.recorded_base)}, as the run was made for"


def _siblings(facts: GateFacts) -> Finding:
    if facts.siblings is None:
        return GateReason.SIBLINGS_UNKNOWN, "The other open pull requests could not be read"
    if not facts.siblings:
        return None, "No other open pull request is of this issue or has this tree"
    listed = ", ".join(f"#{number}" for number in facts.siblings[:_NAMES_SHOWN_MAX])
    return GateReason.SIBLING_OPEN, f"{listed}: open for the same issue or with the same tree; close all but one"


def _risk(facts: GateFacts) -> Finding:
    if facts.risk is None:
        return GateReason.RISK_UNKNOWN, "What the recorded winner changes could not be measured"
    why = "; ".join(name(reason) for reason in facts.risk.why)
    return None, f"Risk {facts.risk.level}{f' ({why})' if why else ''}"


def _required(facts: GateFacts, configured: int) -> int:
    """The stricter of what the rules ask always and what they ask of this risk."""
    return max(configured, facts.risk_approvals.get(facts.risk.level, 0) if facts.risk else 0)


def _people(facts: GateFacts) -> list[Finding]:
    if facts.reviews is None:
        return [(GateReason.REVIEWS_UNKNOWN, "The reviews could not be read")]
    if facts.approvals_required is None:
        return [(GateReason.RULES_UNKNOWN, "The review rules of the base commit could not be read")]
    standing = _standing(facts.reviews)
    against = [review for review in standing if _is_against(review)]
    findings = [_approvals(facts, standing, _required(facts, facts.approvals_required))]
    if against:
        findings.append((GateReason.CHANGES_REQUESTED, f"{_logins(against)} asked for changes"))
    if facts.unrecorded is not None:
        why = sentence(facts.unrecorded) or "the ledger could not be written"
        findings.append((GateReason.REVIEWS_UNRECORDED, f"The reviews are not all on the ledger: {why}"))
    return findings


def counting(facts: GateFacts) -> tuple[Review, ...]:
    """The reviews that count for or against this head: each person's newest word."""
    return tuple(
        review
        for review in _standing(facts.reviews or ())
        if _is_against(review) or (review.state is ReviewState.APPROVED and _counts(review, facts))
    )


def _is_against(review: Review) -> bool:
    return review.state is ReviewState.CHANGES_REQUESTED and review.human and review.can_write


def _standing(reviews: Iterable[Review]) -> list[Review]:
    """Each reviewer's newest word; a comment leaves the word before it standing."""
    newest: dict[int, Review] = {}
    for review in reviews:
        if review.state not in {ReviewState.COMMENTED, ReviewState.PENDING}:
            newest[review.reviewer] = review
    return list(newest.values())


def _approvals(facts: GateFacts, standing: Iterable[Review], required: int) -> Finding:
    given = [review for review in standing if review.state is ReviewState.APPROVED]
    count = [review for review in given if _counts(review, facts)]
    told = f"{len(count)} of {required} approvals of this head"
    if len(count) >= required:
        return None, told + (f": {_logins(count)}" if count else "")
    ignored = _ignored(facts, given)
    return GateReason.APPROVALS_MISSING, told + (f"; {'; '.join(ignored)}" if ignored else "")


def _counts(review: Review, facts: GateFacts) -> bool:
    return (
        review.human
        and review.can_write
        and bool(review.commit)
        and review.commit == facts.head
        and not (facts.two_person and _is_requester(review, facts))
        and not review.denied
    )


def _is_requester(review: Review, facts: GateFacts) -> bool:
    if facts.requester_id and review.reviewer:
        return review.reviewer == facts.requester_id  # logins change hands, numbers do not
    return review.login.lower() == facts.requester.lower()


def _ignored(facts: GateFacts, given: Iterable[Review]) -> list[str]:
    """Why approvals that were given do not count."""
    told = []
    for review in given:
        if _counts(review, facts):
            continue
        if not review.human:
            why = "is not a person"
        elif facts.two_person and _is_requester(review, facts):
            why = "asked for the change"
        elif not review.can_write:
            why = "has no write permission"
        elif review.denied:
            why = f"may not approve, {sentence(review.denied)}"
        else:
            why = "approved an older head"
        told.append(f"{name(review.login)} {why}")
    return told[:_NAMES_SHOWN_MAX]


def _logins(reviews: Iterable[Review]) -> str:
    return ", ".join(name(review.login) for review in reviews)
