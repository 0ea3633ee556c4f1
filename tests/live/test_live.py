"""A small paid job with each real provider whose key is set: `pytest -m live tests/live`. Never run otherwise.

AIFS_LIVE_CAP is the most that all of them together may cost by our estimate, in USD; 0.25 by default.
"""

from __future__ import annotations

import os
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from aifs_media import MediaGenerator, Settings, UnsupportedOptionError
from aifs_media._choosing import Wanted, expected_cost
from aifs_media._options import model_inputs
from aifs_media._registry import BUILT_IN_PROVIDERS, make_provider
from aifs_media.records import MediaRequest
from aifs_media.storage.memory import MemoryStorage
from aifs_media.toolkit import HttpProvider

if TYPE_CHECKING:
    from aifs_media.records import Capability

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

CAP = Decimal(os.environ.get("AIFS_LIVE_CAP", "0.25"))
# Poe bills points; a picture of its cheapest bots is a few hundred of them.
UNPRICED = Decimal("0.05")


def a_prompt_is_enough(provider: str, capability: Capability) -> bool:
    """Say whether the model takes a prompt and nothing else."""
    try:
        model_inputs(
            MediaRequest(kind="image", prompt="a", provider=provider, model=capability.model), capability, check=True
        )
    except UnsupportedOptionError:
        return False
    return True


def cheapest(provider: str) -> tuple[Capability, Decimal]:
    """Return the provider's cheapest model of pictures, and what one picture probably costs in USD."""
    found = [
        (expected_cost(provider, capability, Wanted()), capability)
        for capability in make_provider(provider, Settings.from_env()).capabilities
        if capability.kind == "image" and a_prompt_is_enough(provider, capability)
    ]
    priced = [(cost.amount, capability) for cost, capability in found if cost is not None and cost.amount is not None]
    if priced:
        amount, capability = min(priced, key=lambda pair: pair[0])
        return capability, amount
    if not found:
        pytest.skip(f"{provider} has no model of pictures that a prompt alone is enough for")
    return found[0][1], UNPRICED


@pytest.fixture
def anyio_backend() -> str:
    """One loop is enough: each run is paid for."""
    return "asyncio"


@pytest.fixture(scope="module")
def spent() -> list[Decimal]:
    """Return what was spent so far by our estimates."""
    return []


@pytest.mark.parametrize("provider", sorted(BUILT_IN_PROVIDERS))
@pytest.mark.anyio
async def test_one_small_picture(provider: str, spent: list[Decimal], capsys: pytest.CaptureFixture[str]) -> None:
    """The key is good, a picture is made, verified and stored, and its cost is said."""
    built = make_provider(provider, Settings.from_env())
    if not isinstance(built, HttpProvider) or not any(os.environ.get(name) for name in built.key_names()):
        pytest.skip(f"no key of {provider} is set")
    capability, estimate = cheapest(provider)
    with capsys.disabled():
        print(f"\n{provider}:{capability.model}: about {estimate} USD; {sum(spent)} USD so far, cap {CAP} USD")
    if sum(spent) + estimate > CAP:
        pytest.skip(f"it would go over the cap of {CAP} USD; set AIFS_LIVE_CAP")
    spent.append(estimate)
    async with MediaGenerator(settings=Settings.from_env(), storage=MemoryStorage()) as media:
        asset = await media.image("A single red circle on white", model=f"{provider}:{capability.model}", timeout=300)
    with capsys.disabled():
        print(
            f"  {asset.media_type}, {asset.width}x{asset.height}, {asset.size} bytes, cost {asset.cost.amount} ({asset.cost.status})"
        )
    assert asset.size > 0
    assert not asset.emulated
