"""Servers for tests that look at the server itself."""

from tests.support.server_fixtures import bench, cache, make_bench

__all__ = ["bench", "cache", "make_bench"]
