"""Names that people see on GitHub."""

LABEL = "optr-workflow"
CHECK_RUN = "optr"
CHECK_GATE = "optr/gate"
CHECK_TRIAL = "optr/ok-to-run"
COMMAND_WORD = "/optr"
ISSUE_CONSTRAINTS = ("github_issue", "user_reported")
