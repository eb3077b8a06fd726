"""Bytes over the line, counted from what both databases record, with plain drivers.

Packages: every delivered package has an intent with its size in the origin's store (`intent/...`). Cookies: each carries a serial that
its writer counts up, and the reader keeps the last one it took in (`outbound/...`); so the difference of two readings is the
number of cookies, whatever was seen of them in between. Cookies are all of about one size: that of the one that lies there.
"""

from __future__ import annotations

from dataclasses import dataclass

from poolpair.lab.pool import Pool

SERIALS_PER_START = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What was delivered until now, or between two readings."""

    packages: int
    package_bytes: int
    cookies: int
    cookie_bytes: int

    @property
    def total(self) -> int:
        """All bytes, both ways."""
        return self.package_bytes + self.cookie_bytes

    def since(self, before: Traffic) -> Traffic:
        """The difference to an earlier reading."""
        return Traffic(
            packages=self.packages - before.packages,
            package_bytes=self.package_bytes - before.package_bytes,
            cookies=self.cookies - before.cookies,
            cookie_bytes=self.cookie_bytes - before.cookie_bytes,
        )

    def __str__(self) -> str:
        packages = f"{self.packages} package{'' if self.packages == 1 else 's'} of {self.package_bytes:,}"
        cookies = f"{self.cookies} cookie{'' if self.cookies == 1 else 's'} of {self.cookie_bytes:,}"
        return f"{self.total:,} bytes: {f'{packages}, ' if self.packages else ''}{cookies}"


NOTHING = Traffic(packages=0, package_bytes=0, cookies=0, cookie_bytes=0)


def traffic(*pools: Pool) -> Traffic:
    """Everything that these pools delivered since their services started; both ways if both are given."""
    packages = package_bytes = cookies = cookie_bytes = 0
    for pool in pools:
        for name, body in pool.store.documents():
            if name.startswith("intent/") and body.get("delivered"):
                packages += 1
                package_bytes += body.get("package_bytes", 0)
        # The serial that this pool's partner wrote last stands at this pool.
        serials = [
            (body.get("partner") or {}).get("serial", 0)
            for name, body in pool.store.documents()
            if name.startswith("outbound/")
        ]
        count = max(serials, default=0) % SERIALS_PER_START
        size = max((path.stat().st_size for path in pool.cookies()), default=0)
        cookies += count
        cookie_bytes += count * size
    return Traffic(packages=packages, package_bytes=package_bytes, cookies=cookies, cookie_bytes=cookie_bytes)
