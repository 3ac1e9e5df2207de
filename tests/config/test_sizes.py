"""Amounts of memory as people write and read them."""

from __future__ import annotations

import pytest

from heddle.sizes import parse_size, size_text


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("512MB", 512_000_000),
        ("2GB", 2_000_000_000),
        ("2gb", 2_000_000_000),
        ("2 G", 2_000_000_000),
        ("1.5GiB", 1_610_612_736),
        ("64KiB", 65_536),
        ("1TB", 10**12),
        ("4096", 4096),
        ("10 B", 10),
    ],
)
def test_parse_size(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text", ["", "0", "0GB", "-1GB", "GB", "2 gigs", "1,5GB", "2iB", "1e9", "2 GB of it"]
)
def test_what_is_no_amount(text: str) -> None:
    assert parse_size(text) is None


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (12_345_678, "12.3 MB"),
        (999_999_999, "1.0 GB"),
        (10**13, "10.0 TB"),
    ],
)
def test_size_text(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text
