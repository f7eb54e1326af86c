"""Pages: sharing by prefix, eviction, and what is left when everybody has gone."""

import numpy as np
import pytest

from corral_engine.kv_cache import PagePool, SequenceCache
from corral_engine.kv_storage import KVStorage
from corral_engine.program import PAGE_SIZE, CacheLayout

LAYOUT = (CacheLayout(2, 32, 16), CacheLayout(1, 16, 16))


def pool_of(n_pages: int) -> PagePool:
    return PagePool(KVStorage(LAYOUT, n_pages, "f16", "f16"))


def finished(pool: PagePool, tokens: list[int], key: str = "") -> list[int]:
    """Run a sequence from start to end; its pages."""
    cache = SequenceCache(pool, key)
    cache.reuse(tokens)
    assert cache.reserve(len(tokens))
    pages = list(cache.pages)
    cache.close(tokens, len(tokens))
    return pages


def test_full_pages_are_shared_and_a_part_is_copied() -> None:
    pool = pool_of(8)
    tokens = list(range(80))
    pages = finished(pool, tokens)
    pool.storage.data[pages[2]] = 7
    first, second = SequenceCache(pool, ""), SequenceCache(pool, "")
    assert first.reuse([*tokens[:70], 999, 998]) == 70
    assert second.reuse([*tokens[:70], 997, 996]) == 70
    assert first.pages[:2] == second.pages[:2] == pages[:2]
    assert len({first.pages[2], second.pages[2], pages[2]}) == 3
    assert (pool.storage.data[first.pages[2]] == 7).all()


def test_a_part_that_is_continued_is_taken_over_without_a_copy() -> None:
    pool = pool_of(8)
    tokens = list(range(40))
    pages = finished(pool, tokens)
    cache = SequenceCache(pool, "")
    assert cache.reuse([*tokens, 100, 101]) == 40
    assert cache.pages == pages


def test_the_last_token_is_never_taken_over() -> None:
    pool = pool_of(8)
    for n in (1, 31, 32, 33, 64):
        tokens = list(range(n))
        finished(pool, tokens, f"{n}")
        cache = SequenceCache(pool, f"{n}")
        assert cache.reuse(tokens) == n - 1
        cache.close(tokens, n - 1)


def test_different_keys_share_nothing() -> None:
    pool = pool_of(8)
    tokens = list(range(64))
    finished(pool, tokens, "one")
    assert SequenceCache(pool, "two").reuse(tokens) == 0


def test_running_sequences_see_full_pages_at_once() -> None:
    pool = pool_of(8)
    tokens = list(range(64))
    first, second = SequenceCache(pool, ""), SequenceCache(pool, "")
    first.reserve(64)
    first.share(tokens, 40)
    assert second.reuse(tokens) == PAGE_SIZE
    second.reserve(64)
    second.share(tokens, 64)
    first.share(tokens, 64)  # computed twice: one of the two pages is given back
    assert first.pages == second.pages
    first.close(tokens, 64)
    second.close(tokens, 64)
    assert pool.n_available() == 8


def test_the_least_recently_used_prefix_goes_first_and_leaves_before_roots() -> None:
    pool = pool_of(4)
    old, new = list(range(64)), list(range(100, 164))
    finished(pool, old)
    finished(pool, new)
    assert pool.n_free == 0
    third = SequenceCache(pool, "")
    assert third.reserve(PAGE_SIZE)
    assert SequenceCache(pool, "").reuse([*new, 0]) == 64
    assert SequenceCache(pool, "").reuse([*old, 0]) == PAGE_SIZE  # its second page was evicted, not its first


def test_pages_in_use_are_never_evicted() -> None:
    pool = pool_of(3)
    tokens = list(range(64))
    user = SequenceCache(pool, "")
    assert user.reserve(64)
    user.share(tokens, 64)
    other = SequenceCache(pool, "x")
    assert other.reserve(PAGE_SIZE)
    assert not other.reserve(2 * PAGE_SIZE)
    other.close((), 0)
    user.close(tokens, 64)
    assert pool.n_available() == 3


def test_random_use_never_loses_or_doubles_a_page() -> None:
    rng = np.random.default_rng(11)
    pool = pool_of(12)
    running: list[tuple[SequenceCache, list[int], int]] = []
    for _ in range(600):
        if running and (len(running) > 3 or rng.random() < 0.5):
            cache, tokens, _ = running.pop(int(rng.integers(len(running))))
            cache.close(tokens, min(len(tokens), cache.n_pages * PAGE_SIZE))
        else:
            tokens = rng.integers(0, 2, int(rng.integers(1, 90))).cumsum().tolist()
            cache = SequenceCache(pool, int(rng.integers(2)))
            done = cache.reuse(tokens)
            if cache.reserve(len(tokens)):
                cache.share(tokens, len(tokens))
                done = len(tokens)
            running.append((cache, tokens[:done], done))
        held = [set(cache.pages) for cache, _, _ in running]
        for pages, (cache, _, _) in zip(held, running, strict=True):
            assert len(pages) == cache.n_pages
        assert not set().union(*held) & set(pool._free)
    for cache, tokens, _ in running:
        cache.close(tokens, len(tokens))
    assert pool.n_available() == 12
    assert len(set(pool._free)) == len(pool._free)


def test_touched_memory_follows_use() -> None:
    pool = pool_of(100)
    finished(pool, list(range(40)))
    assert pool.n_touched == 2


@pytest.mark.parametrize("kind", ["f32", "f16", "q8_0"])
def test_regions_do_not_overlap_and_views_write_through(kind: str) -> None:
    storage = KVStorage(LAYOUT, 3, kind, kind)  # type: ignore[arg-type]
    marks = 0
    for region in (*storage.k, *storage.v):
        views = [storage.values(region)] + ([storage.scales(region)] if region.scales >= 0 else [])
        for view in views:
            assert not view.any()
            view[...] = 1
            marks += view[0].nbytes
    assert storage.page_bytes >= marks
    assert storage.page_bytes - marks < 64 * 8
    assert storage.k[1].type == ("f16" if kind == "q8_0" else kind)  # 16 dimensions are no whole block
    storage.copy_page(0, 1)
    assert (storage.data[0] == storage.data[1]).all()
