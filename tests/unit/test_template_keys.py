"""The file of the templates' keys, and the spaces that come of it."""

from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from common.config import TemplateSettings
from common.errors import SetupError, TemplateKeyMissing
from common.templates.keys import NO_KEYS, TemplateKeys, new_key

ONE, OTHER = UUID(int=1), UUID(int=2)
VECTOR = (np.ones(512) / 512**0.5).astype(np.float32)


def keys_of(path: Path, *lines: str) -> TemplateKeys:
    path.write_text("\n".join(lines))
    return TemplateKeys.of(TemplateSettings(key_file=str(path)))


def test_the_first_key_is_for_new_events_and_all_are_known(tmp_path: Path) -> None:
    one, other = new_key(), new_key()
    keys = keys_of(tmp_path / "keys", one, "", other, "")
    turned = keys_of(tmp_path / "keys", other, one.upper())
    assert keys.first != turned.first and keys.ids == turned.ids == {keys.first, turned.first}
    assert np.array_equal(
        keys.space(keys.first, ONE).into(VECTOR), turned.space(keys.first, ONE).into(VECTOR)
    )


def test_each_event_and_each_key_has_a_space_of_its_own(tmp_path: Path) -> None:
    keys = keys_of(tmp_path / "keys", new_key(), new_key())
    first, second = keys.ids
    rotated = [
        keys.space(key, event).into(VECTOR)
        for key, event in ((first, ONE), (first, OTHER), (second, ONE), (None, ONE))
    ]
    for i, one in enumerate(rotated):
        assert all(abs(float(one @ other)) < 0.3 for other in rotated[:i])
    assert np.allclose(keys.space(first, ONE).out_of(rotated[0]), VECTOR, atol=1e-6)


def test_without_its_key_nothing_goes_in_or_out(tmp_path: Path) -> None:
    key = new_key()
    there = keys_of(tmp_path / "keys", key)
    for keys in (NO_KEYS, keys_of(tmp_path / "keys", new_key())):
        space = keys.space(there.first, ONE)
        with pytest.raises(TemplateKeyMissing):
            space.require()
        for use in (space.into, space.out_of):
            with pytest.raises(TemplateKeyMissing) as caught:
                use(VECTOR)
            assert str(there.first) in caught.value.message
            assert key[:8] not in caught.value.message
    plain = NO_KEYS.space(None, ONE)
    plain.require()
    assert plain.into(VECTOR) is VECTOR and plain.out_of(VECTOR) is VECTOR
    assert NO_KEYS.first is None


@pytest.mark.parametrize("text", ["", "\n", "secret", "a" * 63, "a" * 64 + "\nx", "ä" * 64])
def test_a_file_that_is_none_of_keys_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SetupError) as caught:
        keys_of(tmp_path / "keys", text)
    assert "FACEPASS_TEMPLATES__KEY_FILE" in caught.value.message
    assert not text.strip() or text.strip() not in caught.value.message
    with pytest.raises(SetupError, match="cannot read"):
        TemplateKeys.of(TemplateSettings(key_file=str(tmp_path / "none")))
