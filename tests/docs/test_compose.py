"""compose.yaml: what it sets exists, and what sharing one database needs is there. No engine runs it here."""

import re
from pathlib import Path

import yaml

from bot.settings_table import TABLE

ROOT = Path(__file__).parents[2]


def test_two_apps_share_one_database_and_one_state() -> None:
    composed = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    apps = [one for name, one in composed["services"].items() if name.startswith("app-")]
    assert len(apps) == 2
    known = {setting.variable for setting in TABLE}
    for app in apps:
        assert set(app["environment"]) <= known
        assert app["environment"]["OPTR_DATABASE_URL"].startswith("postgresql://optr:")
        (volume,) = app["volumes"]
        name, _, path = volume.partition(":")
        assert name in composed["volumes"]
        assert f"OPTR_STATE={path}" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
        assert set(app["depends_on"]) <= set(composed["services"])
        assert set(app["secrets"]) <= set(composed["secrets"])
        assert app["environment"]["OPTR_PRIVATE_KEY_FILE"] == f"/run/secrets/{app['secrets'][0]}"
    assert len({app["ports"][0] for app in apps}) == 2
    assert apps[0]["environment"] == apps[1]["environment"]


def test_no_secret_has_a_default() -> None:
    text = (ROOT / "compose.yaml").read_text(encoding="utf-8")
    for name in ("POSTGRES_PASSWORD", "OPTR_WEBHOOK_SECRET"):
        assert set(re.findall(rf"\${{{name}[^}}]*}}", text)), name
        assert not re.search(rf"\${{{name}(:-|-|}})", text), name
