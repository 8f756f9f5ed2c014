# SPDX-License-Identifier: Apache-2.0
import re

import pytest

from gpushare.model import errors


def test_codes_are_unique_and_well_formed():
    kinds = list(errors.catalogue().items())
    everything = _subclasses(errors.GpushareError)

    assert len(kinds) == len(everything), "two errors share a code"
    assert all(re.fullmatch(r"GS1\d{3}", code) for code, _ in kinds)


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = dict(re.findall(r"(\w+Error)\s+(GS1\d)", errors.__doc__))

    assert drawn == {e.__name__: e.code[:4] for e in errors.catalogue().values()}


@pytest.mark.parametrize("kind", list(errors.catalogue().values()))
def test_an_error_survives_the_wire(kind):
    error = errors.from_body(errors.ErrorBody(kind.code, "what", "why", "how"))

    assert type(error) is kind
    assert (error.what, error.because, error.hint) == ("what", "why", "how")
    assert error.__notes__ == ["hint: how", f"code: {kind.code}"]
    assert kind.exit_code in {1, 2, 3, 4, 5, 6, 7, 75, 124, 126, 127}
    assert 400 <= kind.status < 600


def test_a_code_from_the_future_is_still_an_error():
    error = errors.from_body(errors.ErrorBody("GS9999", "what"))

    assert type(error) is errors.GpushareError


def _subclasses(kind):
    return {kind}.union(*(_subclasses(sub) for sub in kind.__subclasses__()))
