"""Errors know the file that they are about; its name stands in their text once."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from dcncodec.errors import FormatError, MissingLibraryError, ModelError, about


def test_the_file_stands_before_the_reason() -> None:
    assert str(FormatError("damaged", Path("a/b.dcn"))) == "a/b.dcn: damaged"


def test_an_error_learns_its_file_once() -> None:
    error = FormatError("damaged")
    error.about("photo.dcn")
    error.about("photo.dcn")
    assert str(error) == "photo.dcn: damaged"
    assert (error.file, error.reason) == ("photo.dcn", "damaged")


def test_one_of_the_others_is_enough() -> None:
    error = FormatError("exists", "photo.png")
    error.about("photo.dcn", "photo.png")
    assert str(error) == "photo.png: exists"


def test_a_name_that_only_contains_another_is_another() -> None:
    error = ModelError("damaged", "photo.dcn.d")
    error.about("photo.dcn")
    assert str(error) == "photo.dcn: photo.dcn.d: damaged"


def test_an_error_comes_back_from_other_processes_whole() -> None:
    error = FormatError("damaged")
    error.about("photo.dcn")
    error.exit_code = 7
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), back.file, back.exit_code) == (
        FormatError,
        "photo.dcn: damaged",
        "photo.dcn",
        7,
    )


def test_what_goes_wrong_inside_is_about_the_file() -> None:
    with pytest.raises(FormatError, match=r"^photo\.dcn: damaged$"), about("photo.dcn"):
        raise FormatError("damaged")


def test_of_the_extras_that_bring_a_library_the_preferred_one_is_named() -> None:
    error = MissingLibraryError("plots need matplotlib", extras=("train", "bench"))
    assert str(error) == "plots need matplotlib: pip install 'dcncodec[train]'"
    for extra in (None, "raw"):
        error.prefer(extra)
        assert error.reason.endswith("'dcncodec[train]'")
    error.about("photo.png")
    back = pickle.loads(pickle.dumps(error))
    back.prefer("bench")
    assert str(back) == "photo.png: plots need matplotlib: pip install 'dcncodec[bench]'"
