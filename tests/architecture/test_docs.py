"""The pages that are made from the code are in step with it."""

from deputize.core.specs import SPECS
from tests.architecture.source import modules
from tools.docs import out_of_step


def test_the_made_pages_are_what_the_code_says() -> None:
    assert not out_of_step(), "run `make docs` and commit what changed"


def test_each_module_that_a_spec_names_is_there() -> None:
    there = {module.name for module in modules()}
    gone = [f"{spec.id} names {name}" for spec in SPECS for name in spec.modules if name not in there]
    assert not gone, gone


def test_each_spec_has_a_name_of_its_own() -> None:
    for names in ([spec.name for spec in SPECS], [spec.id for spec in SPECS]):
        assert len(set(names)) == len(names)
