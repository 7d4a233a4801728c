"""Names that were removed say what to use instead."""

from __future__ import annotations

import pytest

from evalkit import stats


@pytest.mark.parametrize("name", stats._REPLACEMENTS)
def test_a_removed_name_says_what_to_use_instead(name):
    with pytest.raises(AttributeError) as error:
        getattr(stats, name)

    assert name in str(error.value)
    assert stats._REPLACEMENTS[name] in str(error.value)
    assert "\n" not in str(error.value)
    assert name not in stats.__all__


def test_replacements_of_our_own_are_there():
    for text in stats._REPLACEMENTS.values():
        if text.startswith("ek.stats."):
            assert hasattr(stats, text.removeprefix("ek.stats.").split()[0])


def test_an_unknown_name_is_an_ordinary_attribute_error():
    with pytest.raises(AttributeError, match="'wilsonn'$"):
        stats.wilsonn  # noqa: B018
