"""The change is announced: the changelog's first section is Unreleased and says something. Exit code 1 otherwise."""

import pathlib
import re
import sys

text = pathlib.Path("CHANGELOG.md").read_text(encoding="utf-8")
section = re.search(r"^## Unreleased\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
entries = re.findall(r"^- \S.*", section.group(1), re.MULTILINE) if section else []
print("\n".join(entries) or "CHANGELOG.md: nothing under Unreleased")
sys.exit(0 if entries else 1)
