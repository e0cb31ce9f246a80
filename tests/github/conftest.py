from collections.abc import Iterator

import pytest

from tests.github.receiver import WebhookReceiver
from tests.github.scene import Scene, make_scene
from tests.github.server import LocalGitHub


@pytest.fixture
def hooks() -> Iterator[WebhookReceiver]:
    receiver = WebhookReceiver().start()
    yield receiver
    receiver.stop()


@pytest.fixture
def scene(local_github: LocalGitHub, hooks: WebhookReceiver) -> Scene:
    return make_scene(local_github, hooks)
