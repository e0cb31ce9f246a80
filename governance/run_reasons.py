"""Rows of the registry: how runs and candidates end. Name, cause, remedy."""

from collections.abc import Mapping
from types import MappingProxyType

from governance.codes import ReasonCode

_Row = tuple[str, str, str]

RUN_REASONS: Mapping[ReasonCode, _Row] = MappingProxyType(
    {
        ReasonCode.REFUSED_APPROVAL: (
            "REFUSED_APPROVAL",
            "The run needed an approval and a person denied it.",
            "Change the request as the person asks and start again.",
        ),
        ReasonCode.POLICY_REFUSED: (
            "POLICY_REFUSED",
            "Policy does not allow this request, or publishing this winner.",
            "Ask `optr policy explain`; policy comes from the base branch and the operator only.",
        ),
        ReasonCode.REPOSITORY_MISSING: (
            "REPOSITORY_MISSING",
            "There is no git repository where one was expected.",
            "Give the path of the repository's top, or run `git init` and commit.",
        ),
        ReasonCode.BASE_MISSING: (
            "BASE_MISSING",
            "The branch that candidates are written against has no commit.",
            "Push a commit, or check the default branch.",
        ),
        ReasonCode.BRANCH_TAKEN: (
            "BRANCH_TAKEN",
            "The branch for the winner exists and holds something else.",
            "Rename or delete that branch, then run again.",
        ),
        ReasonCode.CONFIG_INVALID: (
            "CONFIG_INVALID",
            "The configuration or a profile on the base branch cannot be used.",
            "Correct the file and line that the message names.",
        ),
        ReasonCode.PREPARE_FAILED: (
            "PREPARE_FAILED",
            "What the checks need could not be prepared on the base; no agent was started.",
            "Run `prepare.run` by hand on the base; it has the network only with OPTR_PREPARE_NETWORK=1.",
        ),
        ReasonCode.AGENT_UNKNOWN: (
            "AGENT_UNKNOWN",
            "An agent is named that has no profile.",
            "Use one of the names that the message lists, or add a profile.",
        ),
        ReasonCode.AGENT_UNAVAILABLE: (
            "AGENT_UNAVAILABLE",
            "An agent lacks what it needs to run, such as a key.",
            "Give it what the message names, or leave it out.",
        ),
        ReasonCode.VERIFIER_INFRA: (
            "VERIFIER_INFRA",
            "A check could not be run: a fault of the verifier, not of an agent.",
            "Repair what the message names and start again.",
        ),
        ReasonCode.LEDGER_KEY: (
            "LEDGER_KEY",
            "The key that signs the ledger cannot be read or used.",
            "Check the key file that the message names.",
        ),
        ReasonCode.LEDGER_REFUSED: (
            "LEDGER_REFUSED",
            "The ledger does not verify, is behind its last checkpoint, or differs from it.",
            "Run `optr verify-ledger`; do not continue on this branch before it is understood.",
        ),
        ReasonCode.NO_WINNER: (
            "NO_WINNER",
            "No candidate was admissible and good enough.",
            "Read each candidate's reasons; make the request or the checks clearer and label again.",
        ),
        ReasonCode.RUN_FAILED: (
            "RUN_FAILED",
            "The run could not be finished for a reason outside the candidates.",
            "Read the problem that the run names; start it again.",
        ),
        ReasonCode.ACCESS_ENDED: (
            "ACCESS_ENDED",
            "The App was uninstalled or the repository taken from it, deleted or transferred.",
            "Install the App again: the closing line is written then; ask for a new run.",
        ),
        ReasonCode.RUN_SUPERSEDED: (
            "RUN_SUPERSEDED",
            "A newer request took the place of this run.",
            "Look at the newer run.",
        ),
        ReasonCode.RUN_EXPIRED: (
            "RUN_EXPIRED",
            "The run's deadline passed while it waited.",
            "Start again; answer approvals before the deadline.",
        ),
    }
)

CANDIDATE_REASONS: Mapping[ReasonCode, _Row] = MappingProxyType(
    {
        ReasonCode.AGENT_FAILED: (
            "AGENT_FAILED",
            "The agent ended with an error before it handed anything back.",
            "Read the agent's error; the other candidates are not affected.",
        ),
        ReasonCode.AGENT_TIMEOUT: (
            "AGENT_TIMEOUT",
            "The agent was still working when its time was over.",
            "Raise `wall_seconds` in its profile or make the request smaller.",
        ),
        ReasonCode.AGENT_AUTH: (
            "AGENT_AUTH",
            "The model's service refused the agent's credentials.",
            "Check the key that the agent's profile names.",
        ),
        ReasonCode.BUDGET_DENIED: (
            "BUDGET_DENIED",
            "The agent reached its limit of money, tokens or steps.",
            "Raise the limit or make the request smaller.",
        ),
        ReasonCode.POLICY_DENIED: (
            "POLICY_DENIED",
            "Policy does not allow what the agent asked for.",
            "Read the policy that is named; policy comes from the base branch and the operator only.",
        ),
        ReasonCode.AGENT_SPARED: (
            "AGENT_SPARED",
            "The agent was never started, because an earlier candidate was good enough.",
            "Raise or drop `race.enough` in `.github/optr.yml` to hear all agents.",
        ),
        ReasonCode.NO_PATCH: (
            "NO_PATCH",
            "There is no change to judge.",
            "Read what the agent reported; it may have found nothing to do.",
        ),
        ReasonCode.CHECK_FAILED: (
            "CHECK_FAILED",
            "A required check failed on the candidate.",
            "Read the end of the check's output; it can be run locally with the same command.",
        ),
        ReasonCode.CHECK_TIMED_OUT: (
            "CHECK_TIMED_OUT",
            "A required check did not end in its time.",
            "Raise `timeout_s` of the check if it is slow without the candidate too.",
        ),
        ReasonCode.CHECK_NOT_RUN: (
            "CHECK_NOT_RUN",
            "A required check could not be run: a fault of the verifier, not of the agent.",
            "Repair the check's environment and start again.",
        ),
        ReasonCode.SECRET_IN_PATCH: (
            "SECRET_IN_PATCH",
            "The patch holds the value of a secret that is in use.",
            "Replace that secret now; the patch is not kept.",
        ),
        ReasonCode.REVIEW_VETO: (
            "REVIEW_VETO",
            "A reviewer of the repository's choice objected and named what is wrong.",
            "Read the reviewer's reasons; mend the patch, or take the reviewer out of `review.reviewers`.",
        ),
        ReasonCode.NOT_ADMISSIBLE: (
            "NOT_ADMISSIBLE",
            "A stored result says of itself that it is not admissible.",
            "Nothing: stored results are ranked as they are.",
        ),
    }
)

INFO_REASONS: Mapping[ReasonCode, _Row] = MappingProxyType(
    {
        ReasonCode.SECRET_SHAPE: (
            "SECRET_SHAPE",
            "Added lines look like a credential.",
            "Look at the lines; replace the credential if it is one.",
        ),
        ReasonCode.TESTS_CHANGED: (
            "TESTS_CHANGED",
            "Tests of the base are changed or deleted.",
            "Look at what they no longer demand; the base's tests were run as well.",
        ),
        ReasonCode.CONFIGURATION_CHANGED: (
            "CONFIGURATION_CHANGED",
            "Files that steer the checks are changed.",
            "Look at what they switch off; the base's files were used as well.",
        ),
        ReasonCode.TESTS_WEAKENED: (
            "TESTS_WEAKENED",
            "Fewer tests run, more are skipped, or a changed test file demands less than before or was not compared.",
            "Look at what is no longer demanded; the base's tests were run as well.",
        ),
        ReasonCode.JUNIT_UNREADABLE: (
            "JUNIT_UNREADABLE",
            "The JUnit report that a check declares is missing or cannot be read.",
            "Correct `junit` of the check, or look at what the candidate wrote there; the exit code decided.",
        ),
        ReasonCode.JUNIT_CONTRADICTS: (
            "JUNIT_CONTRADICTS",
            "A check's JUnit report and its exit code say different things.",
            "Look at the check's output; the exit code decided.",
        ),
        ReasonCode.STATIC_FINDING: (
            "STATIC_FINDING",
            "Added lines have a shape that is often a vulnerability.",
            "Look at the lines; docs/invariants.md lists the rules.",
        ),
        ReasonCode.RUNNER_SHADOWED: (
            "RUNNER_SHADOWED",
            "New files would be imported in place of the test runner's modules.",
            "Look at what they do; a real change rarely needs them.",
        ),
        ReasonCode.LOWER_SCORE: (
            "LOWER_SCORE",
            "Another candidate scored higher.",
            "Nothing; the text says by how much and in which term.",
        ),
        ReasonCode.MORE_CHANGED_LINES: (
            "MORE_CHANGED_LINES",
            "Another candidate with the same score changes fewer lines.",
            "Nothing; a smaller change is easier to review.",
        ),
        ReasonCode.NAME_ORDER: (
            "NAME_ORDER",
            "Another candidate with the same score and size comes first by name.",
            "Nothing; the name only makes the choice repeatable.",
        ),
        ReasonCode.BELOW_ACCEPT_SCORE: (
            "BELOW_ACCEPT_SCORE",
            "The score is below the least score that may win.",
            "Lower `scoring.accept_score` if the candidate is good enough.",
        ),
    }
)
