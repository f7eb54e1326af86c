"""Who owns which KV page: pages of running sequences, and a tree of prefixes that later requests share.

A node of the tree is one page that holds the K and V of up to PAGE_SIZE tokens which follow its parent's.  Roots are
keyed by what else decides K and V: the cache key and the adapters.  A full page is shared by reference, of a partial
one the common part is copied.  Nodes that no sequence uses stay until their page is needed, least recently used
first.
"""

from collections import OrderedDict
from collections.abc import Hashable, Sequence

from corral_engine.kv_storage import KVStorage
from corral_engine.program import PAGE_SIZE


class Node:
    """One shared page.  `users` counts running sequences; a node with users or children is never evicted."""

    __slots__ = ("children", "key", "page", "parent", "tokens", "users")

    def __init__(self, page: int, tokens: tuple[int, ...], parent: "Node | None", key: Hashable = None) -> None:
        self.page, self.tokens, self.parent, self.key = page, tokens, parent, key
        self.users = 0
        self.children: dict[tuple[int, ...], Node] = {}


def common_length(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the longest common prefix."""
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x != y:
            return i
    return min(len(a), len(b))


class PagePool:
    """All pages of one model's KV storage."""

    def __init__(self, storage: KVStorage) -> None:
        self.storage = storage
        self._free = list(range(storage.n_pages - 1, -1, -1))  # low pages first: memory is touched as it is needed
        self.n_touched = 0  # pages that were ever written: what the operating system has given memory for
        self._roots: dict[Hashable, Node] = {}
        self._unused: OrderedDict[Node, None] = OrderedDict()  # nodes without users and children, oldest first

    @property
    def n_pages(self) -> int:
        return self.storage.n_pages

    @property
    def n_free(self) -> int:
        """Pages on nobody's hands (shared prefixes that could be evicted are not counted)."""
        return len(self._free)

    def n_available(self) -> int:
        """Pages that could be had by evicting every prefix that no sequence uses."""
        unused, stack = 0, list(self._roots.values())
        while stack:
            node = stack.pop()
            unused += node.users == 0 and node.page >= 0
            stack.extend(node.children.values())
        return len(self._free) + unused

    def take(self) -> int | None:
        """A page to write, evicting an unused prefix if need be; None when every page is in use."""
        if not self._free and not self._evict():
            return None
        page = self._free.pop()
        self.n_touched = max(self.n_touched, page + 1)
        return page

    def give(self, page: int) -> None:
        self._free.append(page)

    def root(self, key: Hashable) -> Node:
        if key not in self._roots:
            self._roots[key] = Node(-1, (), None, key)
        return self._roots[key]

    def use(self, node: Node) -> None:
        node.users += 1
        self._unused.pop(node, None)

    def release(self, node: Node) -> None:
        node.users -= 1
        self._settle(node)

    def _settle(self, node: Node, *, oldest: bool = False) -> None:
        """A node that nothing needs may be evicted from now on; a root that nothing needs is forgotten."""
        if node.users or node.children:
            return
        if node.parent is None:
            self._roots.pop(node.key, None)
            return
        self._unused[node] = None
        self._unused.move_to_end(node, last=not oldest)

    def add(self, parent: Node, tokens: tuple[int, ...], page: int) -> Node:
        """Share `page` under `parent`.  The node there already, if two sequences computed the same."""
        known = parent.children.get(tokens)
        if known is not None:
            return known
        node = parent.children[tokens] = Node(page, tokens, parent)
        self._unused.pop(parent, None)
        self._unused[node] = None
        return node

    def adopt(self, node: Node) -> int:
        """Take an unused leaf out of the tree; its page now belongs to the caller."""
        self._unused.pop(node)
        self._unlink(node, oldest=False)
        return node.page

    def _evict(self) -> bool:
        if not self._unused:
            return False
        node, _ = self._unused.popitem(last=False)
        self._unlink(node, oldest=True)
        self._free.append(node.page)
        return True

    def _unlink(self, node: Node, *, oldest: bool) -> None:
        parent = node.parent
        if parent is None:
            return
        del parent.children[node.tokens]
        self._settle(parent, oldest=oldest)


class SequenceCache:
    """The pages of one sequence: shared nodes, then pages of its own that are being filled."""

    def __init__(self, pool: PagePool, key: Hashable) -> None:
        self.pool, self.key = pool, key
        self._root = pool.root(key)
        pool.use(self._root)
        self._nodes: list[Node] = []
        self._own: list[int] = []

    @property
    def pages(self) -> list[int]:
        """Physical pages in order of position."""
        return [node.page for node in self._nodes] + self._own

    @property
    def n_pages(self) -> int:
        return len(self._nodes) + len(self._own)

    def reuse(self, tokens: Sequence[int]) -> int:
        """Take over what is known of `tokens`; how many tokens that is.  Called once, on an empty cache.

        The last token is never taken over: somebody wants its logits.
        """
        usable = len(tokens) - 1
        node = self._root
        while (len(self._nodes) + 1) * PAGE_SIZE <= usable:
            start = len(self._nodes) * PAGE_SIZE
            child = node.children.get(tuple(tokens[start : start + PAGE_SIZE]))
            if child is None:
                break
            self.pool.use(child)
            self._nodes.append(child)
            node = child
        start = len(self._nodes) * PAGE_SIZE
        return start + self._reuse_part(node, tokens[start : min(start + PAGE_SIZE, usable)])

    def _reuse_part(self, node: Node, wanted: Sequence[int]) -> int:
        """The child with the longest common beginning, as a page of our own."""
        best, length = None, 0
        for tokens, child in node.children.items():
            if wanted and tokens[0] == wanted[0] and (common := common_length(tokens, wanted)) > length:
                best, length = child, common
        if best is None:
            return 0
        if best.users == 0 and not best.children and length == len(best.tokens):
            self._own.append(self.pool.adopt(best))
            return length
        self.pool.use(best)  # so that it is not evicted to make room for its own copy
        page = self.pool.take()
        self.pool.release(best)
        if page is None:
            return 0
        self.pool.storage.copy_page(best.page, page)
        self._own.append(page)
        return length

    def reserve(self, n_tokens: int) -> bool:
        """Own enough pages for positions below `n_tokens`.  False when there are not enough; what was got is kept."""
        while self.n_pages * PAGE_SIZE < n_tokens:
            page = self.pool.take()
            if page is None:
                return False
            self._own.append(page)
        return True

    def share(self, tokens: Sequence[int], n_done: int) -> None:
        """Offer every page that is full after `n_done` evaluated `tokens` to others."""
        while (len(self._nodes) + 1) * PAGE_SIZE <= n_done:
            start = len(self._nodes) * PAGE_SIZE
            page = self._own.pop(0)
            parent = self._nodes[-1] if self._nodes else self._root
            node = self.pool.add(parent, tuple(tokens[start : start + PAGE_SIZE]), page)
            if node.page != page:
                self.pool.give(page)  # computed twice at the same time: both hold the same bits
            self.pool.use(node)
            self._nodes.append(node)

    def close(self, tokens: Sequence[int], n_done: int) -> None:
        """Let go of everything; what was evaluated stays for later requests while there is room."""
        self.share(tokens, n_done)
        start = len(self._nodes) * PAGE_SIZE
        if n_done > start and self._own:
            page = self._own.pop(0)
            parent = self._nodes[-1] if self._nodes else self._root
            if self.pool.add(parent, tuple(tokens[start:n_done]), page).page != page:
                self.pool.give(page)
        for page in reversed(self._own):
            self.pool.give(page)
        for node in reversed(self._nodes):
            self.pool.release(node)
        self.pool.release(self._root)
        self._nodes, self._own = [], []
