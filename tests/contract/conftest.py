"""What tests of all methods ask for."""

from typing import Any

import pytest
from contract.cases import Case, tiny
from small_networks import SMALL, dataset, target

import lth_runner as lth


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Gives the case of a method and a network, found once for all files."""
    kept: dict[tuple[str, str], Case] = {}

    def case(method: str, network: str) -> Case:
        if (method, network) not in kept:
            small, built = SMALL[network], tiny(method)
            found = lth.find(built, small.make(), target=target(small), data=dataset(small), progress=False)
            path = tmp_path_factory.mktemp(f"{method}-{network}") / "ticket.safetensors"
            found.ticket.save(path)
            kept[method, network] = Case(built, small, found, path)
        return kept[method, network]

    return case
